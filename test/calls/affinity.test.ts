import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createClient } from 'redis';
import { generateEncryptionKey, memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { redisStorage } from 'team-model-router/storage/redis';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { AffinityStore } from '../../src/calls/affinity/affinity-store.ts';
import { type AccountsProvider, accountsProvider } from '../support/accounts-provider.ts';
import { followUp } from '../support/conversation.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();
const encryption = generateEncryptionKey();
const redisUrl = inject('redisUrl');

let provider: AccountsProvider;
let router: TeamModelRouter;
let storage: Storage;

beforeEach(async () => {
  provider = await accountsProvider();
});
afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

function open(over: Storage): TeamModelRouter {
  storage = over;
  router = new TeamModelRouter({
    storage,
    encryptionKeys: [{ id: 'k', key: encryption.key }],
    egress: { allow: [provider.url] },
  });
  return router;
}

const add = (name: string, account: string, team = 'acme') =>
  router.addModel(team, {
    model_name: name,
    litellm_params: { model: 'gpt-4o', api_key: `sk-${account}`, api_base: `${provider.url}/v1` },
  });

const siblings = async (name = 'm') => {
  for (const account of ['one', 'two', 'three']) await add(name, `${name}-${account}`);
};

async function inTwoProcesses(place: string, prefix: string, count: number): Promise<void> {
  await siblings();
  const child = fork(
    fileURLToPath(new URL('../support/follow-up-process.ts', import.meta.url)),
    [place, encryption.key, provider.url, prefix],
    { execArgv: ['--import', 'tsx'], cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  );
  await once(child, 'message');
  const elsewhere = async (ids: string[]) => {
    child.send(ids);
    return ((await once(child, 'message')) as [string[]])[0];
  };
  const first = await followUp(router, new Array(count).fill(undefined));
  const second = await elsewhere(first);
  const third = await followUp(router, second);
  const accounts = [first, second, third].map((turn) => turn.map((id) => provider.accountOf(id)));
  expect(new Set(accounts[0]).size).toBe(3);
  expect(accounts[1]).toEqual(accounts[0]);
  expect(accounts[2]).toEqual(accounts[0]);
  expect(provider.strays).toEqual([]);
  expect(provider.requests).toHaveLength(3 * count);
  const exit = once(child, 'exit');
  child.send('end');
  await exit;
}

describe('conversations over three siblings, in two processes', () => {
  it('60 on SQLite', async () => {
    const path = newPath();
    open(sqliteStorage(path));
    await inTwoProcesses(path, '', 60);
  });

  it.skipIf(redisUrl === undefined)('500 on Redis', async () => {
    const prefix = `{affinity-${process.pid}}:`;
    const client = createClient({ url: redisUrl ?? '' });
    await client.connect();
    open(redisStorage(client, { prefix }));
    await inTwoProcesses(redisUrl ?? '', prefix, 500);
    await router.close();
    await client.close();
  });
});

it('files, batches and what a batch leaves behind stay in one account', async () => {
  open(memoryStorage());
  await siblings();
  for (let round = 0; round < 20; round++) {
    const client = router.forTeam('acme', { defaultModel: 'm' });
    const file = await client.files.create({ file: new File(['{}'], 'a.jsonl'), purpose: 'batch' });
    await client.files.retrieve(file.id);
    const batch = await client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    const done = await client.batches.retrieve(batch.id);
    await client.files.retrieve(done.output_file_id ?? '');
    await client.fineTuning.jobs.create({ model: 'gpt-4o', training_file: file.id });
  }
  expect(provider.strays).toEqual([]);
  expect(new Set(provider.requests.map(({ headers }) => headers.authorization)).size).toBe(3);
});

it('a call that names no model goes where its object lives, whatever the default is', async () => {
  open(memoryStorage());
  await siblings();
  await siblings('other');
  const ids = await followUp(router, new Array(12).fill(undefined));
  for (const id of ids) {
    await router.forTeam('acme').responses.retrieve(id);
    await router.forTeam('acme', { defaultModel: 'other' }).responses.delete(id);
  }
  expect(provider.strays).toEqual([]);
});

it("a record leads no caller to a deployment that is not the caller's", async () => {
  open(memoryStorage());
  await siblings();
  await add('mine', 'of-other', 'other');
  await add('mine', 'of-other-too', 'other');
  const [id = ''] = await followUp(router, [undefined]);
  const sent = provider.requests.length;
  // Another team: its own account is asked, and has no such response.
  const foreign = router
    .forTeam('other', { defaultModel: 'mine' })
    .responses.retrieve(id, {}, { maxRetries: 0 });
  await expect(foreign).rejects.toMatchObject({ status: 404 });
  for (const { headers } of provider.requests.slice(sent))
    expect(headers.authorization).toContain('of-other');
  // A key of the same team that may not call the model.
  await add('allowed', 'allowed');
  const call = {
    method: 'GET',
    path: `/responses/${id}`,
    query: new URLSearchParams(),
    headers: new Headers(),
    numRetries: 0,
  };
  const before = provider.requests.length;
  await router.dispatch({ teamId: 'acme', models: ['allowed'] }, call);
  for (const { headers } of provider.requests.slice(before))
    expect(headers.authorization).toBe('Bearer sk-allowed');
});

it('an object whose deployment is gone is asked for among those that are left', async () => {
  open(memoryStorage());
  const { model_id } = await add('m', 'gone');
  await add('m', 'left');
  const ids = await followUp(router, new Array(12).fill(undefined));
  await router.deleteModel('acme', model_id);
  const sent = provider.requests.length;
  for (const id of ids)
    await router
      .forTeam('acme')
      .responses.retrieve(id)
      .catch(() => {});
  for (const { headers } of provider.requests.slice(sent))
    expect(headers.authorization).toBe('Bearer sk-left');
});

/** Counts the operations on records of affinity. */
function counting(over: Storage): Storage & { count: number } {
  const counted = {
    ...over,
    count: 0,
    get: (key: string, options?: object) => {
      if (key.startsWith('affinity/')) counted.count++;
      return over.get(key, options);
    },
    put: (key: string, value: string, expected: string | null, options?: object) => {
      if (key.startsWith('affinity/')) counted.count++;
      return over.put(key, value, expected, options);
    },
  };
  return counted;
}

it('costs nothing where there is nothing to choose, and nothing where nothing is kept', async () => {
  const counted = counting(memoryStorage());
  open(counted);
  await add('single', 'single');
  const client = router.forTeam('acme', { defaultModel: 'single' });
  const { id } = await client.responses.create({ model: 'single', input: 'x' });
  await client.responses.create({ model: 'single', input: 'x', previous_response_id: id });
  await siblings();
  const messages = [{ role: 'user' as const, content: 'x' }];
  await client.chat.completions.create({ model: 'm', messages });
  await client.responses.create({ model: 'm', input: 'x', store: false });
  await client.embeddings.create({ model: 'm', input: 'x' });
  expect(counted.count).toBe(0);
  // What this process has made it knows.
  const made = await client.responses.create({ model: 'm', input: 'x' });
  const after = counted.count;
  await client.responses.retrieve(made.id, {}, { query: { model: 'm' } });
  expect(counted.count).toBe(after);
});

it('an answer that is paid for comes although its record cannot be written', async () => {
  const failing = memoryStorage();
  open({
    ...failing,
    put: (key, ...rest) =>
      key.startsWith('affinity/') ? Promise.reject(new Error('full')) : failing.put(key, ...rest),
  });
  await siblings();
  const ids = await followUp(router, new Array(12).fill(undefined));
  // And this process knows it all the same.
  await followUp(router, ids);
  expect(provider.strays).toEqual([]);
});

describe('the memory of a team', () => {
  const ttl = { affinityTtlMs: 60_000 };

  it('is bounded, whatever is put into it', async () => {
    open(memoryStorage());
    const affinity = new AffinityStore(storage, { ...ttl, affinityPages: 4 });
    const objects = Array.from({ length: 1_000 }, (_, index) => `resp_${index}`);
    await affinity.remember('acme', objects.slice(0, 500), 'a');
    await affinity.remember('acme', objects.slice(500), 'b');
    const { entries } = await storage.list('affinity/');
    expect(entries).toHaveLength(4);
    for (const { value = '' } of entries) expect(JSON.parse(value).entries).toHaveLength(64);
    const elsewhere = new AffinityStore(storage, { ...ttl, affinityPages: 4 });
    expect(await elsewhere.lookup('acme', ['resp_999'])).toBe('b');
    expect(await elsewhere.lookup('acme', ['resp_0'])).toBeUndefined();
  });

  it('keeps teams apart, and takes any id', async () => {
    open(memoryStorage());
    const affinity = new AffinityStore(storage, ttl);
    const strange = ['\u0000', 'a/b', '../x', '\ud800', 'x'.repeat(512), '{"a":1}'];
    await affinity.remember('acme', strange, 'a');
    const elsewhere = new AffinityStore(storage, ttl);
    for (const id of strange) expect(await elsewhere.lookup('acme', [id])).toBe('a');
    expect(await elsewhere.lookup('acme/', strange)).toBeUndefined();
    expect(await elsewhere.lookup('other', strange)).toBeUndefined();
  });

  it('loses nothing when two processes write to one page', async () => {
    open(memoryStorage());
    const [left, right] = [new AffinityStore(storage, ttl), new AffinityStore(storage, ttl)];
    const objects = Array.from({ length: 2_000 }, (_, index) => `file-${index}`);
    await Promise.all(
      objects.map((id, index) => (index % 2 ? left : right).remember('acme', [id], `d${index}`)),
    );
    const third = new AffinityStore(storage, ttl);
    const found = await Promise.all(objects.map((id) => third.lookup('acme', [id])));
    expect(found).toEqual(objects.map((_, index) => `d${index}`));
  });

  it('says that it cannot look, rather than that there is nothing', async () => {
    open(memoryStorage());
    await siblings();
    const [id = ''] = await followUp(router, [undefined]);
    const down = new TeamModelRouter({
      storage: {
        ...storage,
        get: (key, options) =>
          key.startsWith('affinity/') ? Promise.reject(new Error('down')) : storage.get(key, options),
      },
      encryptionKeys: [{ id: 'k', key: encryption.key }],
      egress: { allow: [provider.url] },
    });
    await expect(down.forTeam('acme').responses.retrieve(id)).rejects.toMatchObject({
      status: 503,
      code: 'storage_unavailable',
    });
  });
});
