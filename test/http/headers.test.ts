import { connect, createServer, type Server } from 'node:net';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture, outcome, send } from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

/** The gateway twice: without a socket, and on Node, where what a caller sends is raw text. */
let recording: RecordingProvider;
let hostile: Server;
let house: GatewayFixture;
let server: GatewayServer;
let key: string;
/** What the hostile provider answers, byte for byte. */
let wire = '';

beforeAll(async () => {
  recording = await recordingProvider();
  hostile = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(Buffer.from(wire, 'latin1')));
  });
  await new Promise<void>((resolve) => hostile.listen(0, '127.0.0.1', resolve));
  const hostileUrl = `http://127.0.0.1:${(hostile.address() as { port: number }).port}`;
  house = gatewayFixture({ egress: { allow: [recording.url, hostileUrl] } });
  const params = { model: 'gpt-4o', api_key: 'key-of-acme', num_retries: 0 };
  const add = (model_name: string, more: object) =>
    house.router.addModel('acme', { model_name, litellm_params: { ...params, ...more } });
  await add('alpha', { api_base: recording.url });
  await add('extra', { api_base: recording.url, extra_headers: { 'x-of-the-team': 'yes' } });
  await add('hostile', { api_base: hostileUrl });
  await add('größe\u{1f600}', { api_base: recording.url });
  // Its provider fails again and again, and is asked all the same.
  await house.router.updateTeam('acme', { settings: { cooldown_time: 0 } });
  key = (await house.router.createKey('acme')).key;
  server = await serveGateway(house.gateway, { port: 0 });
});
afterAll(async () => {
  await server.close();
  await house.router.close({ drainTimeoutMs: 0 });
  hostile.close();
  await recording.close();
});
beforeEach(() => {
  recording.requests.length = 0;
});

/** Sends the text as it is, and reads until the other side has closed. */
function sendRaw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk)).on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.write(Buffer.from(text, 'latin1'));
  });
}

/** Every header that a provider must not see, each with a canary in it. */
const forbidden = `
  cookie: session=canary
  proxy-authorization: Basic canary
  x-api-key: canary
  api-key: canary
  x-goog-api-key: canary
  openai-organization: canary
  openai-project: canary
  x-forwarded-for: canary
  x-forwarded-host: canary
  x-forwarded-proto: canary
  x-real-ip: canary
  forwarded: for=canary
  via: 1.1 canary
  cf-connecting-ip: canary
  x-team-model: canary
  x-request-id: canary
  x-amz-security-token: canary
  origin: https://canary.test
  referer: https://canary.test/
  user-agent: canary
  accept-language: canary
  accept-encoding: canary
  content-md5: canary
  traceparent: canary
  x-litellm-api-key: canary
  x-stainless-os: canary
  range: canary
  if-none-match: "canary"
  expect-ct: canary
  te: canary
  x-of-the-team: canary`
  .trim()
  .split('\n')
  .map((line) => line.trim());
const passing = ['accept: text/canary-of-accept', 'openai-beta: assistants=v2', 'idempotency-key: once'];

const always = ['accept-encoding', 'authorization', 'connection', 'host', 'user-agent'];
const namesOf = () => Object.keys(recording.requests[0]?.headers ?? {}).sort();
const chat = (model: string) => JSON.stringify({ model, messages: [] });

function checkRequest(more: string[]): void {
  expect(recording.requests).toHaveLength(1);
  expect(namesOf()).toEqual([...always, ...more, 'accept', 'idempotency-key', 'openai-beta'].sort());
  const headers = recording.requests[0]?.headers;
  expect(headers).toMatchObject({
    accept: 'text/canary-of-accept',
    'openai-beta': 'assistants=v2',
    'idempotency-key': 'once',
    authorization: 'Bearer key-of-acme',
    'user-agent': 'team-model-router',
    'accept-encoding': 'identity',
  });
  expect(recording.everything().replaceAll('canary-of-accept', '')).not.toContain('canary');
  expect(recording.everything()).not.toContain(key);
}

describe('of a request', () => {
  const asObject = Object.fromEntries(
    [...forbidden, ...passing].map((line) => [
      line.slice(0, line.indexOf(':')),
      line.slice(line.indexOf(':') + 2),
    ]),
  );

  it('only allowed headers are forwarded to the provider', async () => {
    const answer = await send(
      house.gateway,
      'POST /v1/chat/completions?api-version=canary&key=canary&model=canary',
      {
        key,
        headers: { ...asObject, 'content-type': 'application/json; charset=utf-8; canary=1' },
        body: chat('alpha'),
      },
    );
    expect(outcome(answer)).toBe('200');
    checkRequest(['content-type', 'content-length']);
    expect(recording.requests[0]?.url).toBe('/v1/chat/completions');
    expect(recording.requests[0]?.headers['content-type']).toBe('application/json');
  });

  it.each([
    ['with a length', (body: string) => [`content-length: ${body.length}`, '', body]],
    [
      'in chunks',
      (body: string) => [
        'transfer-encoding: chunked',
        'trailer: x-canary',
        '',
        `${body.length.toString(16)}`,
        body,
        '0',
        'x-canary: canary',
        '',
        '',
      ],
    ],
  ])('only allowed headers are forwarded, from a socket, %s', async (_how, bodyOf) => {
    const lines = [
      'POST /v1/chat/completions?canary=1#canary HTTP/1.1',
      'host: canary.test',
      `authorization: Bearer ${key}`,
      'content-type: application/json',
      'connection: close, x-canary, openai-beta',
      'x-canary: canary',
      'keep-alive: canary',
      ...forbidden,
      ...passing,
    ];
    const answer = await sendRaw([...lines, ...bodyOf(chat('alpha'))].join('\r\n'));
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    checkRequest(['content-type', 'content-length']);
    expect(recording.requests[0]?.headers.host).not.toContain('canary');
    expect(recording.requests[0]?.headers['transfer-encoding']).toBeUndefined();
  });

  it.each([
    ['authorization: Bearer sk-other', 401],
    ['content-type: multipart/form-data; boundary=b', 400],
  ])('a duplicate is not read as its first value: %s', async (line, status) => {
    for (const twice of [[line], []]) {
      const lines = [
        'POST /v1/chat/completions HTTP/1.1',
        'host: x',
        'connection: close',
        `authorization: Bearer ${key}`,
        'content-type: application/json',
        ...twice,
      ];
      const body = chat('alpha');
      const answer = await sendRaw([...lines, `content-length: ${body.length}`, '', body].join('\r\n'));
      expect(answer.slice(0, 12)).toBe(`HTTP/1.1 ${twice.length === 0 ? 200 : status}`);
    }
  });

  it('a call without a body carries no content headers', async () => {
    const answer = await send(house.gateway, 'GET /v1/files', {
      key,
      headers: { ...asObject, 'x-team-model': 'alpha', 'content-type': 'text/canary' },
    });
    expect(outcome(answer)).toBe('200');
    checkRequest([]);
  });

  it('the header of the stored model is its own, whatever the caller sends', async () => {
    await send(house.gateway, 'POST /v1/chat/completions', {
      key,
      headers: { 'x-of-the-team': 'canary', 'content-type': 'application/json' },
      body: chat('extra'),
    });
    expect(recording.requests[0]?.headers['x-of-the-team']).toBe('yes');
  });

  it('of the query only known parameters are forwarded', async () => {
    const query = 'model=alpha&limit=2&after=a%26b&order=asc&purpose=x&api-version=1&key=k&user=u&limit%00=1';
    expect(outcome(await send(house.gateway, `GET /v1/files?${query}`, { key }))).toBe('200');
    const [path, sent = ''] = (recording.requests[0]?.url ?? '').split('?');
    expect(path).toBe('/v1/files');
    expect(Object.fromEntries(new URLSearchParams(sent))).toEqual({
      limit: '2',
      after: 'a&b',
      order: 'asc',
      purpose: 'x',
    });
  });

  it.each(['..%2f..%2fadmin', '%2e%2e', 'a%3Fx=1', 'a%23b', 'a%0d%0ax-evil:1', 'a%5c..'])(
    'an id in the path stays one segment: %s',
    async (id) => {
      const line = `GET /v1/files/${id}`;
      await send(house.gateway, line, { key, headers: { 'x-team-model': 'alpha' } });
      for (const { url } of recording.requests) expect(url).toMatch(/^\/v1\/files(\/[^/?#\\]+)?$/);
      await sendRaw(
        `${line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${key}\r\nx-team-model: alpha\r\n\r\n`,
      );
      for (const { url, headers } of recording.requests) {
        expect(url).toMatch(/^\/v1\/files(\/[^/?#\\]+)?$/);
        expect(headers['x-evil']).toBeUndefined();
      }
    },
  );
});

const call = (model = 'hostile') => ({
  key,
  headers: { 'content-type': 'application/json' },
  body: chat(model),
});

const hostileHeaders = `
  set-cookie: session=evil
  set-cookie: other=evil
  clear-site-data: "*"
  access-control-allow-origin: *
  access-control-allow-credentials: true
  access-control-expose-headers: *
  x-accel-redirect: /etc/passwd
  x-accel-buffering: no
  x-sendfile: /etc/passwd
  location: https://evil.test
  refresh: 0; url=https://evil.test
  link: <https://evil.test>; rel=preload
  content-security-policy: default-src *
  content-security-policy-report-only: default-src *
  x-content-type-options: sniff
  x-frame-options: ALLOWALL
  strict-transport-security: max-age=0
  alt-svc: h3=":443"
  www-authenticate: Basic realm=evil
  proxy-authenticate: Basic
  service-worker-allowed: /
  sourcemap: https://evil.test
  server: evil
  x-powered-by: evil
  etag: "evil"
  cache-control: public, max-age=99999
  vary: *
  report-to: {}
  nel: {}
  x-hono-already-sent: true
  x-litellm-model-id: evil
  x-litellm-call-id: evil
  x-litellm-model-group: evil
  x-litellm-error-source: router
  x-litellm-key: evil
  xopenai-evil: 1
  x-request-id-evil: 1
  trailer: x-evil
  upgrade: h2c
  keep-alive: timeout=9999`
  .trim()
  .split('\n')
  .map((line) => line.trim());
const kept = {
  'content-disposition': 'attachment; filename="a.txt"',
  'x-request-id': 'req-1',
  'retry-after': '7',
  'retry-after-ms': '7000',
  'openai-processing-ms': '12',
  'openai-version': '2020-10-01',
  'x-ratelimit-remaining-tokens': '99',
};
const ours = [
  'content-security-policy',
  'content-type',
  'x-content-type-options',
  'x-litellm-attempted-fallbacks',
  'x-litellm-attempted-retries',
  'x-litellm-call-id',
  'x-litellm-model-group',
  'x-litellm-model-id',
  'x-litellm-overhead-duration-ms',
  'x-litellm-response-duration-ms',
];
/** What Node writes of itself. */
const nodes = ['connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding'];

const answerOf = (status: string, headers: string[], body: string) =>
  [`HTTP/1.1 ${status}`, ...headers, '', body].join('\r\n');

describe('of an answer', () => {
  const both = (ask: () => ReturnType<typeof send>) => [
    { way: 'without a socket', ask },
    {
      way: 'on Node',
      ask: () => send({ fetch: overSocket }, 'POST /v1/chat/completions', call()),
    },
  ];
  const overSocket = (request: Request) => {
    const { pathname, search } = new URL(request.url);
    const { method, headers, body } = request;
    return fetch(`${server.url}${pathname}${search}`, {
      method,
      headers,
      body,
      duplex: 'half',
    } as RequestInit);
  };
  const ways = both(() => send(house.gateway, 'POST /v1/chat/completions', call()));

  describe.each(ways)('$way', ({ ask }) => {
    it.each(['application/json', 'audio/mpeg'])('a file’s name is handed on as it came: %s', async (type) => {
      const name = `attachment; filename="${Buffer.from('日本.txt').toString('latin1')}"`;
      wire = answerOf(
        '200 OK',
        ['content-length: 2', `content-type: ${type}`, `content-disposition: ${name}`],
        '{}',
      );
      const { status, headers } = await ask();
      expect([status, headers.get('content-disposition')]).toEqual([200, name]);
    });

    it.each([
      ['200 OK', '{"ok":true}', 'application/json'],
      ['400 Bad Request', '{"error":{"message":"m","type":"t","param":null,"code":"c"}}', 'application/json'],
      ['500 Oh', '{"error":{"message":"m","type":"t","param":null,"code":"c"}}', 'application/json'],
      ['200 OK', 'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n', 'text/event-stream'],
    ])('only what is meant to reaches the caller: %s', async (status, body, type) => {
      const lines = Object.entries(kept).map(([name, value]) => `${name}: ${value}`);
      wire = answerOf(
        status,
        [`content-type: ${type}`, ...hostileHeaders, ...lines, 'connection: close'],
        body,
      );
      const answer = await ask();
      const got = Object.fromEntries(answer.headers);
      expect(answer.status).toBe(Number(status.slice(0, 3)));
      expect(answer.text).toBe(body);
      const source = answer.status >= 400 ? ['x-litellm-error-source'] : [];
      // No other attempt at the same deployment can help.
      if (answer.status === 400) source.push('x-should-retry');
      expect(
        Object.keys(got)
          .filter((name) => !nodes.includes(name) && name !== 'x-accel-buffering')
          .sort(),
      ).toEqual([...ours, ...Object.keys(kept), ...source].sort());
      expect(got).toMatchObject({
        ...kept,
        'content-type': type,
        'content-security-policy': 'sandbox',
        'x-content-type-options': 'nosniff',
        'x-litellm-model-group': 'hostile',
        ...(answer.status >= 400 ? { 'x-litellm-error-source': 'provider' } : {}),
      });
      expect(JSON.stringify(got)).not.toContain('evil');
    });

    it.each([
      ['application/json; charset=utf-8', true],
      ['application/problem+json', true],
      ['text/plain; charset=utf-8', true],
      ['audio/mpeg', true],
      ['image/png', true],
      ['video/mp4', true],
      ['application/octet-stream', true],
      ['application/javascript', false],
      ['text/css', false],
      ['application/json, text/html', false],
      ['application/jsonp', false],
      ['application/pdf', false],
      ['application/wasm', false],
      ['', false],
    ])('the content type %j', async (type, passes) => {
      wire = answerOf('200 OK', [`content-type: ${type}`, 'content-length: 2'], '{}');
      const { status, headers } = await ask();
      expect(status).toBe(200);
      expect(headers.get('content-type')).toBe(passes ? type : 'application/octet-stream');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    });

    it.each([
      'text/html',
      'TEXT/HTML; charset=utf-8',
      'text/html; x=application/json',
      'application/xhtml+xml',
      ' text/html',
    ])('a page (%j) is no answer, and does not reach the caller', async (type) => {
      const page = '<!doctype html>';
      wire = answerOf('200 OK', [`content-type: ${type}`, `content-length: ${page.length}`], page);
      const answer = await ask();
      expect(outcome(answer)).toBe('502 provider_unreachable');
      expect(answer.headers.get('content-type')).toBe('application/json');
    });

    it('accepts a duplicate header, and bytes beyond ASCII', async () => {
      for (const line of [
        'x-request-id: a\r\nx-request-id: b',
        'x-request-id: \xe6\x97\xa5\xff',
        'openai-a: \t',
      ]) {
        wire = answerOf('200 OK', ['content-type: application/json', line, 'content-length: 2'], '{}');
        expect(outcome(await ask())).toBe('200');
      }
    });

    it('a stream whose label is odd is passed on under a type that no page can use', async () => {
      const body = 'data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';
      for (const type of ['text/event-stream, text/plain', 'text/event-stream x']) {
        wire = answerOf('200 OK', [`content-type: ${type}`, `content-length: ${body.length}`], body);
        const answer = await ask();
        expect(answer.headers.get('content-type')).toBe('application/octet-stream');
        expect(answer.text).toBe(body);
      }
    });

    it.each(['301 Moved', '304 Not Modified', '600 Beyond', '999 Beyond'])(
      'the status %s is invalid',
      async (status) => {
        wire = answerOf(
          status,
          ['content-type: application/json', 'location: https://evil.test', 'content-length: 2'],
          '{}',
        );
        const answer = await ask();
        expect(outcome(answer)).toBe('502 provider_unreachable');
        expect(answer.headers.get('location')).toBeNull();
      },
    );

    it.each([
      '',
      'evil\r\n\r\n',
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}',
      'HTTP/1.1 200 OK\r\nx-request-id: a\rb\r\ncontent-length: 2\r\n\r\n{}',
      'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{}',
    ])('what is no answer is a 502 of ours: %j', async (text) => {
      wire = text;
      expect(outcome(await ask())).toBe('502 provider_unreachable');
    });
  });

  it('a name beyond ASCII is percent-encoded in x-litellm-model-group', async () => {
    const answer = await send(house.gateway, 'POST /v1/chat/completions', call('größe\u{1f600}'));
    expect(outcome(answer)).toBe('200');
    expect(answer.headers.get('x-litellm-model-group')).toBe(encodeURIComponent('größe\u{1f600}'));
    const path = `/openai/deployments/${encodeURIComponent('größe\u{1f600}')}/chat/completions`;
    expect(outcome(await send(house.gateway, `POST ${path}`, { key, body: { messages: [] } }))).toBe('200');
  });

  it.each(['GET /v1/models', 'GET /model/info', 'GET /nothing', 'PUT /v1/models', 'GET /health/liveness'])(
    'the safeguards are on those of the gateway too: %s',
    async (line) => {
      for (const as of [key, 'garbage']) {
        const { headers } = await send(house.gateway, line, { key: as });
        expect(headers.get('x-content-type-options')).toBe('nosniff');
        expect(headers.get('content-security-policy')).toBe('sandbox');
      }
    },
  );
});
