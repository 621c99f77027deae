import { generateEncryptionKey, memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chunkedAnswer, type RawProvider, rawProvider } from '../support/raw-provider.ts';

let provider: RawProvider;
let router: TeamModelRouter;
let answer: (id: string) => Buffer;
let made = 0;
/** Holds writes of affinity back while it is set. */
let held: Promise<void> | undefined;

beforeEach(async () => {
  held = undefined;
  provider = await rawProvider((socket, request) => {
    if (request.startsWith('GET')) {
      const body = '{"id":"resp_1","object":"response","output":[]}';
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    } else {
      made += 1;
      socket.write(answer(`resp_${made}`));
    }
  });
  const storage = memoryStorage();
  const holding: Storage = {
    ...storage,
    async put(key, ...rest) {
      if (key.startsWith('affinity/')) await held;
      return storage.put(key, ...rest);
    },
  };
  router = new TeamModelRouter({
    storage: holding,
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  for (const account of ['one', 'two', 'three']) {
    const litellm_params = { model: 'openai/m', api_key: `sk-${account}-0123456789`, api_base: provider.url };
    await router.addModel('acme', { model_name: 'm', litellm_params });
  }
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const create = () =>
  router.fetchFor('acme')('/v1/responses', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', input: 'x', stream: true }),
  });

const accountOf = (request: string | undefined) => /authorization: (.*)/i.exec(request ?? '')?.[1];

const created = (id: string) =>
  JSON.stringify({ type: 'response.created', response: { id, status: 'in_progress' } });
const completed = 'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n';

const beginnings: Record<string, (id: string) => string> = {
  'in the first event': (id) => `data: ${created(id)}\n\n`,
  'behind comments': (id) => `: hello\n\n: ping\n\ndata: ${created(id)}\n\n`,
  'behind a ping': (id) =>
    `event: ping\ndata: {"type":"ping"}\n\nevent: response.created\ndata: ${created(id)}\n\n`,
  'behind an event that names nothing yet': (id) =>
    `data: {"type":"response.queued","response":{"id":""}}\n\ndata: ${created(id)}\n\n`,
  'behind an event that is no JSON': (id) => `data: hello\n\ndata: ${created(id)}\n\n`,
  'without a space behind the colon': (id) => `data:${created(id)}\n\n`,
  'in lines that end in CR': (id) => `: x\r\rdata: ${created(id)}\r\r`,
  'in lines that end in CRLF': (id) => `: x\r\n\r\ndata: ${created(id)}\r\n\r\n`,
  'over several data lines': (id) => `data: ${created(id).replace(',"response"', '\ndata: ,"response"')}\n\n`,
  'behind a byte order mark': (id) => `\ufeffdata: ${created(id)}\n\n`,
  'behind id and retry': (id) => `id: 1\nretry: 10\nevent: response.created\ndata: ${created(id)}\n\n`,
  'in the 40th event': (id) => `${'data: {"type":"wait"}\n\n'.repeat(39)}data: ${created(id)}\n\n`,
  'behind decoys in the same event': (id) =>
    `data: ${JSON.stringify({ metadata: { id: 'resp_decoy' }, response: { prompt: { id: 'pmpt_1' }, id } })}\n\n`,
  'with an escape in its key': (id) => `data: ${created(id).replace('"id"', '"\\u0069d"')}\n\n`,
  'behind more than 1 MiB of events': (id) =>
    `${`data: {"type":"wait","delta":"${'x'.repeat(10_000)}"}\n\n`.repeat(120)}data: ${created(id)}\n\n`,
  'at the end of an event too long to be held': (id) =>
    `data: ${JSON.stringify({ type: 'response.created', response: { instructions: 'x"'.repeat(600_000), id } })}\n\n`,
  'in an event too long to be held': (id) =>
    `data: ${JSON.stringify({ type: 'response.created', response: { id, instructions: 'x'.repeat(1_200_000) } })}\n\n`,
};

describe.each(Object.entries(beginnings))('an id that is named %s', (_, beginning) => {
  it.each([1_000_000, 7])(
    'was lost, and half of the follow-ups went to the wrong account (chunks of %s)',
    async (size) => {
      answer = (id) =>
        chunkedAnswer(
          { 'content-type': 'text/event-stream' },
          beginning(id) + completed,
          Math.max(size, beginning(id).length / 10_000),
        );
      for (let round = 0; round < 6; round++) {
        expect(await (await create()).text()).toContain(`resp_${made}`);
        const account = accountOf(provider.requests.at(-1));
        await router.forTeam('acme').responses.retrieve(`resp_${made}`);
        expect(accountOf(provider.requests.at(-1))).toBe(account);
      }
    },
  );
});

it.each([
  ['first', (id: string) => ({ id, output: [{ id: 'msg_1', content: 'z'.repeat(2_000_000) }] })],
  ['last', (id: string) => ({ output: [{ id: 'msg_1', content: 'z"'.repeat(1_000_000) }], id })],
])('an id that comes %s in 2 MB of JSON is recorded', async (_, object) => {
  answer = (id) => chunkedAnswer({ 'content-type': 'application/json' }, JSON.stringify(object(id)), 60_000);
  for (let round = 0; round < 6; round++) {
    await router.forTeam('acme').responses.create({ model: 'm', input: 'x' });
    const account = accountOf(provider.requests.at(-1));
    await router.forTeam('acme').responses.retrieve(`resp_${made}`);
    expect(accountOf(provider.requests.at(-1))).toBe(account);
  }
});

it('forwards the chunks before the event with an id before the record is written', async () => {
  let release: () => void = () => {};
  held = new Promise((resolve) => {
    release = resolve;
  });
  answer = (id) =>
    chunkedAnswer(
      { 'content-type': 'text/event-stream' },
      `: ping\n\ndata: ${created(id)}\n\n${completed}`,
      1_000_000,
    );
  const reader = (await create()).body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe(': ping\n\n');
  let passed = false;
  const next = reader?.read().then(({ value }) => {
    passed = true;
    return Buffer.from(value ?? []).toString();
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(passed).toBe(false);
  release();
  expect(await next).toContain(`resp_${made}`);
  await reader?.cancel();
});
