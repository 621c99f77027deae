import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import OpenAI6 from 'openai';
import { OpenAIRealtimeWS as Realtime6 } from 'openai/realtime/ws';
import { ResponsesWS as Responses6 } from 'openai/resources/responses/ws';
import OpenAI7 from 'openai-7';
import { OpenAIRealtimeWS as Realtime7 } from 'openai-7/realtime/ws';
import { LiveWS } from 'openai-7/resources/live/ws';
import { ResponsesWS as Responses7 } from 'openai-7/resources/responses/ws';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { createGateway, type GatewayOptions } from 'team-model-router/http';
import { expressGateway } from 'team-model-router/http/express';
import { fastifyGateway } from 'team-model-router/http/fastify';
import { attachWebSockets, serveGateway, socketOptions } from 'team-model-router/http/node';
import { afterEach, describe, expect, it } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { type ScriptOptions, type SocketProvider, socketProvider } from '../support/socket-provider.ts';

const masterKey = 'm'.repeat(40);
const opened: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

interface Setting {
  router: TeamModelRouter;
  provider: SocketProvider;
  gateway: ReturnType<typeof createGateway>;
  key: string;
  receipts: Receipt[];
}

async function setting(
  options: Partial<GatewayOptions> = {},
  script: ScriptOptions = {},
  more: Partial<ConstructorParameters<typeof TeamModelRouter>[0]> = {},
): Promise<Setting> {
  const provider = await socketProvider(script);
  const receipts: Receipt[] = [];
  const router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: ['http://127.0.0.1'] },
    onCall: (receipt) => receipts.push(receipt),
    ...more,
  });
  opened.push(provider, router);
  await router.addModel('acme', {
    model_name: 'voice',
    litellm_params: {
      model: 'openai/gpt-realtime',
      api_base: `${provider.url}/v1`,
      api_key: 'sk-acme-secret-key',
    },
  });
  const { key } = await router.createKey('acme', {});
  return { router, provider, gateway: createGateway(router, { masterKey, ...options }), key, receipts };
}

async function served(options?: Partial<GatewayOptions>, script?: ScriptOptions, more?: object) {
  const set = await setting(options, script, more);
  const server = await serveGateway(set.gateway, { port: 0, drainTimeoutMs: 50 });
  opened.push(server);
  return { ...set, url: server.url.replace('http', 'ws'), server };
}

const bearer = (key: string): ClientOptions => ({ headers: { authorization: `Bearer ${key}` } });

/** Opens a socket. Resolves with its events, or with the response that refused it. */
function open(url: string, protocols: string[] = [], options: ClientOptions = {}) {
  const socket = new WebSocket(url, protocols, options);
  const events: Record<string, unknown>[] = [];
  socket.on('message', (data) => events.push(JSON.parse(String(data))));
  socket.on('error', () => {});
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })),
  );
  const done = new Promise<{ status: number; body: string }>((resolve) => {
    socket.on('open', () => resolve({ status: 101, body: '' }));
    socket.on('unexpected-response', (_, response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
  });
  return { socket, events, closed, done };
}

const text = (events: readonly Record<string, unknown>[]) =>
  events.filter(({ type }) => type === 'response.output_text.delta').map(({ delta }) => delta);

describe('WebSocket sessions of the gateway', () => {
  it.each([
    ['Authorization', (key: string) => ({ protocols: [], options: bearer(key) })],
    ['api-key', (key: string) => ({ protocols: [], options: { headers: { 'api-key': key } } })],
    [
      'a subprotocol',
      (key: string) => ({ protocols: ['realtime', `openai-insecure-api-key.${key}`], options: {} }),
    ],
  ])('take a key by %s', async (_, given) => {
    const { url, key, provider, receipts } = await served();
    const { protocols, options } = given(key);
    const { socket, events, done } = open(`${url}/v1/realtime?model=voice`, protocols, options);
    expect(await done).toMatchObject({ status: 101 });
    expect(socket.protocol).toBe(protocols[0] ?? '');
    socket.send(JSON.stringify({ type: 'response.create' }));
    await expect.poll(() => events.at(-1)?.type).toBe('response.done');
    expect(text(events)).toEqual(['Hel', 'lo ', 'you']);
    expect(JSON.stringify(provider.sessions[0]?.headers)).not.toContain(key);
    socket.close();
    await expect.poll(() => receipts).toMatchObject([{ status: 101, tokens: { total: 12 } }]);
  });

  it('are refused in the error shape before any upgrade', async () => {
    const { url, key, provider, router } = await served();
    const restricted = await router.createKey('acme', { models: [] });
    const reader = await router.createKey('acme', { key_type: 'read_only' });
    const refusals: [string, ClientOptions, number, string][] = [
      ['/v1/realtime?model=voice', {}, 401, 'invalid_api_key'],
      ['/v1/realtime?model=voice', bearer('sk-wrong'), 401, 'invalid_api_key'],
      [`/v1/realtime?model=voice&api-key=${key}`, {}, 401, 'invalid_api_key'],
      ['/v1/realtime?model=other', bearer(key), 404, 'model_not_found'],
      ['/v1/realtime?model=voice', bearer(restricted.key), 404, 'model_not_found'],
      ['/v1/realtime?model=voice', bearer(reader.key), 403, 'permission_denied'],
      ['/v1/chat/completions', bearer(key), 404, 'not_found'],
      ['/nowhere', bearer(key), 404, 'not_found'],
    ];
    for (const [path, options, status, code] of refusals) {
      const refused = await open(url + path, [], options).done;
      expect(refused.status, path).toBe(status);
      expect(JSON.parse(refused.body), path).toMatchObject({ error: { code } });
    }
    expect(provider.sessions).toEqual([]);
    const plain = await fetch(`${url.replace('ws', 'http')}/v1/realtime`, {
      headers: { authorization: `Bearer ${key}` },
    });
    expect([plain.status, plain.headers.get('upgrade')]).toEqual([426, 'websocket']);
  });

  it('answer 504 if the provider never answers the handshake', async () => {
    const { url, key } = await served(
      {},
      { onUpgrade: () => true },
      { sessions: { handshakeTimeoutMs: 200 } },
    );
    const refused = await open(`${url}/v1/realtime?model=voice`, [], bearer(key)).done;
    expect(refused).toMatchObject({ status: 504 });
    expect(JSON.parse(refused.body)).toMatchObject({ error: { code: 'provider_timeout' } });
  });

  it('close with 1007 for an event that is malformed where it would name a model', async () => {
    const { url, key } = await served();
    const { socket, events, closed, done } = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await done;
    socket.send('{"type":"session.update","session":{"model":');
    expect(await closed).toMatchObject({ code: 1007 });
    expect(events.at(-1)).toMatchObject({ type: 'error', error: { code: 'invalid_request' } });
    const late = open(`${url}/v1/responses`, [], bearer(key));
    await late.done;
    late.socket.send('no JSON');
    expect(await late.closed).toMatchObject({ code: 1007 });
    const next = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    expect(await next.done).toMatchObject({ status: 101 });
  });

  it('survive frames that are no WebSocket', async () => {
    const { url, key } = await served();
    const { socket, done, closed } = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await done;
    (socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(Buffer.alloc(64, 0xff));
    await closed;
    const next = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    expect(await next.done).toMatchObject({ status: 101 });
  });

  it('refuse pages of other sites where the application authenticates, and take its own', async () => {
    const authenticate = () => ({ teamId: 'acme', keyType: 'llm_api' as const });
    const { url } = await served({
      authenticate,
      cors: { origin: ['https://invited.test'], credentials: true },
    });
    const statuses = [];
    for (const origin of [
      'https://foreign.test',
      url.replace('ws', 'http'),
      'https://invited.test',
      undefined,
    ]) {
      const options = origin === undefined ? {} : { origin };
      statuses.push((await open(`${url}/v1/realtime?model=voice`, [], options).done).status);
    }
    expect(statuses).toEqual([403, 101, 101, 101]);
  });

  it('end when their key is revoked, their team is blocked, and their model is removed', async () => {
    const { url, router } = await served({}, {}, { maxStalenessMs: 200 });
    const begin = async () => {
      const { key, token } = await router.createKey('acme', {});
      const session = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
      await session.done;
      return { ...session, token };
    };
    const revoked = await begin();
    await router.deleteKey('acme', revoked.token);
    expect(await revoked.closed).toEqual({ code: 1008, reason: 'invalid_api_key' });
    const blocked = await begin();
    await router.updateTeam('acme', { blocked: true });
    expect(await blocked.closed).toEqual({ code: 1008, reason: 'team_blocked' });
    await router.updateTeam('acme', { blocked: false });
    const removed = await begin();
    const { data } = await router.listModels('acme');
    await router.deleteModel('acme', data[0]?.model_info.id ?? '');
    expect(await removed.closed).toEqual({ code: 1008, reason: 'model_not_found' });
    expect(removed.events.at(-1)).toMatchObject({ type: 'error', error: { code: 'model_not_found' } });
  });

  it('outlast a key that ends by its own duration', async () => {
    const { url, router, provider } = await served({}, {}, { maxStalenessMs: 100 });
    const { key } = await router.createKey('acme', { duration: '1s', models: ['voice'] });
    const { socket, events, done } = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await done;
    const again = async () => (await open(`${url}/v1/realtime?model=voice`, [], bearer(key)).done).status;
    await expect.poll(again, { timeout: 5_000 }).toBe(401);
    // The next change of the team removes the key.
    await router.createKey('acme', {});
    socket.send(JSON.stringify({ type: 'response.create' }));
    await expect.poll(() => events.at(-1)?.type).toBe('response.done');
    expect(provider.sessions[0]?.socket.readyState).toBe(WebSocket.OPEN);
  });

  it('are limited per team and in all, in size, in time and in idle time', async () => {
    const { url, key, router } = await served(
      {},
      {},
      { sessions: { maxSessionsPerTeam: 1, maxMessageBytes: 1024, idleTimeoutMs: 400 } },
    );
    const first = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await first.done;
    const second = await open(`${url}/v1/realtime?model=voice`, [], bearer(key)).done;
    expect([second.status, JSON.parse(second.body).error.code]).toEqual([429, 'rate_limit_exceeded']);
    first.socket.send('x'.repeat(2048));
    expect(await first.closed).toMatchObject({ code: 1009 });
    const third = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await expect.poll(async () => (await third.done).status).toBe(101);
    expect(await third.closed).toMatchObject({ code: 1008 });
    await router.close();
  });

  it('count as one parallel request of their deployment', async () => {
    const { url, key, router } = await served();
    const { data } = await router.listModels('acme');
    await router.updateModel('acme', data[0]?.model_info.id ?? '', {
      litellm_params: { max_parallel_requests: 1 },
    });
    const first = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await first.done;
    expect((await open(`${url}/v1/realtime?model=voice`, [], bearer(key)).done).status).toBe(429);
    first.socket.close();
    const again = async () => (await open(`${url}/v1/realtime?model=voice`, [], bearer(key)).done).status;
    await expect.poll(again).toBe(101);
  });

  it('end with 1001 when the server closes', async () => {
    const { url, key, server } = await served();
    const { done, closed } = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await done;
    await server.close();
    expect(await closed).toEqual({ code: 1001, reason: 'draining' });
  });

  it('tell the provider that the client was cut', async () => {
    const { url, key, provider, receipts } = await served();
    const { socket, done } = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await done;
    socket.terminate();
    expect(await (await provider.next()).closed).toBe(1011);
    await expect.poll(() => receipts).toMatchObject([{ status: 101, code: 'aborted' }]);
  });

  it('pass messages that are larger than any buffer, past ends that are slow', async () => {
    let received = 0;
    const onEvent = () => {
      received += 1;
    };
    const { url, key, provider } = await served({}, { onEvent });
    const { socket, events, done } = open(`${url}/v1/realtime?model=voice`, [], bearer(key));
    await done;
    const { socket: far } = await provider.next();
    const event = JSON.stringify({ type: 'input_audio_buffer.append', audio: 'A'.repeat(1_048_576) });
    for (const end of [socket, far]) end.pause();
    for (let sent = 0; sent < 16; sent++) for (const end of [socket, far]) end.send(event);
    for (const end of [far, socket]) end.resume();
    await expect.poll(() => [received, events.length], { timeout: 20_000 }).toEqual([16, 16]);
  });

  it('leave requests that ask for HTTP/2 to the gateway', async () => {
    const { url, key } = await served();
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    const head = `GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n`;
    socket.write(head);
    const [answer] = await Promise.all([
      new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data)))),
    ]);
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('open under Express and Fastify, and leave other paths to the application', async () => {
    const set = await setting();
    const app = express();
    app.use('/llm', expressGateway(set.gateway));
    const server = createServer(app);
    const ended = attachWebSockets(server, set.gateway, { mountPath: '/llm' });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({
      async close() {
        ended.end();
        server.closeAllConnections();
        server.close();
      },
    });
    const app2 = fastify();
    app2.register(fastifyGateway(set.gateway), { prefix: '/llm' });
    const fastifyUrl = await app2.listen({ host: '127.0.0.1', port: 0 });
    const urls = [
      `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
      fastifyUrl.replace('http', 'ws'),
    ];
    for (const url of urls) {
      const { socket, events, done } = open(`${url}/llm/v1/realtime?model=voice`, [], bearer(set.key));
      expect(await done).toMatchObject({ status: 101 });
      socket.send(JSON.stringify({ type: 'response.create' }));
      await expect.poll(() => events.at(-1)?.type).toBe('response.done');
    }
    server.on('upgrade', (request, socket) => {
      if (request.url === '/own') socket.end('HTTP/1.1 418 Own\r\ncontent-length: 0\r\n\r\n');
    });
    expect((await open(`${urls[0]}/own`).done).status).toBe(418);
    await app2.close();
  });
});

describe('OpenAI clients over WebSockets', () => {
  /** What both majors have in common: their types of events differ. */
  interface Connection {
    on(type: string, listener: (event: never) => void): unknown;
    send(event: object): void;
    close(): void;
    socket: { on(type: string, listener: () => void): unknown };
  }
  const clients = [
    ['6', OpenAI6, Realtime6, Responses6],
    ['7', OpenAI7, Realtime7, Responses7],
  ] as const;

  it.each(clients)(
    'talk through OpenAIRealtimeWS and ResponsesWS of openai %s',
    async (_, Client, Realtime, Responses) => {
      const { url, key } = await served();
      const client = new Client({ apiKey: key, baseURL: `${url.replace('ws', 'http')}/v1` });
      // The class makes a wss: URL of every base, and the gateway of a test has no certificate.
      const options = {
        agent: undefined,
        createConnection: () => connect(Number(new URL(url).port), '127.0.0.1'),
      };
      const realtime = new Realtime(
        { model: 'voice', options } as never,
        client as never,
      ) as unknown as Connection;
      const said: unknown[] = [];
      realtime.on('error', () => {});
      realtime.on('response.output_text.delta', (event: { delta: string }) => said.push(event.delta));
      const done = new Promise((resolve) => realtime.on('response.done', resolve as never));
      realtime.socket.on('open', () => realtime.send({ type: 'response.create' } as never));
      await done;
      expect(said).toEqual(['Hel', 'lo ', 'you']);
      realtime.close();
      const responses = new Responses(client as never) as unknown as Connection;
      responses.on('error', () => {});
      const completed = new Promise<{ response: { model: string } }>((resolve) =>
        responses.on('response.completed', resolve as never),
      );
      responses.socket.on('open', () =>
        responses.send({ type: 'response.create', model: 'voice', input: 'Hello' } as never),
      );
      expect((await completed).response.model).toBe('voice');
      responses.close();
    },
  );

  it('talk through LiveWS of openai 7', async () => {
    const { url, key, provider } = await served();
    const client = new OpenAI7({ apiKey: key, baseURL: `${url.replace('ws', 'http')}/v1` });
    const live = new LiveWS(client);
    live.on('error', () => {});
    const started = new Promise<unknown>((resolve) => live.on('session.started', resolve as never));
    live.send({ type: 'session.start', session: { model: 'voice' } } as never);
    expect(await started).toMatchObject({ session: { model: 'voice' } });
    expect(provider.sessions[0]?.events[0]).toMatchObject({ session: { model: 'gpt-realtime' } });
    live.close();
  });

  it.each(clients)(
    'run in-process, by socketOptions, of openai %s',
    async (_, Client, Realtime, Responses) => {
      const { router, provider } = await setting();
      const client = new Client({ apiKey: 'none', baseURL: 'https://team-model-router.invalid/v1' });
      const options = socketOptions(router, 'acme');
      const realtime = new Realtime(
        { model: 'voice', options } as never,
        client as never,
      ) as unknown as Connection;
      realtime.on('error', () => {});
      const done = new Promise((resolve) => realtime.on('response.done', resolve as never));
      realtime.socket.on('open', () => realtime.send({ type: 'response.create' }));
      await done;
      realtime.close();
      const responses = new Responses(client as never, options as never) as unknown as Connection;
      responses.on('error', () => {});
      const completed = new Promise((resolve) => responses.on('response.completed', resolve as never));
      responses.socket.on('open', () => responses.send({ type: 'response.create', model: 'voice' }));
      await completed;
      responses.close();
      expect(provider.sessions.map(({ headers }) => headers.authorization)).toEqual(
        Array.from({ length: 2 }, () => 'Bearer sk-acme-secret-key'),
      );
    },
  );

  it('run in-process through LiveWS and the client of forTeam', async () => {
    const { router } = await setting();
    const client = new OpenAI7({ apiKey: 'none', baseURL: 'https://team-model-router.invalid/v1' });
    const live = new LiveWS(client, socketOptions(router, 'acme') as never);
    live.on('error', () => {});
    const started = new Promise<unknown>((resolve) => live.on('session.started', resolve as never));
    live.send({ type: 'session.start', session: { model: 'voice' } } as never);
    expect(await started).toMatchObject({ session: { model: 'voice' } });
    live.close();
  });
});
