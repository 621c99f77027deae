import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import zlib, { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { afterEach, expect, it } from 'vitest';
import { collect } from '../../src/calls/answer.ts';
import type { Lookup } from '../../src/egress/connector.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport, type TransportRequest } from '../../src/egress/transport.ts';
import { type Handler, type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function provider(handler: Handler): Promise<RecordingProvider> {
  const server = await recordingProvider(handler);
  closing.push(() => server.close());
  return server;
}

function transport(allow: string[], lookup?: Lookup): Transport {
  const made = new Transport({ policy: compilePolicy(allow), ...(lookup === undefined ? {} : { lookup }) });
  closing.push(() => made.close());
  return made;
}

function get(url: string, more: Partial<TransportRequest> = {}): TransportRequest {
  return { method: 'GET', url, headers: {}, headersTimeoutMs: 20_000, bodyTimeoutMs: 20_000, ...more };
}

const manyHeaders = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`x-${index}`, 'y']));

const ok: Handler = (_, response) => void response.end('ok');

/** Answers each look-up with the next of the given lists of addresses. */
function answers(...lists: string[][]): Lookup {
  let asked = 0;
  return (_, __, callback) => {
    const list = lists[Math.min(asked++, lists.length - 1)] ?? [];
    callback(
      null,
      list.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
}

it('connects to what a name resolves to, if that is allowed', async () => {
  const server = await provider(ok);
  const { port } = new URL(server.url);
  const way = transport([`http://127.0.0.0/8:${port}`], answers(['127.0.0.1']));
  const { body } = await way.request(get(`http://llm.test:${port}/`));
  expect((await collect(body)).toString()).toBe('ok');
});

it.each([
  ['a private address', ['10.0.0.1']],
  ['an allowed address beside a forbidden one', ['127.0.0.1', '10.0.0.1']],
  ['a forbidden one in IPv6', ['127.0.0.1', '::ffff:169.254.169.254']],
  ['no address', []],
])('does not dial when a name resolves to %s', async (_, addresses) => {
  const server = await provider(ok);
  const { port } = new URL(server.url);
  const way = transport([`http://127.0.0.0/8:${port}`], answers(addresses));
  await expect(way.request(get(`http://llm.test:${port}/`))).rejects.toMatchObject({ code: 'egress_denied' });
  expect(server.requests).toHaveLength(0);
});

it('checks every new connection: a name that changes its address after the first is not followed', async () => {
  const server = await provider((_, response) => void response.setHeader('connection', 'close').end('ok'));
  const { port } = new URL(server.url);
  const way = transport([`http://127.0.0.0/8:${port}`], answers(['127.0.0.1'], ['192.168.0.1']));
  await collect((await way.request(get(`http://llm.test:${port}/`))).body);
  await expect(way.request(get(`http://llm.test:${port}/`))).rejects.toMatchObject({ code: 'egress_denied' });
  expect(server.requests).toHaveLength(1);
});

it.each(['http://127.0.0.1:9/', 'https://127.0.0.1/', 'https://[::1]/', 'https://169.254.169.254/latest'])(
  'does not dial the address %s',
  async (url) => {
    const way = transport([], () => expect.unreachable('an address is looked up'));
    await expect(way.request(get(url))).rejects.toMatchObject({ code: 'egress_denied' });
  },
);

it('hands a redirect over, and does not follow it', async () => {
  const server = await provider((request, response) => {
    if (request.url === '/first') response.writeHead(307, { location: '/second' }).end();
    else response.end('followed');
  });
  const { status, body } = await transport([server.url]).request(get(`${server.url}/first`));
  body.destroy();
  expect(status).toBe(307);
  expect(server.requests.map(({ url }) => url)).toEqual(['/first']);
});

it.each([
  ['gzip', gzipSync('compressed')],
  ['br', brotliCompressSync('compressed')],
  ['deflate', deflateSync('compressed')],
  ['deflate', deflateRawSync('compressed')],
  ['deflate, gzip', gzipSync(deflateRawSync('compressed'))],
])('decodes %s that it did not ask for', async (encoding, bytes) => {
  const server = await provider(
    (_, response) => void response.writeHead(200, { 'content-encoding': encoding }).end(bytes),
  );
  const { body, headers } = await transport([server.url]).request(get(`${server.url}/`));
  expect((await collect(body)).toString()).toBe('compressed');
  expect(headers).not.toHaveProperty('content-encoding');
  expect(server.requests[0]?.headers['accept-encoding']).toBe('identity');
});

it.each([
  ['gzip', gzipSync(Buffer.alloc(1_000_001))],
  ['br', brotliCompressSync(Buffer.alloc(1_000_001))],
  ['deflate', deflateSync(Buffer.alloc(1_000_001))],
  ['deflate', deflateRawSync(Buffer.alloc(1_000_001))],
])('stops to unpack %s where it grows beyond the limit', async (encoding, bytes) => {
  expect(bytes.length).toBeLessThan(2_000);
  const server = await provider(
    (_, response) => void response.writeHead(200, { 'content-encoding': encoding }).end(bytes),
  );
  const read = async (limit: number) => {
    const made = new Transport({ policy: compilePolicy([server.url]), maxDecodedBytes: limit });
    closing.push(() => made.close());
    return (await collect((await made.request(get(`${server.url}/`))).body)).length;
  };
  expect(await read(1_000_001)).toBe(1_000_001);
  await expect(read(1_000_000)).rejects.toMatchObject({ code: 'provider_unreachable' });
});

/** Node 20 has none. */
const { zstdCompressSync } = zlib as { zstdCompressSync?: (text: string) => Buffer };

it('decodes zstd where Node can, and says elsewhere that it cannot', async () => {
  const packed = zstdCompressSync?.('compressed') ?? 'x';
  const server = await provider(
    (_, response) => void response.writeHead(200, { 'content-encoding': 'zstd' }).end(packed),
  );
  const asked = transport([server.url]).request(get(`${server.url}/`));
  if (zstdCompressSync === undefined)
    await expect(asked).rejects.toThrow('unsupported content encoding zstd');
  else expect((await collect((await asked).body)).toString()).toBe('compressed');
});

it('decodes deflate that arrives in bytes, and passes empty answers', async () => {
  const packed = deflateRawSync(Buffer.alloc(300_000, 'compressed'));
  const server = await provider(async ({ url }, response) => {
    response.writeHead(200, { 'content-encoding': 'deflate' });
    for (const byte of url === '/empty' ? [] : packed) {
      if (!response.write(Buffer.of(byte))) await once(response, 'drain');
    }
    response.end();
  });
  const way = transport([server.url]);
  expect(await collect((await way.request(get(`${server.url}/`))).body)).toHaveLength(300_000);
  expect(await collect((await way.request(get(`${server.url}/empty`))).body)).toHaveLength(0);
});

it.each([
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['deflate', deflateRawSync],
])('does not take half of an answer in %s for all of it', async (encoding, pack) => {
  const half = pack('compressed'.repeat(100)).subarray(0, -12);
  const server = await provider(
    (_, response) => void response.writeHead(200, { 'content-encoding': encoding }).end(half),
  );
  const { body } = await transport([server.url]).request(get(`${server.url}/`));
  await expect(collect(body)).rejects.toThrow();
});

it.each<[string, (response: ServerResponse) => void]>([
  [
    'an encoding it does not know',
    (response) => response.writeHead(200, { 'content-encoding': 'compress' }).end(),
  ],
  ['headers without an end', (response) => response.setHeader('x-long', 'x'.repeat(40_000)).end()],
  ['more headers than anybody needs', (response) => response.writeHead(200, manyHeaders).end()],
  [
    'one informational answer after the other, which would start the timer anew each time',
    (response) => {
      for (let count = 0; count < 20; count++) response.writeProcessing();
      response.end('late');
    },
  ],
  ['no answer at all', (response) => response.destroy()],
  ['what is not HTTP', (response) => response.socket?.end('SSH-2.0-OpenSSH\r\n\r\n')],
])('refuses %s', async (_, answer) => {
  const server = await provider((__, response) => void answer(response));
  const call = transport([server.url]).request(get(`${server.url}/`));
  await expect(call).rejects.toMatchObject({ code: 'provider_unreachable' });
});

it('gives up on a provider that is silent', async () => {
  const server = await provider(() => {});
  const call = transport([server.url]).request(get(`${server.url}/`, { headersTimeoutMs: 100 }));
  await expect(call).rejects.toMatchObject({ code: 'provider_timeout' });
});

it("rejects with the signal's own reason", async () => {
  const controller = new AbortController();
  const server = await provider(() => controller.abort('gone'));
  const call = transport([server.url]).request(get(`${server.url}/`, { signal: controller.signal }));
  await expect(call).rejects.toBe('gone');
});

it('knows no proxy', async () => {
  const proxy = await provider((_, response) => void response.end('proxied'));
  const server = await provider(ok);
  const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'NODE_USE_ENV_PROXY'];
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = name === 'NODE_USE_ENV_PROXY' ? '1' : proxy.url;
  try {
    const { body } = await transport([server.url]).request(get(`${server.url}/`));
    expect((await collect(body)).toString()).toBe('ok');
    expect(proxy.requests).toHaveLength(0);
  } finally {
    for (const [index, name] of names.entries()) {
      if (before[index] === undefined) delete process.env[name];
      else process.env[name] = before[index];
    }
  }
});

it('lets a caller go that leaves while there is no connection yet', async () => {
  let asked = () => {};
  const looking = new Promise<void>((resolve) => {
    asked = resolve;
  });
  // A look-up that never answers.
  const way = transport(['http://llm.test:9'], () => asked());
  const leaving = new AbortController();
  const call = way.request(get('http://llm.test:9/', { signal: leaving.signal }));
  await looking;
  leaving.abort(new Error('gone'));
  await expect(call).rejects.toThrow('gone');
});

it('sends a body in pieces as one, of a length that is known', async () => {
  const server = await provider(ok);
  const body = [Buffer.from('one, '), Buffer.from('two')];
  const way = transport([server.url]);
  await collect((await way.request(get(`${server.url}/`, { method: 'POST', body }))).body);
  const [request] = server.requests;
  expect(String(request?.body)).toBe('one, two');
  expect(request?.headers).toMatchObject({ 'content-length': '8' });
  expect(request?.headers).not.toHaveProperty('transfer-encoding');
});

it.each(['gzip', 'deflate', 'br', 'gzip, br'])(
  'a compressed response without a reader releases its connection before its end: %s',
  async (encoding) => {
    const text = randomBytes(400_000);
    const pack = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }[encoding];
    const packed = pack?.(text) ?? brotliCompressSync(gzipSync(text));
    const closed: Promise<unknown>[] = [];
    let bytes = 0;
    const server = await provider((_, response) => {
      closed.push(new Promise((resolve) => response.socket?.once('close', resolve)));
      response.writeHead(200, { 'content-encoding': encoding });
      response.write(packed.subarray(0, bytes));
    });
    const way = transport([server.url]);
    for (bytes of [1, 20, 60_000, packed.length]) {
      const { body } = await way.request(get(`${server.url}/`));
      for (let count = 0; count < 20; count++) await turn();
      body.destroy();
    }
    await Promise.all(closed);
    expect(closed).toHaveLength(4);
  },
);
