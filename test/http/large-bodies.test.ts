import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const megabyte = 1_048_576;
const most = 64 * megabyte;
const boundary = 'a-boundary';
const chunk = Buffer.alloc(megabyte / 4, 'x');

let provider: Server;
let gateway: ChildProcess;
let url: string;
let key: string;
/** What came in of the last upload. */
let received: { bytes: number; tail: string };

/** So many megabytes, made as they are taken. */
function* megabytes(count: number): Generator<Buffer> {
  for (let index = 0; index < count * 4; index++) yield chunk;
}

async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  if (incoming.method === 'GET') {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    await pipeline(Readable.from(megabytes(Number(/file-(\d+)/.exec(incoming.url ?? '')?.[1]))), response);
    return;
  }
  received = { bytes: 0, tail: '' };
  for await (const bytes of incoming as AsyncIterable<Buffer>) {
    received.bytes += bytes.length;
    received.tail = (received.tail + bytes.subarray(-400).toString('latin1')).slice(-400);
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"text":"heard"}');
}

beforeAll(async () => {
  provider = createServer(
    (incoming, response) => void answer(incoming, response).catch(() => response.destroy()),
  );
  provider.listen(0, '127.0.0.1');
  await once(provider, 'listening');
  const { port } = provider.address() as AddressInfo;
  const child = fileURLToPath(new URL('../support/measured-gateway-process.ts', import.meta.url));
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  gateway = fork(child, [`http://127.0.0.1:${port}`], { execArgv: ['--import', 'tsx'], cwd });
  [{ url, key }] = (await once(gateway, 'message')) as [{ url: string; key: string }];
});

afterAll(async () => {
  const exit = once(gateway, 'exit');
  gateway.send('end');
  await exit;
  provider.closeAllConnections();
  provider.close();
});

async function resident(of: 'reset' | 'peak'): Promise<number> {
  gateway.send(of);
  return ((await once(gateway, 'message')) as [number])[0];
}

const part = (name: string, rest = '') =>
  `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${rest}\r\n\r\n`;

/** An upload whose model stands behind its file. */
async function upload(count: number): Promise<number> {
  const outgoing = request(`${url}/v1/audio/transcriptions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'x-team-model': 'mine',
      'content-type': `multipart/form-data; boundary=${boundary}`,
    },
  });
  const answered = once(outgoing, 'response');
  function* body() {
    yield Buffer.from(part('file', '; filename="a.wav"'));
    yield* megabytes(count);
    yield Buffer.from(`\r\n${part('model')}mine\r\n--${boundary}--\r\n`);
  }
  await pipeline(Readable.from(body()), outgoing);
  const [response] = (await answered) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.statusCode ?? 0;
}

async function download(count: number): Promise<number> {
  const outgoing = request(`${url}/v1/files/file-${count}/content`, {
    headers: { authorization: `Bearer ${key}`, 'x-team-model': 'mine' },
  }).end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) bytes += piece.length;
  return bytes;
}

it('an upload of 200 MB takes less than 64 MB of the gateway', async () => {
  // V8 lets tens of megabytes of buffers lie that nobody holds any more, each version another number: a gateway that
  // has taken uploads before has them already.
  expect(await upload(64)).toBe(200);
  const before = await resident('reset');
  expect(await upload(200)).toBe(200);
  const grown = (await resident('peak')) - before;
  expect(received.bytes).toBeGreaterThan(200 * megabyte);
  expect(received.tail).toMatch(/xx\r\n--a-boundary\r\n.*name="model"\r\n\r\ntheirs\r\n--a-boundary--\r\n$/);
  expect(grown / megabyte).toBeLessThan(most / megabyte);
  console.info(`200 MB up: ${(grown / megabyte).toFixed(1)} MB more resident`);
});

it('a download of 200 MB takes less than 64 MB of the gateway', async () => {
  await download(8);
  const before = await resident('reset');
  expect(await download(200)).toBe(200 * megabyte);
  const grown = (await resident('peak')) - before;
  expect(grown / megabyte).toBeLessThan(most / megabyte);
  console.info(`200 MB down: ${(grown / megabyte).toFixed(1)} MB more resident`);
});
