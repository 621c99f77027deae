import type { Socket } from 'node:net';
import OpenAI7 from 'openai-7';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type RawProvider, rawProvider } from '../support/raw-provider.ts';
import { chatChunks } from '../support/recording-provider.ts';
import { runs } from '../support/runs.ts';

// The client that `forTeam` and `chatCompletion` are made of is an application's own: here version 7, which stops at `[DONE]`.
vi.mock('openai', () => import('openai-7'));

const calls = runs(100, 20);
const maxConnections = 5;

const done = 'data: [DONE]\n\n';
const events = chatChunks('m').map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
const typed = (value: { type: string; sequence_number: number }) =>
  `event: ${value.type}\ndata: ${JSON.stringify({ ...value, response: { id: 'resp_1', output: [] } })}\n\n`;
const responseEvents = ['response.created', 'response.completed'].map((type, sequence_number) =>
  typed({ type, sequence_number }),
);
const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n';
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const lastChunk = '0\r\n\r\n';

/** Pieces that the provider writes, each once its client has taken the one before. */
const endings: Record<string, (events: string[]) => string[]> = {
  'in one piece': (all) => [
    `${head}transfer-encoding: chunked\r\n\r\n${all.map(chunk).join('')}${lastChunk}`,
  ],
  'in pieces, the last chunk behind [DONE]': (all) => [
    `${head}transfer-encoding: chunked\r\n\r\n`,
    ...all.map(chunk),
    lastChunk,
  ],
  'with a comment behind [DONE]': (all) => [
    `${head}transfer-encoding: chunked\r\n\r\n`,
    ...all.map(chunk),
    chunk(': bye\n\n'),
    lastChunk,
  ],
  'with a length': (all) => [`${head}content-length: ${all.join('').length}\r\n\r\n`, ...all],
};

let ending: (events: string[]) => string[];
let provider: RawProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;
const receipts: Receipt[] = [];
let told: () => void = () => {};

/** Writes one piece after another, each in a packet of its own. */
function write(socket: Socket, [piece, ...rest]: string[]): void {
  if (piece !== undefined) socket.write(piece, () => setImmediate(() => write(socket, rest)));
}

beforeAll(async () => {
  provider = await rawProvider((socket, request) => {
    const api = request.startsWith('POST /v1/responses') ? responseEvents : [...events, done];
    write(socket, ending(api));
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    onCall(receipt) {
      receipts.push(receipt);
      told();
    },
  });
  const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(32) }), { port: 0 });
});
afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});
beforeEach(() => {
  receipts.length = 0;
});

const chat = { model: 'm', messages: [{ role: 'user' as const, content: 'hi' }], stream: true as const };
const options = { maxRetries: 0, logLevel: 'off' as const };
const inProcess = () =>
  new OpenAI7({ ...options, apiKey: 'x', baseURL: teamBaseUrl, fetch: router.fetchFor('acme') });
const throughGateway = () => new OpenAI7({ ...options, apiKey: key, baseURL: `${gateway.url}/v1` });

type ChatStream = AsyncIterable<{
  choices: { delta: { content?: string | null }; finish_reason: string | null }[];
}>;

async function text(stream: ChatStream): Promise<string> {
  let read = '';
  for await (const { choices } of stream) read += choices[0]?.delta.content ?? '';
  return read;
}

/** Breaks out of the loop before `[DONE]` is read, at which the client aborts the request. */
async function untilFinished(stream: ChatStream): Promise<string> {
  let read = '';
  for await (const { choices } of stream) {
    read += choices[0]?.delta.content ?? '';
    if (choices[0]?.finish_reason === 'stop') break;
  }
  return read;
}

async function lastType(stream: AsyncIterable<{ type: string }>) {
  let last = '';
  for await (const { type } of stream) last = type;
  return last;
}

const doors: Record<string, () => Promise<string>> = {
  forTeam: async () => text(await router.forTeam('acme').chat.completions.create(chat)),
  chatCompletion: async () => text(await router.chatCompletion('acme', chat)),
  'a plain client with fetchFor': async () => text(await inProcess().chat.completions.create(chat)),
  'the gateway': async () => text(await throughGateway().chat.completions.create(chat)),
  'forTeam, its stream helper': async () =>
    (await router.forTeam('acme').chat.completions.stream(chat).finalContent()) ?? '',
  'the gateway, its stream helper': async () =>
    (await throughGateway().chat.completions.stream(chat).finalContent()) ?? '',
  'forTeam, left at the finish reason': async () =>
    untilFinished(await router.forTeam('acme').chat.completions.create(chat)),
  'the gateway, left at the finish reason': async () =>
    untilFinished(await throughGateway().chat.completions.create(chat)),
  'forTeam, responses': async () =>
    lastType(await router.forTeam('acme').responses.create({ model: 'm', input: 'hi', stream: true })),
  'the gateway, responses': async () =>
    lastType(await throughGateway().responses.create({ model: 'm', input: 'hi', stream: true })),
};

it('the team’s own client is version 7', () => {
  expect(router.forTeam('acme')).toBeInstanceOf(OpenAI7);
});

describe.each(Object.keys(endings))(`${calls} finished streams %s`, (name) => {
  it.each(Object.keys(doors))(`are ${calls} receipts "ok" and few connections: %s`, async (door) => {
    ending = endings[name] ?? (() => []);
    const opened = provider.connections();
    const all = new Promise<void>((resolve) => {
      told = () => {
        if (receipts.length === calls) resolve();
      };
    });
    for (let call = 0; call < calls; call++) {
      const read = await doors[door]?.();
      expect(read).toBe(door.endsWith('responses') ? 'response.completed' : 'Hello there');
    }
    await all;
    expect(receipts.filter(({ status, code }) => status !== 200 || code !== undefined)).toEqual([]);
    expect(provider.connections() - opened).toBeLessThanOrEqual(maxConnections);
  });
});
