import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runs } from '../support/runs.ts';

const boundary = 'XbX';
const part = (head: string, text: string) =>
  `--${boundary}\r\ncontent-disposition: form-data; name=${head}\r\n\r\n${text}\r\n`;
const upload = `${part('"file"; filename="a.mp3"', 'f'.repeat(900_000))}--${boundary}--\r\n`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

/** What the provider does with the request's first bytes. */
const providers: Record<string, (socket: Socket) => void> = {
  'reads nothing': (socket) => void socket.pause(),
  'reads all and is silent': () => {},
  answers: (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'),
  refuses: (socket) => void socket.write('HTTP/1.1 401 x\r\ncontent-length: 0\r\n\r\n'),
  resets: (socket) => void socket.resetAndDestroy(),
  streams: (socket) =>
    void socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: x\n\n'),
};
const leaves: Record<string, (socket: Socket) => void> = {
  closes: (socket) => void socket.destroy(),
  resets: (socket) => void socket.resetAndDestroy(),
  'ends its side': (socket) => void socket.end(),
};

let provider: Server;
let behaviour: (socket: Socket) => void = () => {};
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;
const sockets = new Set<Socket>();
const uncaught: unknown[] = [];
const note = (error: unknown) => void uncaught.push(error);

beforeAll(async () => {
  process.on('unhandledRejection', note).on('uncaughtException', note);
  provider = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.once('data', () => behaviour(socket));
    socket.resume();
  }).listen(0, '127.0.0.1');
  await once(provider, 'listening');
  const url = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [url] },
  });
  await router.createTeam({ team_id: 'acme', settings: { allowed_fails: 1_000, cooldown_time: 0 } });
  await router.addModel('acme', {
    model_name: 'whisper',
    litellm_params: {
      model: 'openai/whisper-1',
      api_key: 'sk-0123456789abcdef',
      api_base: url,
      num_retries: 0,
    },
  });
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey: 'master-key-of-the-tests-0123456789' }), {
    port: 0,
  });
});

afterAll(async () => {
  process.off('unhandledRejection', note).off('uncaughtException', note);
  for (const socket of sockets) socket.destroy();
  provider.close();
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
});

interface Plan {
  named: 'in the form' | 'in a header' | 'nowhere';
  chunked: boolean;
  expects: boolean;
  sent: number;
  turns: number;
}

/** Sends so many bytes of an upload, waits so many turns, and leaves. */
async function leave(plan: Plan, how: (socket: Socket) => void): Promise<void> {
  const form = plan.named === 'in the form' ? part('"model"', 'whisper') + upload : upload;
  const head = [
    'POST /v1/audio/transcriptions HTTP/1.1',
    'host: x',
    `authorization: Bearer ${key}`,
    `content-type: multipart/form-data; boundary=${boundary}`,
    plan.chunked ? 'transfer-encoding: chunked' : `content-length: ${form.length}`,
    ...(plan.named === 'in a header' ? ['x-team-model: whisper'] : []),
    ...(plan.expects ? ['expect: 100-continue'] : []),
  ];
  const bytes = form.slice(0, plan.sent);
  const body = plan.chunked && bytes !== '' ? chunk(bytes) : bytes;
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1');
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  for (let count = 0; count < plan.turns; count++) await turn();
  how(socket);
  for (let count = 0; count < 5; count++) await turn();
  socket.destroy();
}

it('an upload whose caller leaves ends that call alone, whatever its provider does', async () => {
  const plan = fc.record({
    named: fc.constantFrom('in the form', 'in a header', 'nowhere'),
    chunked: fc.boolean(),
    expects: fc.boolean(),
    sent: fc.constantFrom(0, 50, 200, 100_000, 263_000, 500_000, 800_000, 899_999),
    turns: fc.nat({ max: 60 }),
  });
  await fc.assert(
    fc.asyncProperty(
      plan,
      fc.constantFrom(...Object.values(providers)),
      fc.constantFrom(...Object.values(leaves)),
      async (given, does, how) => {
        behaviour = does;
        await leave(given as Plan, how);
        expect(uncaught).toEqual([]);
      },
    ),
    { numRuns: runs(300), endOnFailure: true },
  );
  for (const socket of sockets) socket.destroy();
  for (let count = 0; count < 50; count++) await turn();
  expect(uncaught).toEqual([]);
}, 120_000);
