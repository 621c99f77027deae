import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ExactProvider, exactProvider } from '../support/exact-provider.ts';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const boundary = 'a-boundary-0123456789abcdef';
/** As long as balancers keep a connection. */
const idleMs = 75_000;
/** Longer than Node allows a request by default. */
const uploadMs = 330_000;
const pieces = 66;

let provider: ExactProvider;
let router: TeamModelRouter;
let server: GatewayServer;
let key: string;

beforeAll(async () => {
  provider = await exactProvider('{"id":"obj_1","text":"heard","data":[]}');
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const litellm_params = { model: 'theirs', num_retries: 0, api_key: 'sk-x', api_base: `${provider.url}/v1` };
  await router.addModel('acme', { model_name: 'mine', litellm_params });
  key = (await router.createKey('acme')).key;
  // With nothing but its defaults.
  server = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});
afterAll(async () => {
  await server.close();
  await router.close();
  await provider.close();
});

async function open(): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

/** Reads one answer that has a length. */
async function answerOn(socket: Socket): Promise<{ status: number; body: string }> {
  let text = '';
  for (;;) {
    const [, head, length] = /^((?:.*\r\n)*?content-length: (\d+)\r\n(?:.+\r\n)*\r\n)/i.exec(text) ?? [];
    if (head !== undefined && text.length >= head.length + Number(length))
      return { status: Number(text.slice(9, 12)), body: text.slice(head.length) };
    const [chunk] = (await Promise.race([
      once(socket, 'data'),
      once(socket, 'close').then(() => expect.unreachable(`the connection was closed after: ${text}`)),
    ])) as [Buffer];
    text += chunk.toString('latin1');
  }
}

const head = (line: string, more: string) =>
  `${line} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${key}\r\n${more}\r\n`;

describe.concurrent('serveGateway by its defaults', () => {
  it.each([
    ['a list of models', () => head('GET /v1/models', '')],
    [
      'a call',
      () =>
        head('POST /v1/embeddings', 'content-type: application/json\r\ncontent-length: 28\r\n') +
        '{"model":"mine","input":"x"}',
    ],
  ])('keeps a connection that is idle for 75 s, and answers on it again, after %s', async (_, request) => {
    const socket = await open();
    for (const last of [false, true]) {
      socket.write(request());
      expect(await answerOn(socket)).toMatchObject({ status: 200 });
      if (!last) await pause(idleMs);
    }
    socket.destroy();
  });

  const form = (content: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\nmine\r\n--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${content}\r\n--${boundary}--\r\n`;
  const content = 'x'.repeat(6_600);
  const json = JSON.stringify({ model: 'mine', prompt: content });

  it.each([
    [
      'a form with a length',
      '/v1/audio/transcriptions',
      `multipart/form-data; boundary=${boundary}`,
      form(content),
      false,
    ],
    ['a chunked form', '/v1/files', `multipart/form-data; boundary=${boundary}`, form(content), true],
    ['JSON', '/v1/completions', 'application/json', json, false],
  ])('takes an upload whose bytes trickle in for 330 s: %s', async (_, path, type, body, chunked) => {
    const socket = await open();
    const framing = chunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`;
    socket.write(head(`POST ${path}`, `content-type: ${type}\r\n${framing}\r\n`));
    const answered = answerOn(socket);
    const size = Math.ceil(body.length / pieces);
    for (let at = 0; at < body.length; at += size) {
      await pause(uploadMs / pieces);
      const piece = body.slice(at, at + size);
      socket.write(chunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece);
    }
    if (chunked) socket.write('0\r\n\r\n');
    expect(await answered).toMatchObject({ status: 200 });
    const sent = provider.requests.find(({ line }) => line.startsWith(`POST ${path} `));
    expect(sent?.body.toString()).toBe(chunked ? body : body.replace('mine', 'theirs'));
    socket.destroy();
  });
});
