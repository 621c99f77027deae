import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { nodeListener, serveGateway } from 'team-model-router/http/node';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';
import { within } from '../support/within.ts';

const calls = 20;

let provider: RecordingProvider;
let router: TeamModelRouter;
let gateway: Gateway;
let key: string;
/** The provider's calls that are open: streams that never end. */
let open: number;
let changed: () => void;

beforeEach(async () => {
  open = 0;
  changed = () => {};
  provider = await recordingProvider((_request, response) => {
    open += 1;
    changed();
    response.on('close', () => {
      open -= 1;
      changed();
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {}\n\n');
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  key = (await router.createKey('acme')).key;
  gateway = createGateway(router, { masterKey: 'm'.repeat(32) });
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const untilOpen = (count: number) =>
  within(
    5_000,
    new Promise<void>((resolve) => {
      changed = () => {
        if (open === count) resolve();
      };
      changed();
    }),
    `${count} open calls`,
  );

/** Many calls on one connection, without waiting for an answer. */
function callAtOnce(port: number, stream = true): Socket {
  const body = JSON.stringify({ model: 'm', messages: [], stream });
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n`;
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  socket.resume().write(`${head}content-length: ${body.length}\r\n\r\n${body}`.repeat(calls));
  return socket;
}

it.each<[string, () => Parameters<typeof nodeListener>[0]]>([
  ['the short way', () => gateway],
  ['Hono’s way', () => ({ fetch: (request, bindings) => gateway.fetch(request, bindings) })],
])('a client that leaves ends all the calls that it sent ahead: %s', async (_, given) => {
  const server: Server = createServer(nodeListener(given())).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const socket = callAtOnce((server.address() as AddressInfo).port);
  await untilOpen(calls);
  socket.destroy();
  await untilOpen(0);
  server.close();
});

/** Timers that keep the process alive: one that watches an answer keeps its connection and all its answers in memory. */
const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

it.each<[string, () => Parameters<typeof nodeListener>[0]]>([
  ['the short way', () => gateway],
  ['Hono’s way', () => ({ fetch: (request, bindings) => gateway.fetch(request, bindings) })],
])('and nothing is left of the answers that it did not wait for: %s', async (_, given) => {
  let asked = 0;
  const silent = await recordingProvider(() => {
    asked += 1;
  });
  const owner = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [silent.url] },
  });
  const litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: silent.url };
  await owner.addModel('acme', { model_name: 'm', litellm_params });
  key = (await owner.createKey('acme')).key;
  gateway = createGateway(owner, { masterKey: 'm'.repeat(32) });
  const handled: Promise<void>[] = [];
  const listener = nodeListener(given());
  const server: Server = createServer((incoming, outgoing) => {
    handled.push(listener(incoming, outgoing));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const before = timers();
  const socket = callAtOnce((server.address() as AddressInfo).port, false);
  while (asked < calls) await turn();
  socket.destroy();
  await Promise.all(handled);
  for (let count = 0; count < 50; count++) await turn();
  expect(timers()).toBeLessThanOrEqual(before);
  server.close();
  await owner.close();
  await silent.close();
});

it('and a server that ends waits for none of them', async () => {
  const server = await serveGateway(gateway, { port: 0, drainTimeoutMs: 60_000 });
  const socket = callAtOnce(server.port);
  await untilOpen(calls);
  socket.destroy();
  await within(5_000, server.close(), 'the end of the server');
  await untilOpen(0);
});
