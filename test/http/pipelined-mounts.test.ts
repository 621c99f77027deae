import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { nodeListener } from 'team-model-router/http/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';
import { within } from '../support/within.ts';

const megabyte = 1_048_576;

let provider: RecordingProvider;
let router: TeamModelRouter;
let server: Server;
let key: string;
/** Calls that the provider has got, and those that are open. */
let asked: number;
let open: number;
let changed: () => void;
/** Whether the provider writes nothing behind the first event. */
let quiet: boolean;

beforeEach(async () => {
  asked = 0;
  open = 0;
  quiet = false;
  changed = () => {};
  provider = await recordingProvider((request, response) => {
    asked += 1;
    open += 1;
    changed();
    response.on('close', () => {
      open -= 1;
      changed();
    });
    if (request.url.endsWith('/embeddings')) {
      sendJson(response, 200, { data: [], pad: 'x'.repeat(700_000) });
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {}\n\n');
    // A connection that is paused notices that its client has left when it is written to.
    if (quiet) return;
    const events = setInterval(() => response.write('data: {}\n\n'), 20);
    response.on('close', () => clearInterval(events));
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxTeamBytesInFlight: 8 * megabyte,
  });
  const litellm_params = { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  key = (await router.createKey('acme')).key;
});

afterEach(async () => {
  await new Promise((resolve) => server.close(resolve).closeAllConnections());
  await router.close();
  await provider.close();
});

const mounts: Record<string, (gateway: Gateway) => RequestListener> = {
  nodeListener: (gateway) => nodeListener(gateway),
  'a route of a Hono application': (gateway) => getRequestListener(new Hono().route('/', gateway).fetch),
  'a mount of a Hono application': (gateway) =>
    getRequestListener(new Hono().mount('/', gateway.fetch).fetch),
  'a fetch of the application': (gateway) =>
    getRequestListener((request, env) => gateway.fetch(request, env)),
};

async function listen(mount: (gateway: Gateway) => RequestListener): Promise<number> {
  server = createServer(mount(createGateway(router, { masterKey: 'm'.repeat(32) })));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const until = (what: string, done: () => boolean) =>
  within(
    20_000,
    new Promise<void>((resolve) => {
      changed = () => {
        if (done()) resolve();
      };
      changed();
    }),
    what,
  );

function post(path: string, body: object): string {
  const text = JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
}

/** A stream that does not end, and calls behind it on the same connection. */
function sendAhead(port: number, behind: string): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  const stream = post('/v1/chat/completions', { model: 'm', messages: [], stream: true });
  socket.resume().write(stream + behind);
  return socket;
}

describe.each(Object.entries(mounts))('calls sent ahead to %s', (_, mount) => {
  it('end when their client leaves, and give back the memory that they hold', async () => {
    const port = await listen(mount);
    const embedding = post('/v1/embeddings', { model: 'm', input: 'x' });
    for (let round = 0; round < 4; round++) {
      asked = 0;
      const socket = sendAhead(port, embedding.repeat(4));
      await until('the calls', () => asked === 5 && open === 1);
      socket.destroy();
      await until('their end', () => open === 0);
    }
    // More than would be free if one round had kept its memory.
    const response = await fetch(`http://127.0.0.1:${port}/v1/embeddings`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', input: 'x'.repeat(6 * megabyte) }),
    });
    expect(response.status).toBe(200);
    await response.arrayBuffer();
  });

  it.each([31, 32, 100])(
    'end when their client leaves and %i wait, although nothing is written',
    async (waiting) => {
      quiet = true;
      const port = await listen(mount);
      const behind = post('/v1/chat/completions', { model: 'm', messages: [], stream: true });
      const socket = sendAhead(port, behind.repeat(waiting));
      await until('the first calls', () => open === 32);
      socket.destroy();
      await until('their end', () => open === 0);
      expect(asked).toBe(32);
    },
  );

  it('are worked on 32 at a time', async () => {
    const port = await listen(mount);
    const behind = post('/v1/chat/completions', { model: 'm', messages: [], stream: true });
    const socket = sendAhead(port, behind.repeat(100));
    await until('the first calls', () => open === 32);
    // What is sent on another connection is not held up, and comes behind what could have begun.
    const other = sendAhead(port, '');
    await until('the other call', () => open === 33);
    expect(asked).toBe(33);
    socket.destroy();
    other.destroy();
    await until('their end', () => open === 0);
    expect(asked).toBe(33);
  });
});
