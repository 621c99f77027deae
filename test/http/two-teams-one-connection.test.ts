import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, nodeListener, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type GatewayFixture, gatewayFixture, masterKey } from '../support/gateway.ts';
import { closed } from '../support/gateway-mounts.ts';
import { askAll, type RawAnswer, type RawRequest, readAnswers } from '../support/raw-answers.ts';
import { chunkedAnswer, type RawProvider, rawProvider } from '../support/raw-provider.ts';

// An intermediary may send the requests of two teams ahead on one connection: each has to get its own answer.

type Team = 'acme' | 'globex';
const providerKeys: Record<Team, string> = {
  acme: 'sk-provider-key-of-acme',
  globex: 'sk-provider-key-of-globex',
};
const bodyLimit = 200_000;

let provider: RawProvider;
let fixture: GatewayFixture;
let keys: Record<Team, string>;
const servers: Record<string, Pick<GatewayServer, 'port' | 'close'>> = {};

/** What a provider writes for a request of the kind. `mark` names the request and its team. */
const provides: Record<string, (socket: Socket, mark: string) => void> = {
  plain: (socket, mark) => socket.write(json(200, { mark, choices: [] })),
  late: (socket, mark) => later(5, () => socket.write(json(200, { mark, choices: [] }))),
  long: (socket, mark) =>
    socket.write(json(200, { mark, padding: 'x'.repeat(1_100_000), choices: [], end: mark })),
  chunked: (socket, mark) =>
    socket.write(
      chunkedAnswer({ 'content-type': 'application/json' }, JSON.stringify({ mark, choices: [] }), 7),
    ),
  stream(socket, mark) {
    socket.write(streamHead);
    const events = [mark, mark, mark].map((each) => chunk(`data: {"mark":"${each}"}\n\n`));
    writeEach(socket, [...events, chunk('data: [DONE]\n\n'), '0\r\n\r\n']);
  },
  refused: (socket, mark) => socket.write(json(400, { error: { message: mark, type: 't', code: 'c' } })),
  failed: (socket, mark) => socket.write(json(500, { error: { message: mark, type: 't', code: 'c' } })),
  cut: (socket, mark) =>
    void socket.end(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n${mark}`,
    ),
  surplus(socket, mark) {
    socket.write(json(200, { mark, choices: [] }) + json(200, { mark: 'forged' }));
  },
  'no content': (socket) => socket.write('HTTP/1.1 204 No Content\r\ncontent-length: 40\r\n\r\n'),
  'reset content': (socket) => socket.write('HTTP/1.1 205 Reset Content\r\ncontent-length: 40\r\n\r\n'),
  interim: (socket, mark) =>
    socket.write(`HTTP/1.1 103 Early Hints\r\n\r\n${json(200, { mark, choices: [] })}`),
  'broken stream'(socket, mark) {
    socket.write(`${streamHead}${chunk(`data: {"mark":"${mark}"}\n\n`)}`, () => socket.destroy());
  },
  'broken bytes'(socket, mark) {
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n';
    socket.write(`${head}{"mark":"${mark}","x":"${'x'.repeat(1_100_000)}`, () => socket.destroy());
  },
};

const streamHead = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const json = (status: number, value: object) => {
  const body = JSON.stringify(value);
  return `HTTP/1.1 ${status} X\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
};
const later = (turns: number, go: () => void): unknown =>
  setImmediate(() => (turns === 0 ? go() : later(turns - 1, go)));
function writeEach(socket: Socket, [piece, ...rest]: string[]): void {
  if (piece !== undefined) socket.write(piece, () => setImmediate(() => writeEach(socket, rest)));
}

beforeAll(async () => {
  provider = await rawProvider((socket, request) => {
    const [, kind = '', id] = /mark\.([a-z_]+?)_*\.([\w-]+)/.exec(request) ?? [];
    const team = Object.entries(providerKeys).find(([, key]) => request.includes(key))?.[0];
    provides[kind.replace('_', ' ')]?.(socket, `mark.${kind}.${id} for ${team}`);
  });
  fixture = gatewayFixture({ egress: { allow: [provider.url] } }, { bodyLimit });
  const { router } = fixture;
  for (const [team, api_key] of Object.entries(providerKeys)) {
    const litellm_params = { model: 'openai/m', api_key, api_base: provider.url };
    await router.addModel(team, { model_name: 'm', litellm_params });
    await router.updateTeam(team, { settings: { num_retries: 0, allowed_fails: 1_000, cooldown_time: 0 } });
  }
  keys = { acme: (await router.createKey('acme')).key, globex: (await router.createKey('globex')).key };
  const { gateway } = fixture;
  servers['the short way'] = await serveGateway(gateway, { port: 0 });
  servers['Hono’s way'] = await serveGateway(
    { fetch: (request, bindings) => gateway.fetch(request, bindings) },
    { port: 0 },
  );
  const own = createServer(nodeListener(gateway)).listen(0, '127.0.0.1');
  await once(own, 'listening');
  servers['the application’s own server'] = {
    port: (own.address() as AddressInfo).port,
    close: () => closed(own),
  };
});
afterAll(async () => {
  for (const server of Object.values(servers)) await server.close();
  await fixture.router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

interface Kind {
  request: (team: Team, id: string) => RawRequest;
  /** What the answer has to be. */
  answer: (team: Team, id: string) => object;
  /** The connection ends behind it. */
  last?: true;
  /** Node's parser refuses it. An application's own server answers by itself then. */
  malformed?: true;
}

const head = (team: Team, line: string, more = '') =>
  `${line} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${keys[team]}\r\n${more}`;
const post = (team: Team, body: string, more = '', path = '/v1/chat/completions'): RawRequest => ({
  method: 'POST',
  text: `${head(team, `POST ${path}`, `content-type: application/json\r\n${more}`)}content-length: ${body.length}\r\n\r\n${body}`,
});
const markOf = (kind: string, team: Team, id: string) => `mark.${kind.replace(' ', '_')}.${id} for ${team}`;
const chat = (kind: string, id: string, more: object = {}) =>
  JSON.stringify({ model: 'm', messages: [], user: `mark.${kind.replace(' ', '_')}.${id}`, ...more });

/** A call that its provider answers by the kind's name. */
const call = (kind: string, status: number, more: object = {}): Kind => ({
  request: (team, id) => post(team, chat(kind, id, more)),
  answer: (team, id) => ({
    status,
    cut: false,
    body: expect.stringContaining(status === 502 ? '"provider_unreachable"' : `"${markOf(kind, team, id)}"`),
  }),
});
const file = (kind: string, status: number): Kind => ({
  request: (team, id) => ({
    method: 'DELETE',
    text: `${head(team, `DELETE /v1/files/mark.${kind.replace(' ', '_')}.${id}`)}\r\n`,
  }),
  answer: () => ({ status, body: '', cut: false }),
});
const refusal = (status: number, code: string, request: Kind['request']): Kind => ({
  request,
  answer: () => ({ status, cut: false, body: expect.stringContaining(`"code":"${code}"`) }),
});

const kinds: Record<string, Kind> = {
  plain: call('plain', 200),
  late: call('late', 200),
  long: call('long', 200),
  chunked: call('chunked', 200),
  stream: call('stream', 200, { stream: true }),
  refused: call('refused', 400),
  failed: call('failed', 500),
  cut: call('cut', 502),
  surplus: call('surplus', 200),
  interim: call('interim', 200),
  'no content': file('no content', 204),
  'reset content': file('reset content', 205),
  'a chunked request': {
    request: (team, id) => ({
      method: 'POST',
      text: `${head(team, 'POST /v1/chat/completions', 'content-type: application/json\r\ntransfer-encoding: chunked\r\n')}\r\n${chunk(chat('plain', id))}0\r\nx-trailer: x\r\n\r\n`,
    }),
    answer: (team, id) => ({ status: 200, body: expect.stringContaining(markOf('plain', team, id)) }),
  },
  'a request that expects': {
    request: (team, id) => post(team, chat('late', id), 'expect: 100-continue\r\n'),
    answer: (team, id) => ({ status: 200, body: expect.stringContaining(markOf('late', team, id)) }),
  },
  'a form': {
    request(team, id) {
      const part = (name: string, value: string) =>
        `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
      const body = `${part('model', 'm')}${part('prompt', `mark.plain.${id}`)}${part('file', 'f'.repeat(9_000))}--x--\r\n`;
      const more = `content-type: multipart/form-data; boundary=x\r\ncontent-length: ${body.length}\r\n`;
      return { method: 'POST', text: `${head(team, 'POST /v1/audio/transcriptions', more)}\r\n${body}` };
    },
    answer: (team, id) => ({ status: 200, body: expect.stringContaining(markOf('plain', team, id)) }),
  },
  'a list of models': {
    request: (team) => ({ method: 'GET', text: `${head(team, 'GET /team/info')}\r\n` }),
    answer: (team) => ({ status: 200, body: expect.stringContaining(`"team_id":"${team}"`) }),
  },
  HEAD: {
    request: (team) => ({ method: 'HEAD', text: `${head(team, 'HEAD /v1/models')}\r\n` }),
    answer: () => ({ status: 200, body: '' }),
  },
  'an unknown key': refusal(401, 'invalid_api_key', (team, id) => {
    const { method, text } = post(team, chat('plain', id));
    return { method, text: text.replace(keys[team], `sk-${'x'.repeat(43)}`) };
  }),
  'an unknown model': refusal(404, 'model_not_found', (team, id) =>
    post(team, chat('plain', id, { model: 'nobody-has-this' })),
  ),
  'no JSON': refusal(400, 'invalid_request', (team) => post(team, '{"model":"m",')),
  'an unknown path': refusal(404, 'not_found', (team) => post(team, '{}', '', '/nothing')),
  'a large body': refusal(413, 'request_too_large', (team, id) =>
    post(team, chat('plain', id, { padding: 'x'.repeat(bodyLimit) })),
  ),
  'a large body of an unknown key': refusal(401, 'invalid_api_key', (team, id) => {
    const { method, text } = post(team, chat('plain', id, { padding: 'x'.repeat(bodyLimit / 2) }));
    return { method, text: text.replace(keys[team], `sk-${'x'.repeat(43)}`) };
  }),
  'an unknown expectation': {
    request: (team, id) => post(team, chat('plain', id), 'expect: more\r\n'),
    answer: () => ({ status: 417 }),
  },
};

const lastKinds: Record<string, Kind> = {
  'a check that closes': {
    request: () => ({
      method: 'GET',
      text: 'GET /health/liveness HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n',
    }),
    answer: () => ({ status: 200, body: '"I\'m alive!"', cut: false }),
    last: true,
  },
  'a broken stream': {
    request: (team, id) => post(team, chat('broken stream', id, { stream: true })),
    answer: (team, id) => ({
      status: 200,
      cut: true,
      body: expect.stringMatching(
        new RegExp(`^data: {"mark":"${markOf('broken stream', team, id)}"}\n\ndata: {"error":.*}\n\n$`),
      ),
    }),
    last: true,
  },
  'broken bytes': {
    request: (team, id) => post(team, chat('broken bytes', id)),
    answer: (team, id) => ({
      status: 200,
      cut: true,
      body: expect.stringContaining(markOf('broken bytes', team, id)),
    }),
    last: true,
  },
  'no request': {
    request: () => ({ method: 'GET', text: 'nonsense\r\n\r\n' }),
    answer: () => ({ status: 400, cut: false, body: expect.stringContaining('"invalid_request"') }),
    last: true,
    malformed: true,
  },
  'a header that is none': {
    request: (team) => ({ method: 'GET', text: `${head(team, 'GET /v1/models')}no header\r\n\r\n` }),
    answer: () => ({ status: 400, cut: false, body: expect.stringContaining('"invalid_request"') }),
    last: true,
    malformed: true,
  },
  'headers that are too large': {
    request: (team) => ({
      method: 'GET',
      text: `${head(team, 'GET /v1/models')}x: ${'x'.repeat(70_000)}\r\n\r\n`,
    }),
    answer: () => ({ status: 431, cut: false }),
    last: true,
    malformed: true,
  },
  'a body whose chunks are none': {
    request: (team) => ({
      method: 'POST',
      text: `${head(team, 'POST /v1/chat/completions', 'content-type: application/json\r\ntransfer-encoding: chunked\r\n')}\r\n5\r\n{"mod\r\nnonsense\r\n`,
    }),
    answer: () => ({ status: 400, cut: false, body: expect.stringContaining('"invalid_request"') }),
    last: true,
    malformed: true,
  },
};
const allKinds = { ...kinds, ...lastKinds };

interface Sent {
  team: Team;
  kind: string;
}
const team = fc.constantFrom<Team>('acme', 'globex');
const sequences = (lasts: string[]) =>
  fc
    .record({
      first: fc.array(fc.record({ team, kind: fc.constantFrom(...Object.keys(kinds)) }), { maxLength: 8 }),
      last: fc.record({ team, kind: fc.constantFrom(...lasts) }),
      // Sent ahead behind the request at which the connection ends, so they get no answer.
      behind: fc.array(fc.record({ team, kind: fc.constantFrom('plain', 'stream') }), { maxLength: 2 }),
    })
    .map(({ first, last, behind }) => ({ answered: [...first, last], behind }));
const cuts = fc.array(fc.nat(), { maxLength: 6 });

const requestsOf = (sent: readonly Sent[]) =>
  sent.map(({ team: whose, kind }, index) => (allKinds[kind] as Kind).request(whose, `n${index}`));

function expectOwn(answers: readonly RawAnswer[], sent: readonly Sent[]): void {
  for (const [index, answer] of answers.entries()) {
    const { team: whose, kind } = sent[index] as Sent;
    expect(answer, kind).toMatchObject((allKinds[kind] as Kind).answer(whose, `n${index}`));
    const other: Team = whose === 'acme' ? 'globex' : 'acme';
    expect(answer.body).not.toContain(other);
    expect(answer.body).not.toContain('forged');
    for (const [mark] of answer.body.matchAll(/mark\.\w+\.[\w-]+/g)) expect(mark).toMatch(`.n${index}`);
  }
}

describe.each(['the short way', 'Hono’s way', 'the application’s own server'])(
  'requests of two teams on one connection, over %s',
  (way) => {
    // What no parser takes, and what stands behind `connection: close`, is refused by Node itself in an application's server.
    const own = way === 'the application’s own server';
    const lasts = Object.keys(lastKinds).filter((kind) => !own || !lastKinds[kind]?.malformed);

    it.each(lasts)('are each answered in order, up to %s', async (last) => {
      const teams: Team[] = ['acme', 'globex'];
      const sent = [...Object.keys(kinds), last].map((kind, index) => ({
        team: teams[index % 2] as Team,
        kind,
      }));
      const answers = await askAll(servers[way]?.port ?? 0, requestsOf(sent));
      expectOwn(answers, sent);
      expect(answers).toHaveLength(sent.length);
    });

    it('are each answered in order, whatever they are and however they are cut (50 sequences)', async () => {
      await fc.assert(
        fc.asyncProperty(sequences(lasts), cuts, async ({ answered, behind }, at) => {
          const requests = requestsOf(own ? answered : [...answered, ...behind]);
          const answers = await askAll(servers[way]?.port ?? 0, requests, at);
          expectOwn(answers, answered);
          expect(answers).toHaveLength(answered.length);
        }),
        { numRuns: 50 },
      );
    });

    it('that leave in the middle leave nothing to the next connection (30 times)', async () => {
      await fc.assert(
        fc.asyncProperty(sequences(lasts), fc.nat(20_000), async ({ answered }, bytes) => {
          const requests = requestsOf(answered);
          const read = await leaveAfter(servers[way]?.port ?? 0, requests, bytes);
          expectOwn(
            read.filter(({ cut }) => !cut),
            answered,
          );
          const sent: Sent[] = [
            { team: 'globex', kind: 'plain' },
            { team: 'acme', kind: 'stream' },
            { team: 'globex', kind: 'a check that closes' },
          ];
          const answers = await askAll(servers[way]?.port ?? 0, requestsOf(sent));
          expectOwn(answers, sent);
          expect(answers).toHaveLength(3);
        }),
        { numRuns: 30 },
      );
    });
  },
);

it('a refusal behind an open stream does not cut it, though the rest of the refused body never comes', async () => {
  const real = globalThis.setTimeout;
  const timers = vi.spyOn(globalThis, 'setTimeout');
  // The time that the rest of a body may take is over at once.
  timers.mockImplementation(((go: () => void, milliseconds: number) =>
    real(go, milliseconds === 500 ? 0 : milliseconds)) as typeof setTimeout);
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  provides.held = (socket, mark) => {
    socket.write(`${streamHead}${chunk(`data: {"mark":"${mark}"}\n\n`)}`);
    void released.then(() => socket.write(`${chunk('data: [DONE]\n\n')}0\r\n\r\n`));
  };
  const logger = { info() {}, warn: () => void later(20, release), error() {} };
  const server = await serveGateway(createGateway(fixture.router, { masterKey, logger }), { port: 0 });
  const sent: Sent[] = [
    { team: 'acme', kind: 'stream' },
    { team: 'globex', kind: 'an unknown key' },
  ];
  const [stream, refused] = requestsOf(sent) as [RawRequest, RawRequest];
  const answers = await askAll(server.port, [
    { ...stream, text: stream.text.replace('mark.stream.n0', 'mark.held__.n0') },
    { ...refused, text: refused.text.slice(0, -20) },
  ]);
  timers.mockRestore();
  await server.close();
  expect(answers).toMatchObject([
    { status: 200, cut: false, body: expect.stringContaining('[DONE]') },
    { status: 401, cut: false },
  ]);
});

/** Reads some bytes of the answers, and closes the connection. */
function leaveAfter(port: number, requests: readonly RawRequest[], bytes: number): Promise<RawAnswer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
      if (text.length >= bytes) socket.destroy();
    });
    socket.on('close', () => {
      try {
        resolve(
          readAnswers(
            text,
            requests.map(({ method }) => method),
          ),
        );
      } catch (error) {
        reject(error);
      }
    });
    socket.write(Buffer.from(requests.map(({ text: request }) => request).join(''), 'latin1'));
  });
}
