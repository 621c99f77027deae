import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture } from '../support/gateway.ts';
import { type Mounted, mounts } from '../support/gateway-mounts.ts';
import { askAll, type RawRequest } from '../support/raw-answers.ts';
import { chunkedAnswer, type RawProvider, rawProvider } from '../support/raw-provider.ts';

const apiKey = 'sk-of-acme-0123456789abcdef';
let wire: (socket: Socket) => void = () => {};
let provider: RawProvider;
let fixture: GatewayFixture;
let server: GatewayServer;
let key: string;

beforeAll(async () => {
  provider = await rawProvider((socket) => wire(socket));
  fixture = gatewayFixture({ egress: { allow: [provider.url] } });
  const litellm_params = { model: 'openai/m', api_key: apiKey, api_base: provider.url };
  await fixture.router.addModel('acme', { model_name: 'm', litellm_params });
  const settings = { num_retries: 0, allowed_fails: 1_000, cooldown_time: 0 };
  await fixture.router.updateTeam('acme', { settings });
  key = (await fixture.router.createKey('acme')).key;
  server = await serveGateway(fixture.gateway, { port: 0 });
});
afterAll(async () => {
  await server.close();
  await fixture.router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const sends =
  (head: string, body: string | Buffer = '') =>
  (socket: Socket) => {
    socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 ${head}\r\n\r\n`), Buffer.from(body)]));
  };
const sendsAndEnds =
  (head: string, body: string | Buffer = '') =>
  (socket: Socket) => {
    socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 ${head}\r\n\r\n`), Buffer.from(body)]));
  };

const post = (path: string, body: object): RawRequest => {
  const json = JSON.stringify(body);
  const head = `POST ${path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json`;
  return { method: 'POST', text: `${head}\r\ncontent-length: ${json.length}\r\n\r\n${json}` };
};
const bare = (method: string, path: string, authorization = `Bearer ${key}`): RawRequest => ({
  method,
  text: `${method} ${path} HTTP/1.1\r\nhost: h\r\nauthorization: ${authorization}\r\n\r\n`,
});
const chat = (more: object = {}) => post('/v1/chat/completions', { model: 'm', messages: [], ...more });
const speech = () => post('/v1/audio/speech', { model: 'm', input: 'x', voice: 'alloy' });
/** Comes behind every other request, and is answered by the gateway alone. */
const last = (): RawRequest => ({
  method: 'GET',
  text: 'GET /health/liveness HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n',
});

const alive = '"I\'m alive!"';
const sse = 'content-type: text/event-stream';
const json = 'content-type: application/json';
const audio = 'content-type: audio/mpeg';
const whole = `{"choices":[],"text":"${'x'.repeat(500)}"}`;
const long = Buffer.alloc(2_097_152, 'y');

describe('sends no body with a response without one, so that the next response is framed correctly', () => {
  it.each<[string, (socket: Socket) => void, number]>([
    ['204 with a length', sends('204 No Content\r\ncontent-length: 40'), 204],
    ['204 that is chunked', sends('204 No Content\r\ntransfer-encoding: chunked'), 204],
    ['204 with a length and bytes', sends('204 No Content\r\ncontent-length: 4', 'body'), 204],
    ['205 with a length', sends('205 Reset Content\r\ncontent-length: 40'), 205],
    ['205 with a body', sends('205 Reset Content\r\ncontent-length: 4', 'body'), 205],
    [
      '205 that is chunked',
      sends('205 Reset Content\r\ntransfer-encoding: chunked', '4\r\nbody\r\n0\r\n\r\n'),
      205,
    ],
    ['205 without a length', sends('205 Reset Content'), 205],
  ])('%s', async (_, answer, status) => {
    wire = answer;
    const [first, second, ...more] = await askAll(server.port, [bare('DELETE', '/v1/files/file-1'), last()]);
    expect(first).toMatchObject({ status, body: '', cut: false });
    expect(second).toMatchObject({ status: 200, body: alive, cut: false });
    expect(more).toEqual([]);
  });

  it.each<[string, (socket: Socket) => void, number]>([
    ['304', sends('304 Not Modified\r\ncontent-length: 40'), 502],
    ['304 with a validator', sends('304 Not Modified\r\netag: "x"'), 502],
    ['101', sends('101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade'), 502],
    [
      'an interim answer before it',
      (socket) =>
        socket.write(
          `HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n${json}\r\ncontent-length: 2\r\n\r\n{}`,
        ),
      200,
    ],
  ])('%s is not passed on', async (_, answer, status) => {
    wire = answer;
    const [first, second] = await askAll(server.port, [chat(), last()]);
    expect(first).toMatchObject({ status, cut: false });
    expect(second).toMatchObject({ status: 200, body: alive });
  });
});

describe('HEAD has neither a body nor a length', () => {
  it.each([
    ['/health/liveness', 200],
    ['/health/readiness', 200],
    ['/v1/models', 200],
    ['/v1/models/m', 200],
    ['/team/info', 200],
    ['/v1/models/nobody-has-this', 404],
    ['/nothing', 404],
    ['/v1/files/file-1/content', 405],
    ['/v1/chat/completions', 405],
    ['/team/list', 403],
  ])('%s', async (path, status) => {
    const [first, second, third] = await askAll(server.port, [
      bare('HEAD', path),
      bare('GET', '/v1/models'),
      last(),
    ]);
    expect(first).toMatchObject({ status, body: '' });
    expect(second?.body).toContain('"m"');
    expect(third?.body).toBe(alive);
  });

  it('without a key, too', async () => {
    const [first, second] = await askAll(server.port, [bare('HEAD', '/v1/models', 'Basic x'), last()]);
    expect(first).toMatchObject({ status: 401, body: '' });
    expect(second?.body).toBe(alive);
  });

  it.each(Object.keys(mounts))('and over %s', async (name) => {
    const mounted = (await mounts[name]?.mount(fixture.gateway)) as Mounted;
    const headers = { authorization: `Bearer ${key}` };
    for (const path of ['/v1/models', '/team/info', '/nothing']) {
      const response = await mounted.send(path, { method: 'HEAD', headers });
      expect(response.headers.get('content-length')).toBeNull();
      expect(await response.text()).toBe('');
    }
    await mounted.close();
  });
});

describe('trailers of a provider', () => {
  const trailing = (type: string, body: string, trailers: string) => (socket: Socket) => {
    const head = `HTTP/1.1 200 OK\r\n${type}\r\ntrailer: x-secret, set-cookie\r\ntransfer-encoding: chunked\r\n\r\n`;
    socket.write(`${head}${body.length.toString(16)}\r\n${body}\r\n0\r\n${trailers}\r\n`);
  };
  it.each<[string, () => RawRequest, string, string]>([
    ['a whole answer', () => chat(), json, whole],
    ['a stream', () => chat({ stream: true }), sse, 'data: {}\n\ndata: [DONE]\n\n'],
    ['bytes', speech, audio, 'x'.repeat(2_000_000)],
  ])('are not passed on: %s', async (_, asked, type, body) => {
    wire = trailing(type, body, 'x-secret: yes\r\nset-cookie: a=b\r\nx-request-id: other\r\n');
    const [first, second] = await askAll(server.port, [asked(), last()]);
    expect(first).toMatchObject({ status: 200, trailers: '', cut: false });
    expect(first?.body === body).toBe(true);
    expect(first?.headers).not.toHaveProperty('trailer');
    expect(first?.headers).not.toHaveProperty('set-cookie');
    expect(first?.headers['x-request-id']).not.toBe('other');
    expect(second?.body).toBe(alive);
  });

  it.each(['content-length: 3', 'transfer-encoding: chunked', 'no header', ' folded'])(
    'do not change the framing of the response: %s',
    async (trailer) => {
      wire = trailing(json, whole, `${trailer}\r\n`);
      const [first, second] = await askAll(server.port, [chat(), last()]);
      expect(first?.cut).toBe(false);
      expect(first?.status === 502 || first?.body === whole).toBe(true);
      expect(second?.body).toBe(alive);
    },
  );
});

/** Kinds of answers, and what each is when all goes well. */
const kinds: [string, () => RawRequest, string, string | Buffer][] = [
  ['a whole answer', () => chat(), json, whole],
  ['a long JSON answer', () => chat(), json, `{"choices":[],"text":"${long}"}`],
  ['a stream', () => chat({ stream: true }), sse, `data: {"x":"${'x'.repeat(500)}"}\n\ndata: [DONE]\n\n`],
  ['short bytes', speech, audio, 'x'.repeat(500)],
  ['long bytes', speech, audio, long],
];

describe.each(kinds)('the length of %s', (name, asked, type, body) => {
  const size = Buffer.byteLength(body);

  it('is that of the bytes', async () => {
    wire = sends(`200 OK\r\n${type}\r\ncontent-length: ${size}`, body);
    const [first, second] = await askAll(server.port, [asked(), last()]);
    expect(first).toMatchObject({ status: 200, cut: false });
    expect(first?.body.length).toBe(size);
    expect(second?.body).toBe(alive);
  });

  it.each<[string, (socket: Socket) => void]>([
    [
      'more than came',
      (socket) => sendsAndEnds(`200 OK\r\n${type}\r\ncontent-length: ${size + 10}`, body)(socket),
    ],
    [
      'more than came, by a reset',
      (socket) => {
        sends(`200 OK\r\n${type}\r\ncontent-length: ${size + 10}`, body)(socket);
        socket.resetAndDestroy();
      },
    ],
    [
      'chunks that are cut',
      (socket) => {
        const all = chunkedAnswer({ 'content-type': type.slice(14) }, body, 65_536);
        socket.end(all.subarray(0, all.length - 5));
      },
    ],
  ])('announced is %s: an error, or a broken connection', async (_, answer) => {
    wire = answer;
    const answers = await askAll(server.port, [asked(), last()]);
    const [first, second] = answers;
    // `[DONE]` has come: what is missing is of no matter to a reader of events.
    if (name === 'a stream') expect(first).toMatchObject({ status: 200, cut: false });
    else if (first?.status === 502) expect(second?.body).toBe(alive);
    else {
      expect(first).toMatchObject({ status: 200, cut: true });
      expect(answers).toHaveLength(1);
    }
  });

  it('announced is less than came: no byte beyond it is passed on', async () => {
    wire = sends(
      `200 OK\r\n${type}\r\ncontent-length: ${size}`,
      `${body}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged`,
    );
    const answers = await askAll(server.port, [asked(), asked(), last()]);
    expect(JSON.stringify(answers)).not.toContain('forged');
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(answers[0]?.body.length).toBe(size);
  });

  it.each([
    ['a length and chunks', `content-length: ${size}\r\ntransfer-encoding: chunked`],
    ['two lengths', `content-length: ${size}\r\ncontent-length: 3`],
    ['two equal lengths', `content-length: ${size}\r\ncontent-length: ${size}`],
    ['a length that is none', 'content-length: 0x10'],
    ['a negative length', 'content-length: -1'],
    ['a list of lengths', `content-length: ${size}, ${size}`],
    ['an unknown transfer coding', 'transfer-encoding: gzip, chunked'],
  ])('announced by %s is never two framings', async (_, framing) => {
    const chunked = `${size.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    wire = sendsAndEnds(`200 OK\r\n${type}\r\n${framing}`, framing.includes('chunked') ? chunked : body);
    const [first, second] = await askAll(server.port, [asked(), last()]);
    if (first?.cut) return;
    if (first?.status === 200)
      expect([size, framing.includes('gzip') && first.body.length]).toContain(first.body.length);
    else expect(first?.status).toBe(502);
    expect(second?.body).toBe(alive);
  });

  it('is that of the bytes once decoded', async () => {
    const packed = gzipSync(body);
    wire = sends(`200 OK\r\n${type}\r\ncontent-encoding: gzip\r\ncontent-length: ${packed.length}`, packed);
    const [first, second] = await askAll(server.port, [asked(), last()]);
    expect(first).toMatchObject({ status: 200, cut: false });
    expect(first?.body.length).toBe(size);
    expect(first?.headers).not.toHaveProperty('content-encoding');
    expect(second?.body).toBe(alive);
  });

  it('is that of the bytes once what repeats the key is covered', async () => {
    const secret = Buffer.from(String(body).replace(/[xy]{27}/, apiKey));
    wire = sends(`200 OK\r\n${type}\r\ncontent-length: ${secret.length}`, secret);
    const [first, second] = await askAll(server.port, [asked(), last()]);
    expect(first).toMatchObject({ status: 200, cut: false });
    expect(first?.body.length).toBe(size);
    expect(first?.body.includes(apiKey)).toBe(false);
    expect(second?.body).toBe(alive);
  });
});

describe('the length of an error', () => {
  it.each([400, 401, 429, 500])('%d that repeats the key is that of the bytes', async (status) => {
    const body = JSON.stringify({ error: { message: `Wrong key: ${apiKey}`, type: 't', code: null } });
    wire = sends(`${status} No\r\n${json}\r\ncontent-length: ${body.length}`, body);
    const [first, second] = await askAll(server.port, [chat(), last()]);
    expect(first?.cut).toBe(false);
    expect(first?.body).not.toContain(apiKey);
    expect(JSON.parse(first?.body ?? '')).toHaveProperty('error.message');
    expect(second?.body).toBe(alive);
  });

  it('is that of the bytes that came, where its connection broke', async () => {
    wire = sendsAndEnds(`400 No\r\n${json}\r\ncontent-length: 500`, '{"error":{"message":"half');
    const [first, second] = await askAll(server.port, [chat(), last()]);
    expect(first).toMatchObject({ status: 400, cut: false });
    expect(second?.body).toBe(alive);
  });
});
