import type { ServerResponse } from 'node:http';
import {
  type Answer,
  type Call,
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  answerAsOpenAI,
  type RecordingProvider,
  recordingProvider,
  sendError,
} from '../support/recording-provider.ts';

/** Throws at the next-but-`left` step of its kind. */
const fault = vi.hoisted(() => ({ kind: '', left: 0, fired: false }));
const step = vi.hoisted(() => (kind: string): void => {
  if (kind !== fault.kind || fault.fired || fault.left-- > 0) return;
  fault.fired = true;
  throw new Error(`injected into ${kind}`);
});
/** The same module, of which every function takes a step first. */
const stepping = vi.hoisted(
  () =>
    <Module extends object>(kind: string) =>
    async (original: () => Promise<Module>): Promise<object> =>
      Object.fromEntries(
        Object.entries(await original()).map(([name, value]) => [
          name,
          typeof value === 'function' && !/^class/.test(String(value))
            ? (...given: unknown[]) => {
                step(kind);
                return (value as (...given: unknown[]) => unknown)(...given);
              }
            : value,
        ]),
      ),
);

vi.mock('../../src/redact/credential-patterns.ts', stepping('redaction'));
vi.mock('../../src/calls/upstream/passed-headers.ts', stepping('answer headers'));
vi.mock('../../src/calls/receipt/usage.ts', stepping('usage'));
vi.mock('../../src/calls/receipt/response-headers.ts', stepping('call headers'));

let provider: RecordingProvider;
/** Of the provider's answers, those that have not ended. */
let open: Set<ServerResponse>;
let answered: () => void;

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    open.add(response);
    response.on('close', () => open.delete(response));
    const body = String(request.body);
    const status = Number(/"model":"fails-(\d+)/.exec(body)?.[1] ?? 200);
    if (status !== 200) sendError(response, status, 'no: sk-0123456789abcdef');
    else if (request.url.endsWith('/responses') && body.includes('"stream":true')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const made = { type: 'response.created', response: { id: 'resp_1' } };
      for (const event of [made, { type: 'response.completed', response: { id: 'resp_1' } }])
        response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      response.end();
    } else answerAsOpenAI(request, response);
    // What a sibling or a fallback may answer better is not the call's answer yet.
    if (status < 401) answered();
  });
});

afterAll(() => provider.close());

let router: TeamModelRouter;
let receipts: Receipt[];
/** Storage operations that begin once the provider has answered. */
let late: boolean;

function stepStorage(storage: Storage): Storage {
  const stepping = (name: 'get' | 'put' | 'delete' | 'list') =>
    (async (...given: never[]) => {
      step('storage');
      if (late) step('storage after the answer');
      return (storage[name] as (...given: never[]) => unknown)(...given);
    }) as never;
  return {
    atomicity: storage.atomicity,
    get: stepping('get'),
    put: stepping('put'),
    delete: stepping('delete'),
    list: stepping('list'),
    close: () => storage.close(),
  };
}

beforeEach(async () => {
  Object.assign(fault, { kind: '', left: 0, fired: false });
  open = new Set();
  late = false;
  answered = () => {
    late = true;
  };
  receipts = [];
  const kept = receipts;
  const log = () => step('logger');
  router = new TeamModelRouter({
    storage: stepStorage(memoryStorage()),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    // Every look-up reads the storage, and none is served without it.
    maxStalenessMs: 1,
    serveStaleMs: 1,
    random: () => {
      step('random');
      return 0;
    },
    onCall: (receipt) => {
      kept.push(receipt);
      step('onCall');
    },
    logger: { debug: log, info: log, warn: log, error: log },
  });
  const add = (model_name: string, model: string, order = 1) =>
    router.addModel('acme', {
      model_name,
      litellm_params: {
        model: `openai/${model}`,
        api_key: 'sk-0123456789abcdef',
        api_base: provider.url,
        max_parallel_requests: 1,
        order,
      },
    });
  await add('alone', 'a');
  await add('pool', 'fails-500', 1);
  await add('pool', 'b', 2);
  await add('rejected', 'fails-401');
  await add('refused', 'fails-400');
  // Never cooled: a place that is not given back is what a later call is to find.
  const settings = { fallbacks: [{ rejected: ['alone'] }], allowed_fails: 1_000, cooldown_time: 0 };
  await router.updateTeam('acme', { settings });
});

afterEach(() => router.close({ drainTimeoutMs: 0 }));

const headers = { 'content-type': 'application/json' };
const post = (path: string, body: object): Call => ({
  method: 'POST',
  path,
  query: new URLSearchParams(),
  headers: new Headers(headers),
  body: JSON.stringify(body),
});
const chat = (model: string, more: object = {}) =>
  post('/chat/completions', { model, messages: [], ...more });

const boundary = 'x';
async function* form(): AsyncGenerator<Uint8Array> {
  const part = (name: string, value: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  for (const piece of [part('model', 'alone'), part('file', 'sound'), `--${boundary}--\r\n`]) {
    step('request body');
    yield Buffer.from(piece);
  }
}

const calls: Record<string, () => Call> = {
  'plain call': () => chat('alone'),
  stream: () => chat('alone', { stream: true }),
  'call of a pool whose first deployment fails': () => chat('pool'),
  'stream of such a pool': () => chat('pool', { stream: true }),
  'call that falls back': () => chat('rejected'),
  'call that the provider refuses': () => chat('refused'),
  'call that makes an object': () => post('/responses', { model: 'pool', input: 'x' }),
  'stream that makes an object': () => post('/responses', { model: 'pool', input: 'x', stream: true }),
  'call that speaks of an object': () =>
    post('/responses', { model: 'pool', input: 'x', previous_response_id: 'resp_0' }),
  'streamed form': () => ({
    ...post('/audio/transcriptions', {}),
    headers: new Headers({ 'content-type': `multipart/form-data; boundary=${boundary}` }),
    body: form(),
  }),
};

/** The status, and how the body ended for a reader that may leave or fail. */
async function read(answer: Answer): Promise<number> {
  if (answer.body === null || answer.body instanceof Uint8Array) return answer.status;
  for await (const _ of answer.body) step('reader');
  return answer.status;
}

/** Until every answer of the provider has ended, or `vitest` gives up. */
async function quiet(): Promise<void> {
  while (open.size > 0) await new Promise(setImmediate);
  await new Promise(setImmediate);
}

const kinds = [
  'storage',
  'storage after the answer',
  'random',
  'redaction',
  'answer headers',
  'usage',
  'call headers',
  'reader',
  'request body',
  'onCall',
  'logger',
];

describe.each(Object.keys(calls))('every end of a %s', (name) => {
  it.each(kinds)('gives back its places and is reported once: a throw in %s', async (kind) => {
    for (let left = 0; left < 200; left++) {
      const before = receipts.length;
      late = false;
      Object.assign(fault, { kind, left, fired: false });
      const status = await router
        .dispatch({ teamId: 'acme' }, calls[name]?.() ?? chat('alone'))
        .then(read)
        .catch(() => 0);
      const { fired } = fault;
      fault.kind = '';
      await quiet();
      expect(receipts.length - before).toBe(1);
      if (kind === 'storage after the answer' || kind === 'onCall' || kind === 'logger')
        expect(status).toBe(name === 'call that the provider refuses' ? 400 : 200);
      for (const model of ['alone', 'pool', 'rejected']) {
        const answer = await router.dispatch({ teamId: 'acme' }, chat(model));
        expect([model, await read(answer)]).toEqual([model, 200]);
      }
      await quiet();
      if (!fired) return;
    }
    expect.unreachable('the fault was injected again and again');
  });
});
