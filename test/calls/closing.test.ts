import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  type Storage,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { nodeListener } from 'team-model-router/http/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bodiesOf, documentedRoutes } from '../support/every-route.ts';
import { closed, type Mounted, overSockets } from '../support/gateway-mounts.ts';
import {
  chatChunks,
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];
const masterKey = 'master-key-of-the-tests-0123456789';
/** What the provider begins its streams with, by the end of the path. */
const firstEvents: Record<string, string> = {
  '/chat/completions': `data: ${JSON.stringify(chatChunks('m')[0])}\n\n`,
  '/completions':
    'data: {"id":"c","object":"text_completion","choices":[{"index":0,"text":"He","finish_reason":null}]}\n\n',
  '/responses':
    'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1"}}\n\n',
};

const asks: Record<string, object> = {
  '/chat/completions': { messages },
  '/completions': { prompt: 'x' },
  '/responses': { input: 'x' },
};

let provider: RecordingProvider;
let answers: ServerResponse[];
let asked: Promise<void>;
let refuses: boolean;
let storage: Storage;
let receipts: Receipt[];
let lines: string[];
let router: TeamModelRouter;

/** Begins each stream, and answers nothing else. */
beforeEach(async () => {
  answers = [];
  receipts = [];
  lines = [];
  refuses = false;
  let tell = () => {};
  asked = new Promise((resolve) => {
    tell = resolve;
  });
  provider = await recordingProvider((request, response) => {
    answers.push(response);
    const path = Object.keys(firstEvents).find((end) => request.url.endsWith(end)) ?? '';
    if (refuses) sendJson(response, 500, {}, { 'retry-after': '10' });
    else if (String(request.body).includes('"stream":true'))
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(firstEvents[path]);
    else if (request.url.endsWith('/speech'))
      response.writeHead(200, { 'content-type': 'audio/mpeg' }).write('sound');
    tell();
  });
  storage = memoryStorage();
  router = newRouter();
});

function newRouter(more: object = {}): TeamModelRouter {
  const told = receipts;
  const log = (_: object, message: string) => lines.push(message);
  return new TeamModelRouter({
    storage,
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], maxConnectionsPerTeam: 2 },
    onCall: (receipt) => told.push(receipt),
    logger: { info: log, warn: log, error: log },
    ...more,
  });
}

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function addModel(shared = false): Promise<void> {
  const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.createTeam({ team_id: 'acme', models: ['m'], settings: { allowed_fails: 1 } });
  if (shared) await router.addSharedModel({ model_name: 'm', litellm_params });
  else await router.addModel('acme', { model_name: 'm', litellm_params });
}

/** What a call ends with: its answer's text, and the error that broke it off. `begun` hears of the first bytes. */
async function outcome(
  path: string,
  body: object,
  begun: () => void = () => {},
): Promise<{ text: string; error: unknown }> {
  const given = { model: 'm', ...body };
  const headers = { 'content-type': 'application/json' };
  const response = await router.fetchFor('acme')(teamBaseUrl + path, {
    method: 'POST',
    headers,
    body: JSON.stringify(given),
  });
  let text = '';
  try {
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      begun();
    }
    return { text, error: undefined };
  } catch (error) {
    return { text, error };
  }
}

const codeOf = (error: unknown) => (error as { code?: unknown }).code;
const turn = () => new Promise(setImmediate);

describe('closing the router at the deadline', () => {
  it.each([
    ['an open stream', false, '/chat/completions'],
    ['an open stream of a shared deployment', true, '/chat/completions'],
    ['an open stream of completions', false, '/completions'],
    ['an open stream of responses', false, '/responses'],
  ])('with %s blamed the provider: it ends by its own error event', async (_, shared, path) => {
    await addModel(shared);
    let ended: ReturnType<typeof outcome> | undefined;
    await new Promise<void>((begun) => {
      ended = outcome(path, { ...asks[path], stream: true }, begun);
    });
    await router.close({ drainTimeoutMs: 0 });
    const { text = '', error } = (await ended) ?? {};
    const [first, last = ''] = text.split(/(?<=\n\n)/);
    expect(first).toMatch(/He|resp_1/);
    expect(codeOf(error)).toBe('draining');
    if (path === '/responses') {
      expect(last).toMatch(/^event: error\ndata: /);
      const event = JSON.parse(last.slice(last.indexOf('data: ') + 6));
      expect(event).toMatchObject({ type: 'error', code: 'draining', sequence_number: 1 });
    } else expect(JSON.parse(last.replace(/^data: /, ''))).toMatchObject({ error: { code: 'draining' } });
    await turn();
    expect(receipts).toMatchObject([{ status: 200, code: 'draining' }]);
    expect(provider.requests).toHaveLength(1);
    expect(lines).not.toContain('deployment cooling down');
  });

  it('with a call that waits for its answer ends it with draining', async () => {
    await addModel();
    const ended = router.chatCompletion('acme', { model: 'm', messages }).catch(codeOf);
    await asked;
    await router.close({ drainTimeoutMs: 0 });
    expect(await ended).toBe('draining');
    await turn();
    const attempts = [{ status: 503, reason: 'draining' }];
    expect(receipts).toMatchObject([{ status: 503, code: 'draining', attempts }]);
    expect(provider.requests).toHaveLength(1);
    expect(lines).not.toContain('deployment cooling down');
  });

  it('breaks off a response of bytes that is being sent', async () => {
    await addModel();
    let ended: ReturnType<typeof outcome> | undefined;
    await new Promise<void>((begun) => {
      ended = outcome('/audio/speech', { input: 'x', voice: 'alloy' }, begun);
    });
    await router.close({ drainTimeoutMs: 0 });
    const { text, error } = (await ended) ?? {};
    expect(text).toMatch(/^s/);
    expect(codeOf(error)).toBe('draining');
    await turn();
    expect(receipts).toMatchObject([{ code: 'draining' }]);
  });

  it('with a call that pauses before its next attempt does not wait for the pause', async () => {
    let pauses = () => {};
    const paused = new Promise<void>((resolve) => {
      pauses = resolve;
    });
    const random = () => {
      pauses();
      return 0.5;
    };
    router = newRouter({ random });
    await addModel();
    refuses = true;
    await router.updateTeam('acme', { settings: { num_retries: 10, allowed_fails: 1_000 } });
    let ended: unknown;
    void router.chatCompletion('acme', { model: 'm', messages }).catch((error) => {
      ended = codeOf(error);
    });
    await paused;
    await turn();
    await router.close({ drainTimeoutMs: 0 });
    await turn();
    expect(ended).toBe('draining');
    await turn();
    expect(receipts).toMatchObject([{ status: 503, code: 'draining' }]);
  });

  it('with calls that wait for a connection ends them with draining', async () => {
    await addModel();
    const calls = Array.from({ length: 5 }, () =>
      router.chatCompletion('acme', { model: 'm', messages }).catch(codeOf),
    );
    await asked;
    await turn();
    await router.close({ drainTimeoutMs: 0 });
    expect(await Promise.all(calls)).toEqual(Array(5).fill('draining'));
    await turn();
    expect(receipts.map(({ code }) => code)).toEqual(Array(5).fill('draining'));
    expect(lines).not.toContain('deployment cooling down');
  });

  it('with a test call under way ends it with draining', async () => {
    await addModel();
    const { data } = await router.listModels('acme');
    const id = data[0]?.model_info.id ?? '';
    const tested = router.testModel('acme', { id }).catch(codeOf);
    await asked;
    await router.close({ drainTimeoutMs: 0 });
    expect(await tested).toBe('draining');
  });
});

/** The doors of a gateway that is mounted in a server of the application's. */
const doors: Record<string, (gateway: Gateway) => Promise<Mounted>> = {
  'node:http': async (gateway) => {
    const server = createServer(nodeListener(gateway));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return overSockets(`http://127.0.0.1:${port}`, () => closed(server));
  },
  'gateway.fetch': async (gateway) => ({
    send: async (path, init) => gateway.fetch(new Request(`http://gateway.test${path}`, init)),
    url: undefined,
    close: async () => {},
  }),
};

describe.each(Object.entries(doors))('closing the router behind a gateway on %s', (_, mount) => {
  it('ends an open stream by an error event and a broken answer, and a waiting call with 503', async () => {
    await addModel();
    const { key } = await router.createKey('acme');
    const mounted = await mount(createGateway(router, { masterKey }));
    const send = (body: object) =>
      mounted.send('/v1/chat/completions', {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', messages, ...body }),
      });
    const waiting = send({});
    const streamed = await send({ stream: true });
    const reader = streamed.body?.getReader();
    let text = Buffer.from((await reader?.read())?.value ?? []).toString();
    while (answers.length < 2) await turn();
    await router.close({ drainTimeoutMs: 0 });
    const broken = async () => {
      for (;;) {
        const next = await reader?.read();
        if (next === undefined || next.done) return;
        text += Buffer.from(next.value).toString();
      }
    };
    await expect(broken()).rejects.toThrow();
    expect(text).toMatch(/data: \{"error":\{.*"code":"draining"\}\}\n\n$/);
    const answer = await waiting;
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: { code: 'draining' } });
    expect((await send({})).status).toBe(503);
    await turn();
    expect(receipts.slice(0, 2).map(({ code }) => code)).toEqual(['draining', 'draining']);
    expect(lines).not.toContain('deployment cooling down');
    await mounted.close();
  });
});

describe('closing the router before the deadline', () => {
  it('lets an open stream and a waiting call end, and refuses new ones meanwhile', async () => {
    await addModel();
    const stream = outcome('/chat/completions', { messages, stream: true });
    const call = router.chatCompletion('acme', { model: 'm', messages });
    while (answers.length < 2) await turn();
    let closed = false;
    const closing = router.close().then(() => {
      closed = true;
    });
    await expect(router.chatCompletion('acme', { model: 'm', messages })).rejects.toMatchObject({
      status: 503,
      code: 'draining',
    });
    await expect(router.listModels('acme')).rejects.toMatchObject({ code: 'draining' });
    expect(closed).toBe(false);
    const streamed = answers.find((answer) => answer.headersSent);
    const waiting = answers.find((answer) => !answer.headersSent);
    if (waiting === undefined) throw new Error('Both were answered.');
    sendJson(waiting, 200, chatCompletion('m'));
    expect((await call).choices[0]?.message.content).toBe('Hello there');
    expect(closed).toBe(false);
    const [, ...rest] = chatChunks('m');
    for (const chunk of rest) streamed?.write(`data: ${JSON.stringify(chunk)}\n\n`);
    streamed?.end('data: [DONE]\n\n');
    expect((await stream).text.endsWith('data: [DONE]\n\n')).toBe(true);
    await closing;
    expect(receipts.map(({ code }) => code).sort()).toEqual(['draining', undefined, undefined]);
  });

  it('lets a change under way be stored', async () => {
    const inner = memoryStorage();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let arrived = () => {};
    const written = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    storage = {
      ...inner,
      async put(...given) {
        arrived();
        await held;
        return inner.put(...given);
      },
      close: async () => {},
    };
    router = newRouter();
    const change = router.createTeam({ team_id: 'acme' });
    await written;
    const closing = router.close();
    release();
    expect((await change).team_id).toBe('acme');
    await closing;
    expect((await newRouter().getTeamInfo('acme')).team_id).toBe('acme');
  });

  it('waits no longer for a stream that its reader has left', async () => {
    await addModel();
    for await (const _ of await router.chatCompletion('acme', { model: 'm', messages, stream: true })) break;
    await router.close({ drainTimeoutMs: 86_400_000 });
  });

  it('is shortened by a second call', async () => {
    await addModel();
    const call = router.chatCompletion('acme', { model: 'm', messages }).catch(codeOf);
    await asked;
    const closing = router.close({ drainTimeoutMs: 86_400_000 });
    await router.close({ drainTimeoutMs: 0 });
    await closing;
    expect(await call).toBe('draining');
  });

  it.each([[{ drainTimeoutMs: -1 }], [{ drainTimeoutMs: 0.5 }], [{ drainTimeout: 5 }]])(
    'refuses %j and stays open',
    async (options) => {
      const [name] = Object.keys(options);
      const refused = expect(async () => router.close(options as object)).rejects;
      await refused.toMatchObject({ code: 'invalid_request', param: name });
      expect(await router.listTeams()).toMatchObject({ teams: [] });
    },
  );
});

describe('a router that is closed', () => {
  /** Those that make something, or count bytes, and ask nothing. */
  const silent = [
    'constructor',
    'close',
    'forTeam',
    'fetchFor',
    'dispatch',
    'reserveMemory',
    'connect',
    'openSession',
  ];

  it('answered management with storage_unavailable: every method says draining', async () => {
    await router.close();
    const prototypes = [TeamModelRouter.prototype, Object.getPrototypeOf(TeamModelRouter.prototype)];
    const methods = prototypes
      .flatMap((prototype) => Object.getOwnPropertyNames(prototype))
      .filter((name) => !silent.includes(name));
    expect(methods.length).toBeGreaterThan(30);
    for (const name of [...methods, 'chatCompletion']) {
      const method = (router as unknown as Record<string, (...given: unknown[]) => Promise<unknown>>)[name];
      const body = name === 'chatCompletion' ? { model: 'm', messages } : {};
      await expect(method?.call(router, 'acme', body, body), name).rejects.toMatchObject({
        status: 503,
        code: 'draining',
      });
    }
    await expect(router.forTeam('acme').models.list()).rejects.toMatchObject({ code: 'draining' });
    const response = await router.fetchFor('acme')(`${teamBaseUrl}/models`);
    expect(await response.json()).toMatchObject({ error: { code: 'draining' } });
    const socket = router.connect('acme', { path: '/v1/realtime', model: 'm' });
    const failed = new Promise((resolve) => socket.addEventListener('error', resolve));
    expect(await failed).toMatchObject({ error: { code: 'draining' } });
  });

  it('says draining on every route of the gateway, with a key and with the master key', async () => {
    const gateway = createGateway(router, { masterKey, openapi: true });
    const { key } = await router.createKey('acme');
    await router.verifyKey(key);
    const routes = await documentedRoutes(gateway);
    await router.close();
    const values = {
      key,
      litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef' },
      model_info: { id: 'x' },
      team_ids: ['acme'],
      models: ['m'],
      keys: [key],
    };
    // A stored model is tested by its id alone.
    const bodyOf = (path: string, schema: Parameters<typeof bodiesOf>[0]) =>
      path === '/health/test_connection' ? { model_info: { id: 'x' } } : bodiesOf(schema, values)[0];
    const wrong: string[] = [];
    let asked = 0;
    for (const { method, path, schema, form } of routes) {
      if (path.startsWith('/health/live') || path === '/openapi.json') continue;
      const body = form ? 'x' : schema === undefined ? undefined : JSON.stringify(bodyOf(path, schema));
      for (const authorization of [`Bearer ${key}`, `Bearer ${masterKey}`]) {
        const init: RequestInit = { method, headers: { authorization, 'content-type': 'application/json' } };
        if (method !== 'GET' && method !== 'HEAD') init.body = body ?? '{}';
        const query = path === '/team/info' ? '?team_id=acme' : path === '/key/info' ? `?key=${key}` : '';
        const url = `http://gateway.test${path.replace(/\{\w+\}/g, 'x')}${query}`;
        const response = await gateway.fetch(new Request(url, init));
        const answered = (await response.json()) as { error?: { code?: string } };
        const told = `${method} ${path} ${JSON.stringify(answered)}`;
        if (response.status !== 503 || answered.error?.code !== 'draining') wrong.push(told);
        asked += 1;
      }
    }
    expect(wrong).toEqual([]);
    expect(asked).toBeGreaterThan(100);
    const ready = await gateway.fetch(new Request('http://gateway.test/health/readiness'));
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ status: 'draining', error: { code: 'draining' } });
  });
});
