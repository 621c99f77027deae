import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  type RouterOptions,
  TeamModelRouter,
  type TeamSocket,
} from 'team-model-router';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type ScriptOptions,
  type SocketProvider,
  sendEvent,
  socketProvider,
} from '../support/socket-provider.ts';

const opened: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function provider(options?: ScriptOptions): Promise<SocketProvider> {
  const started = await socketProvider(options);
  opened.push(started);
  return started;
}

function router(options: Partial<RouterOptions> = {}): { router: TeamModelRouter; receipts: Receipt[] } {
  const receipts: Receipt[] = [];
  const made = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: ['http://127.0.0.1'] },
    onCall: (receipt) => receipts.push(receipt),
    ...options,
  });
  opened.push(made);
  return { router: made, receipts };
}

function add(made: TeamModelRouter, teamId: string, name: string, base: string, more: object = {}) {
  return made.addModel(teamId, {
    model_name: name,
    litellm_params: {
      model: 'openai/gpt-realtime',
      api_base: `${base}/v1`,
      api_key: `sk-${teamId}-secret-key`,
      ...more,
    },
  });
}

type Event = Record<string, unknown> & { type: string };

/** Collects the events of a socket. */
function listen(socket: TeamSocket) {
  const events: Event[] = [];
  const waiting: { type: string; resolve: (event: Event) => void }[] = [];
  socket.addEventListener('message', (message) => {
    const event = JSON.parse((message as unknown as { data: string }).data) as Event;
    events.push(event);
    const at = waiting.findIndex(({ type }) => type === event.type);
    if (at !== -1) waiting.splice(at, 1)[0]?.resolve(event);
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.addEventListener('close', (event) =>
      resolve(event as unknown as { code: number; reason: string }),
    ),
  );
  const failed = new Promise<{ error: { code: string; status: number; message: string } }>((resolve) =>
    socket.addEventListener('error', (event) => resolve(event as never)),
  );
  const open = new Promise((resolve) => socket.addEventListener('open', resolve));
  return {
    events,
    open,
    closed,
    failed,
    until: (type: string) =>
      events.find((event) => event.type === type) ??
      new Promise<Event>((resolve) => waiting.push({ type, resolve })),
  };
}

function send(socket: TeamSocket, event: Record<string, unknown>): void {
  socket.send(JSON.stringify(event));
}

describe('router.connect', () => {
  it('relays a realtime session under the public name, with the stored key', async () => {
    const upstream = await provider();
    const { router: made, receipts } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const socket = made.connect('acme', { path: '/v1/realtime', model: 'voice' });
    const heard = listen(socket);
    await heard.open;
    send(socket, { type: 'response.create' });
    await heard.until('response.done');
    const { url, headers } = upstream.sessions[0] ?? { url: '', headers: {} };
    expect(url).toBe('/v1/realtime?model=gpt-realtime');
    expect(headers.authorization).toBe('Bearer sk-acme-secret-key');
    expect(headers['sec-websocket-extensions']).toBeUndefined();
    expect(heard.events.map(({ type }) => type)).toEqual([
      'response.created',
      ...Array.from({ length: 3 }, () => [
        'response.output_text.delta',
        'response.output_audio.delta',
      ]).flat(),
      'response.done',
    ]);
    expect(
      heard.events
        .filter(({ type }) => type.includes('text'))
        .map(({ delta }) => delta)
        .join(''),
    ).toBe('Hello you');
    expect(heard.events[0]?.response).toMatchObject({ model: 'voice' });
    socket.close(1000, 'done');
    expect(await heard.closed).toMatchObject({ code: 1000, reason: 'done', wasClean: true });
    expect(await upstream.sessions[0]?.closed).toBe(1000);
    await expect
      .poll(() => receipts)
      .toMatchObject([
        {
          teamId: 'acme',
          requestedModel: 'voice',
          model: 'voice',
          status: 101,
          tokens: { input: 7, output: 5, total: 12 },
          attempts: [{ status: 101, reason: 'ok' }],
        },
      ]);
  });

  it('routes two teams with the same name to their own providers and keys', async () => {
    const [one, two] = [await provider(), await provider()];
    const { router: made } = router();
    await add(made, 'acme', 'voice', one.url);
    await add(made, 'globex', 'voice', two.url);
    const sockets = ['acme', 'globex'].map((team) =>
      made.connect(team, { path: '/v1/realtime', model: 'voice' }),
    );
    await Promise.all(sockets.map((socket) => listen(socket).open));
    expect(one.sessions.map(({ headers }) => headers.authorization)).toEqual(['Bearer sk-acme-secret-key']);
    expect(two.sessions.map(({ headers }) => headers.authorization)).toEqual(['Bearer sk-globex-secret-key']);
  });

  it('passes every other character of an event as it is', async () => {
    const upstream = await provider({ onEvent: () => {} });
    const { router: made } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const socket = made.connect('acme', { path: '/v1/realtime', model: 'voice' });
    const heard = listen(socket);
    await heard.open;
    const event = (model: string) =>
      `{ "type":"session.update",  "n": 12345678901234567890, "x": "\\u00e9\\"model\\"",\n "session" : {"m\\u006fdel": ${model}, "tools":[{"model":"voice"}]}}`;
    socket.send(event('"voice"'));
    const [session] = upstream.sessions;
    await expect.poll(() => session?.texts).toEqual([event('"gpt-realtime"')]);
  });

  it.each([
    ['Model', '{"type":"session.update","session":{"Model":"theirs"}}'],
    ['MODEL', '{"type":"response.create","MODEL":"theirs","model":"voice"}'],
    ['SESSION', '{"type":"session.update","SESSION":{"model":"theirs"}}'],
    ['Response', '{"type":"response.create","Response":{"model":"theirs"}}'],
    ['\uff4dodel', '{"type":"response.create","\uff4dodel":"theirs"}'],
    ['\\u004dodel', '{"type":"response.create","\\u004dodel":"theirs"}'],
  ])(
    'does not send an event with the key %s, which a lenient server reads as one that is judged',
    async (_, text) => {
      const upstream = await provider({ onEvent: () => {} });
      const { router: made } = router();
      await add(made, 'acme', 'voice', upstream.url);
      const socket = made.connect('acme', { path: '/v1/realtime', model: 'voice' });
      const heard = listen(socket);
      await heard.open;
      socket.send(text);
      const { error } = (await heard.until('error')) as unknown as {
        error: { code: string; message: string };
      };
      expect(error).toMatchObject({
        code: 'invalid_request',
        message: expect.stringMatching(/must be written/),
      });
      socket.send('{"type":"input_audio_buffer.commit"}');
      const [session] = upstream.sessions;
      await expect.poll(() => session?.texts).toEqual(['{"type":"input_audio_buffer.commit"}']);
    },
  );

  it('sends a Blob in its place among the other messages', async () => {
    const received: string[] = [];
    const upstream = await provider({
      onEvent: () => {},
      onOpen: (session) => session.socket.on('message', (data) => received.push(String(data))),
    });
    const { router: made } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const socket = made.connect('acme', { path: '/v1/realtime', model: 'voice' });
    await listen(socket).open;
    const texts = ['{"n":1}', '{"n":2}', '{"n":3}', '{"n":4}'];
    for (const [at, text] of texts.entries()) socket.send(at % 2 === 0 ? new Blob([text]) : text);
    await expect.poll(() => received).toEqual(texts);
    expect(socket.bufferedAmount).toBe(0);
  });

  it('ends the session if a Blob cannot be read', async () => {
    const upstream = await provider({ onEvent: () => {} });
    const { router: made } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const socket = made.connect('acme', { path: '/v1/realtime', model: 'voice' });
    const heard = listen(socket);
    await heard.open;
    const blob = new Blob(['{}']);
    blob.arrayBuffer = () => Promise.reject(new Error('The file is gone.'));
    socket.send(blob);
    expect(await heard.closed).toMatchObject({ code: 1011 });
  });

  it('opens a responses session at the first event, by the model in it', async () => {
    const [one, two] = [await provider(), await provider()];
    const { router: made, receipts } = router();
    await add(made, 'acme', 'first', one.url, { model: 'openai/gpt-one' });
    await add(made, 'acme', 'second', two.url, { model: 'openai/gpt-two' });
    const socket = made.connect('acme', { path: '/v1/responses' });
    const heard = listen(socket);
    await heard.open;
    expect([...one.sessions, ...two.sessions]).toEqual([]);
    send(socket, { type: 'response.create', model: 'second', input: 'Hello' });
    await heard.until('response.completed');
    expect(one.sessions).toEqual([]);
    expect(two.sessions[0]?.url).toBe('/v1/responses');
    expect(two.sessions[0]?.events).toEqual([{ type: 'response.create', model: 'gpt-two', input: 'Hello' }]);
    send(socket, { type: 'response.create', model: 'first', input: 'Hello' });
    expect(await heard.until('error')).toMatchObject({ error: { code: 'invalid_request', param: 'model' } });
    send(socket, { type: 'response.create', model: 'third', input: 'Hello' });
    await expect.poll(() => heard.events.at(-1)).toMatchObject({ error: { code: 'model_not_found' } });
    expect(two.sessions[0]?.events).toHaveLength(1);
    socket.close();
    await heard.closed;
    await expect
      .poll(() => receipts)
      .toMatchObject([{ model: 'second', status: 101, tokens: { total: 12 } }]);
  });

  it('opens a live session by the model of its first event, and sends later calls to the same account', async () => {
    const upstream = await provider();
    const { router: made } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const socket = made.connect('acme', { path: '/v1/live/sessions' });
    const heard = listen(socket);
    await heard.open;
    send(socket, { type: 'session.start', session: { model: 'voice' } });
    expect(await heard.until('session.started')).toMatchObject({ session: { model: 'voice' } });
    expect(upstream.sessions[0]?.events[0]).toMatchObject({ session: { model: 'gpt-realtime' } });
    const side = made.connect('acme', { path: '/v1/live/sessions/sess_1/attach' });
    await listen(side).open;
    const fork = made.connect('acme', { path: '/live/sessions/sess_1/fork' });
    await listen(fork).open;
    expect(upstream.sessions.slice(1).map(({ url }) => url)).toEqual([
      '/v1/live/sessions/sess_1/attach',
      '/v1/live/sessions/sess_1/fork',
    ]);
  });

  it('opens transcriptions, calls and translations', async () => {
    const upstream = await provider({ onEvent: () => {} });
    const { router: made } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const paths = [
      '/v1/realtime?intent=transcription',
      '/v1/realtime?call_id=rtc_1',
      '/v1/realtime/translations?model=voice',
      '/openai/v1/realtime?model=voice',
      '/openai/realtime?api-version=2025-04-01-preview&deployment=voice',
      '/openai/deployments/voice/realtime',
    ];
    for (const path of paths) {
      const socket = made.connect('acme', { path });
      await listen(socket).open;
      if (path.includes('intent'))
        send(socket, {
          type: 'session.update',
          session: { audio: { input: { transcription: { model: 'voice' } } } },
        });
    }
    expect(upstream.sessions.map(({ url }) => url)).toEqual([
      '/v1/realtime?intent=transcription',
      '/v1/realtime?call_id=rtc_1',
      '/v1/realtime/translations?model=gpt-realtime',
      '/v1/realtime?model=gpt-realtime',
      '/v1/realtime?model=gpt-realtime',
      '/v1/realtime?model=gpt-realtime',
    ]);
    await expect
      .poll(() => upstream.sessions[0]?.events[0])
      .toMatchObject({
        session: { audio: { input: { transcription: { model: 'gpt-realtime' } } } },
      });
  });

  it("speaks Azure's two forms with Azure's header", async () => {
    const upstream = await provider();
    const { router: made } = router();
    await add(made, 'acme', 'dated', upstream.url, {
      api_base: upstream.url,
      api_version: '2025-04-01-preview',
    });
    await add(made, 'acme', 'undated', upstream.url, {
      api_base: `${upstream.url}/openai/v1`,
      custom_llm_provider: 'azure',
      model: 'gpt-realtime',
    });
    for (const model of ['dated', 'undated'])
      await listen(made.connect('acme', { path: '/v1/realtime', model })).open;
    expect(upstream.sessions.map(({ url }) => url)).toEqual([
      '/openai/realtime?deployment=gpt-realtime&api-version=2025-04-01-preview',
      '/openai/v1/realtime?model=gpt-realtime',
    ]);
    expect(upstream.sessions.map(({ headers }) => headers['api-key'])).toEqual(
      Array.from({ length: 2 }, () => 'sk-acme-secret-key'),
    );
  });

  it('fails with the error of the router for a model, a team and a path that are not there', async () => {
    const upstream = await provider();
    const { router: made, receipts } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const failures: [string, { path: string; model?: string }, string][] = [
      ['acme', { path: '/v1/realtime', model: 'other' }, 'model_not_found'],
      ['globex', { path: '/v1/realtime', model: 'voice' }, 'model_not_found'],
      ['acme', { path: '/v1/chat/completions', model: 'voice' }, 'not_found'],
    ];
    for (const [team, options, code] of failures) {
      const heard = listen(made.connect(team, options));
      expect((await heard.failed).error).toMatchObject({ code });
      expect(await heard.closed).toMatchObject({ code: 1006 });
    }
    expect(upstream.sessions).toEqual([]);
    await expect.poll(() => receipts.map(({ status }) => status)).toEqual([404, 404, 404]);
  });

  it('tells how the provider refused the handshake, and quotes no secret', async () => {
    let status = 401;
    const upstream = await provider({
      onUpgrade: (_, socket) => {
        const body = JSON.stringify({
          error: { message: 'Incorrect API key provided: sk-acme-secret-key.', code: 'invalid_api_key' },
        });
        socket.end(
          `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        );
        return true;
      },
    });
    const { router: made, receipts } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const refused = await listen(made.connect('acme', { path: '/v1/realtime', model: 'voice' })).failed;
    expect(refused.error).toMatchObject({ code: 'provider_authentication_failed', status: 424 });
    expect(JSON.stringify(refused.error)).not.toContain('sk-acme-secret-key');
    status = 200;
    const plain = await listen(made.connect('acme', { path: '/v1/realtime', model: 'voice' })).failed;
    expect(plain.error).toMatchObject({ code: 'provider_unreachable' });
    await expect.poll(() => receipts.map(({ status: each }) => each)).toEqual([424, 502]);
  });

  it('ends a handshake that the provider never answers with provider_timeout', async () => {
    const upstream = await provider({ onUpgrade: () => true });
    const { router: made } = router({ sessions: { handshakeTimeoutMs: 200 } });
    await add(made, 'acme', 'voice', upstream.url);
    const { failed } = listen(made.connect('acme', { path: '/v1/realtime', model: 'voice' }));
    expect((await failed).error).toMatchObject({ code: 'provider_timeout', status: 504 });
  });

  it('refuses an address that the egress policy does not allow', async () => {
    const upstream = await provider();
    const { router: made } = router({
      egress: {
        allow: ['http://127.0.0.1', 'rebound.test'],
        lookup: (_, __, done) => done(null, [{ address: '127.0.0.2', family: 4 }]),
      },
    });
    await made.addModel('acme', {
      model_name: 'voice',
      litellm_params: {
        model: 'openai/x',
        api_base: 'https://public.test/v1',
        api_key: 'sk-acme-secret-key',
      },
    });
    const { failed } = listen(made.connect('acme', { path: '/v1/realtime', model: 'voice' }));
    expect((await failed).error).toMatchObject({ code: 'egress_denied' });
    expect(upstream.sessions).toEqual([]);
  });

  it("refuses sessions on shared models, because they may leave objects in the operator's account", async () => {
    const upstream = await provider();
    const { router: made } = router({ egress: { allow: ['http://127.0.0.1'] } });
    await made.addSharedModel({
      model_name: 'common',
      litellm_params: {
        model: 'openai/gpt-realtime',
        api_base: `${upstream.url}/v1`,
        api_key: 'sk-operator-key-1',
      },
    });
    await made.createTeam({ team_id: 'acme', models: ['common'] });
    const { failed } = listen(made.connect('acme', { path: '/v1/realtime', model: 'common' }));
    expect((await failed).error).toMatchObject({ code: 'stateful_on_shared', status: 400 });
    expect(upstream.sessions).toEqual([]);
  });

  it('hands close codes on in both directions', async () => {
    const upstream = await provider();
    const { router: made } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const first = listen(made.connect('acme', { path: '/v1/realtime', model: 'voice' }));
    await first.open;
    (await upstream.next()).socket.close(4003, 'over');
    expect(await first.closed).toMatchObject({ code: 4003, reason: 'over' });
    const socket = made.connect('acme', { path: '/v1/realtime', model: 'voice' });
    await listen(socket).open;
    socket.close(3001);
    expect(await (await upstream.next()).closed).toBe(3001);
  });

  it('tells the client if the provider is cut, and counts it as the provider failing', async () => {
    const upstream = await provider();
    const { router: made, receipts } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const heard = listen(made.connect('acme', { path: '/v1/realtime', model: 'voice' }));
    await heard.open;
    (await upstream.next()).socket.terminate();
    expect(await heard.until('error')).toMatchObject({ error: { code: 'provider_unreachable' } });
    expect(await heard.closed).toMatchObject({ code: 1011 });
    await expect.poll(() => receipts).toMatchObject([{ status: 101, code: 'provider_unreachable' }]);
    expect(await made.health('acme')).toMatchObject({});
  });

  it('redacts the key in what the provider says', async () => {
    const upstream = await provider({
      onOpen: (session) =>
        sendEvent(session, { type: 'error', error: { message: 'Bad key sk-acme-secret-key', code: 'x' } }),
    });
    const { router: made } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const heard = listen(made.connect('acme', { path: '/v1/realtime', model: 'voice' }));
    expect(JSON.stringify(await heard.until('error'))).not.toContain('sk-acme-secret-key');
  });

  it('ends open sessions with 1001 when the router closes', async () => {
    const upstream = await provider();
    const { router: made } = router();
    await add(made, 'acme', 'voice', upstream.url);
    const heard = listen(made.connect('acme', { path: '/v1/realtime', model: 'voice' }));
    await heard.open;
    const session = await upstream.next();
    await made.close();
    expect(await heard.closed).toMatchObject({ code: 1001, reason: 'draining' });
    expect(await session.closed).toBe(1001);
  });
});
