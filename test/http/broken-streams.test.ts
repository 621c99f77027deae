import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RawProvider, rawProvider } from '../support/raw-provider.ts';
import { type StreamApi, streamApis } from '../support/stream-apis.ts';
import { askRaw, clients, expectEnding, fetchStream, unchunked } from '../support/stream-endings.ts';

const maxDecodedBytes = 30_000;
const tooLong = gzipSync(': still here\n\n'.repeat(maxDecodedBytes));

interface Failure {
  code: string;
  /** What the provider does once it has sent the beginning. */
  go: (socket: Socket, api: StreamApi) => void;
  /** What is sent besides the usual headers. */
  headers?: string;
}

const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const unreachable = 'provider_unreachable';

const failures: Record<string, Failure> = {
  'is reset': { code: unreachable, go: (socket) => void socket.resetAndDestroy() },
  'is closed': { code: unreachable, go: (socket) => void socket.end() },
  'is closed within an event': {
    code: unreachable,
    go: (socket, { rest }) => void socket.end(chunk(rest.slice(0, 12))),
  },
  'is closed within a chunk': {
    code: unreachable,
    go: (socket, { rest }) => void socket.end(chunk(rest).slice(0, 12)),
  },
  'sends no chunk but nonsense': { code: unreachable, go: (socket) => void socket.write('nonsense\r\n\r\n') },
  'ends without its end': { code: unreachable, go: (socket) => void socket.write('0\r\n\r\n') },
  'ends within an event': {
    code: unreachable,
    go: (socket, { rest }) => void socket.write(`${chunk(rest.slice(0, 12))}0\r\n\r\n`),
  },
  stalls: { code: 'provider_timeout', go() {} },
  'stalls within an event': {
    code: 'provider_timeout',
    go: (socket, { rest }) => void socket.write(chunk(rest.slice(0, 12))),
  },
  'is too long once unpacked': {
    code: unreachable,
    headers: 'content-encoding: gzip\r\n',
    go: (socket) => void socket,
  },
};

let provider: RawProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;
const receipts: Receipt[] = [];
/** Behind the beginning: what a test of its own lets the provider do. */
let held: ((socket: Socket, api: StreamApi) => void) | undefined;

beforeAll(async () => {
  provider = await rawProvider((socket, request) => {
    const [, id = '', failed = ''] = /mark-(.+?)-(.+?)-end/.exec(request) ?? [];
    const api = streamApis[id.replaceAll('_', ' ')];
    if (api === undefined) return;
    const kind = failed.replaceAll('_', ' ');
    const failure = failures[kind];
    const own = ownErrors[kind];
    const go = own === undefined ? (failure?.go ?? held) : (each: Socket) => own.go(each, api.own);
    const head = `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n${failure?.headers ?? ''}transfer-encoding: chunked\r\n\r\n`;
    if (failure?.headers === undefined) {
      // What follows comes in a packet of its own.
      socket.write(head + chunk(api.begin), () => setImmediate(() => go?.(socket, api)));
      return;
    }
    socket.write(head);
    for (const packed of [gzipSync(api.begin), tooLong]) {
      socket.write(`${packed.length.toString(16)}\r\n`);
      socket.write(packed);
      socket.write('\r\n');
    }
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxDecodedBytes,
    onCall: (receipt) => receipts.push(receipt),
  });
  const litellm_params = {
    model: 'openai/m',
    api_key: 'sk-0123456789abcdef',
    api_base: provider.url,
  };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  const stalling = { ...litellm_params, stream_timeout: 1 };
  await router.addModel('acme', { model_name: 'stalls', litellm_params: stalling });
  await router.updateTeam('acme', { settings: { num_retries: 0, allowed_fails: 1_000, cooldown_time: 0 } });
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(32) }), { port: 0 });
});
afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const markOf = (name: string, failed: string) =>
  `mark-${name.replaceAll(' ', '_')}-${failed.replaceAll(' ', '_')}-end`;
const modelOf = (mark: string) => (mark.includes('stalls') ? 'stalls' : 'm');
const callOf = (api: StreamApi, mark: string) => ({ api, model: modelOf(mark), mark, key });

/** What each client of the gateway, and in the process, throws. */
function clientErrors(api: StreamApi, mark: string) {
  const options = { maxRetries: 0, logLevel: 'off' as const };
  return Object.entries(clients).flatMap(([version, { Client, APIError }]) => {
    const made = {
      'over HTTP': new Client({ ...options, apiKey: key, baseURL: `${gateway.url}/v1` }),
      'in-process': new Client({
        ...options,
        apiKey: 'x',
        baseURL: teamBaseUrl,
        fetch: router.fetchFor('acme'),
      }),
      ...(version === 'openai 6' && { forTeam: router.forTeam('acme') }),
    };
    return Object.entries(made).map(async ([door, client]) => {
      const error: unknown = await api.read(client, modelOf(mark), mark).then(
        (read) => new Error(`was read: ${JSON.stringify(read)}`),
        (thrown: unknown) => thrown,
      );
      return { door: `${version} ${door}`, error, APIError };
    });
  });
}

/** Makes the call over every door, and looks at each ending. Returns how many calls that were. */
async function expectFailure(name: string, api: StreamApi, failed: string): Promise<number> {
  const { code } = failures[failed] as Failure;
  const mark = markOf(name, failed);
  const [first, closing, old, overHttp, inProcess, ...errors] = await Promise.all([
    askRaw(gateway.port, callOf(api, mark), '1.1'),
    askRaw(gateway.port, callOf(api, mark), '1.1', 'connection: close\r\n'),
    askRaw(gateway.port, callOf(api, mark), '1.0'),
    fetchStream(fetch, gateway.url, callOf(api, mark)),
    fetchStream(router.fetchFor('acme'), '', callOf(api, mark)),
    ...clientErrors(api, mark),
  ]);
  for (const { text } of [first, closing]) {
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).toMatch(/\r\ntransfer-encoding: chunked\r\n/i);
    const { body, last } = unchunked(text);
    expectEnding(api, body, api.error(code));
    expect(last).toBe(false);
  }
  expectEnding(api, old.text.slice(old.text.indexOf('\r\n\r\n') + 4), api.error(code));
  expect(old.text).not.toMatch(/\r\ntransfer-encoding:/i);
  // A plain end would be the end of the answer.
  expect(old.end).toBe('ECONNRESET');
  expectEnding(api, overHttp.text, api.error(code));
  expect(overHttp.end).not.toBe('end');
  expectEnding(api, inProcess.text, api.error(code));
  expect(inProcess.end).toBe(code);
  for (const { door, error, APIError } of errors) {
    // The client hands the response of a speech out, and does not read its events.
    if (name === 'speech')
      expect(error, door).not.toMatchObject({ message: expect.stringMatching(/^was read/) });
    else {
      expect(error, door).toBeInstanceOf(APIError);
      expect(error, door).toMatchObject({ code });
    }
  }
  return 5 + errors.length;
}

interface OwnError {
  go: (socket: Socket, own: string) => void;
  /** The provider ended the stream as HTTP has it. */
  whole: boolean;
}
const ownErrors: Record<string, OwnError> = {
  'own error, ends': { go: (socket, own) => void socket.write(`${chunk(own)}0\r\n\r\n`), whole: true },
  'own error, [DONE]': {
    go: (socket, own) => void socket.write(`${chunk(`${own}data: [DONE]\n\n`)}0\r\n\r\n`),
    whole: true,
  },
  'own error, reset': {
    go: (socket, own) => void socket.write(chunk(own), () => setImmediate(() => socket.resetAndDestroy())),
    whole: false,
  },
  'own error, closed': { go: (socket, own) => void socket.end(chunk(own)), whole: false },
  'own error, closed before the blank line': {
    go: (socket, own) => void socket.end(chunk(own.slice(0, -1))),
    whole: false,
  },
  'own error, ends before the blank line': {
    go: (socket, own) => void socket.write(`${chunk(own.slice(0, -1))}0\r\n\r\n`),
    whole: true,
  },
  'own error, stalls': { go: (socket, own) => void socket.write(chunk(own)), whole: false },
};

async function expectOwnError(name: string, api: StreamApi, failed: string): Promise<void> {
  const mark = markOf(name, failed);
  const [first, inProcess] = await Promise.all([
    askRaw(gateway.port, callOf(api, mark), '1.1', 'connection: close\r\n'),
    fetchStream(router.fetchFor('acme'), '', callOf(api, mark)),
  ]);
  const { body, last } = unchunked(first.text);
  for (const text of [body, inProcess.text]) {
    expect(text.startsWith(api.begin + api.own.slice(0, -1))).toBe(true);
    expect(text.match(/its own words/g)).toHaveLength(1);
    expect(text).not.toMatch(/provider_unreachable|provider_timeout/);
  }
  const { whole } = ownErrors[failed] as OwnError;
  expect(last).toBe(whole);
  expect(inProcess.end === 'end').toBe(whole);
}

const apis = Object.entries(streamApis);
const quick = (name: string) => !name.includes('stalls');

describe.each(apis)('a stream of %s', (name, api) => {
  it.each(Object.keys(failures).filter(quick))(
    'that %s ends in the error event, then breaks',
    async (failed) => {
      const before = receipts.length;
      const calls = await expectFailure(name, api, failed);
      await expect.poll(() => receipts.length - before).toBe(calls);
      const { code } = failures[failed] as Failure;
      for (const receipt of receipts.slice(before)) expect(receipt).toMatchObject({ status: 200, code });
    },
  );

  it.each(Object.keys(ownErrors).filter(quick))('gets no second error event: %s', (failed) =>
    expectOwnError(name, api, failed),
  );

  it('runs to its end though its key is revoked and the provider’s key replaced', async () => {
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let open = 0;
    const begun = new Promise<void>((resolve) => {
      held = (socket, { rest }) => {
        void released.then(() => socket.write(`${chunk(rest)}0\r\n\r\n`));
        if (++open === 2) resolve();
      };
    });
    const usual = key;
    const own = await router.createKey('acme');
    key = own.key;
    const mark = markOf(name, 'held');
    const read = Promise.all([
      askRaw(gateway.port, callOf(api, mark), '1.1', 'connection: close\r\n'),
      fetchStream(router.fetchFor('acme'), '', callOf(api, mark)),
    ]);
    await begun;
    key = usual;
    await router.deleteKey('acme', own.key);
    const { data } = await router.listModels('acme');
    const id = data.find(({ model_name }) => model_name === 'm')?.model_info.id ?? '';
    await router.updateModel('acme', id, { litellm_params: { api_key: 'sk-another-0123456789' } });
    release();
    const [first, inProcess] = await read;
    expect(unchunked(first.text)).toEqual({ body: api.begin + api.rest, last: true });
    expect(inProcess).toEqual({ text: api.begin + api.rest, end: 'end' });
  });
});

it('streams that stall end in the error event, then break, whatever their API', async () => {
  const before = receipts.length;
  const calls = apis.flatMap(([name, api]) =>
    ['stalls', 'stalls within an event'].map((failed) => expectFailure(name, api, failed)),
  );
  const made = (await Promise.all(calls)).reduce((sum, each) => sum + each, 0);
  await expect.poll(() => receipts.length - before).toBe(made);
  for (const receipt of receipts.slice(before))
    expect(receipt).toMatchObject({ status: 200, code: 'provider_timeout' });
});

it('streams that stall behind their own error event get no second one, whatever their API', async () => {
  await Promise.all(apis.map(([name, api]) => expectOwnError(name, api, 'own error, stalls')));
});

it('streams that are open when the server closes end in the error event, then break, whatever their API', async () => {
  const server = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(32) }), {
    port: 0,
    drainTimeoutMs: 0,
  });
  let open = 0;
  const begun = new Promise<void>((resolve) => {
    held = () => {
      if (++open === 3 * apis.length) resolve();
    };
  });
  const read = apis.map(async ([name, api]) => {
    const mark = markOf(name, 'held');
    const [first, old, overHttp] = await Promise.all([
      askRaw(server.port, callOf(api, mark), '1.1', ''),
      askRaw(server.port, callOf(api, mark), '1.0', ''),
      fetchStream(fetch, server.url, callOf(api, mark)),
    ]);
    const { body, last } = unchunked(first.text);
    expectEnding(api, body, api.error('draining'));
    expect(last).toBe(false);
    expectEnding(api, old.text.slice(old.text.indexOf('\r\n\r\n') + 4), api.error('draining'));
    expect(old.end).toBe('ECONNRESET');
    expectEnding(api, overHttp.text, api.error('draining'));
    expect(overHttp.end).not.toBe('end');
  });
  await begun;
  await server.close();
  await Promise.all(read);
});

it('streams that are open when the router closes end in the error event, then throw, whatever their API', async () => {
  const own = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await own.addModel('acme', { model_name: 'm', litellm_params });
  let open = 0;
  const begun = new Promise<void>((resolve) => {
    held = () => {
      if (++open === 2 * apis.length) resolve();
    };
  });
  const read = apis.map(async ([name, api]) => {
    const mark = markOf(name, 'held');
    const thrown = api.read(own.forTeam('acme'), 'm', mark).catch((error: unknown) => error);
    const { text, end } = await fetchStream(own.fetchFor('acme'), '', callOf(api, mark));
    expectEnding(api, text, api.error('draining'));
    expect(end).toBe('draining');
    expect(await thrown).toMatchObject({ code: 'draining' });
  });
  await begun;
  await own.close({ drainTimeoutMs: 0 });
  await Promise.all(read);
});
