import {
  copyStorage,
  generateEncryptionKey,
  memoryStorage,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { redisStorage } from 'team-model-router/storage/redis';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { beforeEach, describe, expect, it } from 'vitest';
import { closeConnections, clusterStorages, newRoom, redisClient, redisUrl } from '../support/connections.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();
closeConnections();

let from: Storage;
let to: Storage;

beforeEach(async () => {
  from = memoryStorage();
  to = memoryStorage();
  for (let index = 0; index < 250; index++) await from.put(`team/${index}`, `value ${index}`, null);
});

async function contents(storage: Storage): Promise<Map<string, string | undefined>> {
  const found = new Map<string, string | undefined>();
  let cursor: string | undefined;
  do {
    const page = await storage.list('', { limit: 1000, ...(cursor === undefined ? {} : { cursor }) });
    for (const { key, value } of page.entries) found.set(key, value);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return found;
}

/** Runs `act` once, when `operation` is called for the `turn`th time. */
function meddle(
  storage: Storage,
  operation: 'get' | 'list' | 'put',
  turn: number,
  act: () => Promise<unknown>,
): Storage {
  let calls = 0;
  const original = storage[operation] as (...given: unknown[]) => Promise<unknown>;
  return {
    ...storage,
    [operation]: async (...given: unknown[]) => {
      if (++calls === turn) await act();
      return original(...given);
    },
  };
}

async function change(storage: Storage, key: string, value: string): Promise<void> {
  const row = await storage.get(key);
  if (row === undefined || row === 'unchanged') throw new Error('it is not there');
  await storage.put(key, value, row.version);
}

/** The expiry of a record, in milliseconds since 1970. */
async function expiryOf(storage: Storage, key: string): Promise<number | undefined> {
  return (await storage.list(key)).entries.find((entry) => entry.key === key)?.expiresAt;
}

describe('copyStorage of records that expire', () => {
  const soon = () => Date.now() + 600_000;

  it('failed if one expired before the verification', async () => {
    await from.put('affinity/1', 'v', null, { expiresAt: Date.now() + 500 });
    const slow = meddle(from, 'list', 4, async () => {
      while ((await from.get('affinity/1')) !== undefined) await new Promise(setImmediate);
    });
    expect(await copyStorage(slow, to)).toMatchObject({ keys: 251, deleted: 0 });
  });

  it('left the expiry of a record that had the same text, with replace', async () => {
    const expiresAt = soon();
    await from.put('affinity/1', 'v', null, { expiresAt });
    await to.put('affinity/1', 'v', null);
    await to.put('team/1', 'value 1', null, { expiresAt });
    await copyStorage(from, to, { replace: true });
    expect(await expiryOf(to, 'affinity/1')).toBe(expiresAt);
    expect(await expiryOf(to, 'team/1')).toBeUndefined();
    expect(await copyStorage(from, to, { replace: true })).toMatchObject({ written: 0 });
  });
});

it.skipIf(redisUrl === undefined)(
  'redisStorage listed a row without its expiry if the row expired between its value and its time',
  async () => {
    const client = await redisClient();
    const prefix = `{${newRoom()}}:`;
    const plain = redisStorage(client, { prefix });
    // Loads the scripts, so that each step below is one command.
    await plain.put('affinity/0', 'v', null, { expiresAt: Date.now() + 60_000 });
    await plain.list('affinity/');
    await plain.put('affinity/1', 'v', null, { expiresAt: Date.now() + 300 });
    let step = 0;
    const counted = new Proxy(client, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name !== 'sendCommand') return typeof value === 'function' ? value.bind(target) : value;
        return async (...command: Parameters<typeof target.sendCommand>) => {
          if (++step === 3)
            while ((await plain.get('affinity/1')) !== undefined) await new Promise(setImmediate);
          return target.sendCommand(...command);
        };
      },
    });
    const { entries } = await redisStorage(counted, { prefix }).list('affinity/');
    expect(entries.map(({ key }) => key)).toEqual(['affinity/0']);
  },
);

describe('copyStorage', () => {
  it('copies everything, and tells how far it is', async () => {
    const progress: string[] = [];
    const onProgress = ({ phase, keys, written }: { phase: string; keys: number; written: number }) =>
      progress.push(`${phase} ${keys} ${written}`);
    expect(await copyStorage(from, to, { onProgress })).toEqual({ keys: 250, written: 250, deleted: 0 });
    expect(await contents(to)).toEqual(await contents(from));
    expect(progress).toEqual([
      'copying 100 100',
      'copying 200 200',
      'copying 250 250',
      'verifying 100 250',
      'verifying 200 250',
      'verifying 250 250',
    ]);
  });

  it('continues where it was interrupted, and writes nothing twice', async () => {
    const failing = meddle(to, 'put', 120, () => Promise.reject(new Error('the cable')));
    await expect(copyStorage(from, failing)).rejects.toThrow('the cable');
    const before = (await contents(to)).size;
    expect(before).toBeGreaterThan(100);
    expect(await copyStorage(from, to)).toEqual({ keys: 250, written: 250 - before, deleted: 0 });
    expect(await copyStorage(from, to)).toEqual({ keys: 250, written: 0, deleted: 0 });
  });

  it.each([
    ['changed', () => change(from, 'team/7', 'newer')],
    ['written again with the same value', () => change(from, 'team/7', 'value 7')],
    ['added', () => from.put('team/new', 'value', null)],
    [
      'deleted',
      async () => {
        const row = await from.get('team/7');
        if (row !== undefined && row !== 'unchanged') await from.delete('team/7', row.version);
      },
    ],
  ])(
    'its verification fails if a record is %s in the source meanwhile; with replace it can be repeated',
    async (_, act) => {
      const moving = meddle(from, 'list', 4, act);
      await expect(copyStorage(moving, to)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('Stop every writer'),
      });
      await copyStorage(from, to, { replace: true });
      expect(await contents(to)).toEqual(await contents(from));
    },
  );

  it('fails the verification after another write to the target', async () => {
    const meddled = meddle(from, 'list', 4, () => change(to, 'team/7', 'theirs'));
    await expect(copyStorage(meddled, to)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('does not overwrite what the target holds, unless it is told to', async () => {
    await to.put('team/7', 'of another', null);
    await expect(copyStorage(from, to)).rejects.toMatchObject({ code: 'already_exists' });
    expect(await to.get('team/7')).toMatchObject({ value: 'of another' });
    await to.put('team/of-another', 'value', null);
    expect(await copyStorage(from, to, { replace: true })).toMatchObject({ keys: 250, deleted: 1 });
    expect(await contents(to)).toEqual(await contents(from));
  });

  it('a target that holds more than the source is no copy', async () => {
    await to.put('team/of-another', 'value', null);
    await expect(copyStorage(from, to)).rejects.toMatchObject({ code: 'already_exists' });
    expect(await to.get('team/of-another')).toMatchObject({ value: 'value' });
  });

  it.each([{}, { replace: true }])(
    'refuses a source without records, and keeps the target: %j',
    async (options) => {
      const mistyped = sqliteStorage(newPath());
      await to.put('team/7', 'kept', null);
      const refused = {
        code: 'invalid_request',
        param: 'from',
        message: expect.stringContaining('allowEmpty'),
      };
      await expect(copyStorage(mistyped, to, options)).rejects.toMatchObject(refused);
      expect([...(await contents(to))]).toEqual([['team/7', 'kept']]);
      await mistyped.close();
    },
  );

  it('takes a row of the write probe for no record of the source', async () => {
    const unused = memoryStorage();
    await unused.put('probe:of-the-source', '', null);
    await expect(copyStorage(unused, to)).rejects.toMatchObject({ param: 'from' });
  });

  it('copies a source without records if the caller allows it', async () => {
    await to.put('team/7', 'of another', null);
    const empty = memoryStorage();
    await expect(copyStorage(empty, to, { allowEmpty: true })).rejects.toMatchObject({
      code: 'already_exists',
    });
    expect(await copyStorage(empty, to, { allowEmpty: true, replace: true })).toEqual({
      keys: 0,
      written: 0,
      deleted: 1,
    });
  });

  it.each([
    [{ replce: true }, 'replce'],
    [{ replace: 'yes' }, 'replace'],
    [{ onProgress: true }, 'onProgress'],
    [{ signal: {} }, 'signal'],
  ])('refuses the options %j', async (options, param) => {
    await expect(copyStorage(from, to, options as never)).rejects.toMatchObject({
      code: 'invalid_request',
      param,
    });
    expect((await contents(to)).size).toBe(0);
  });

  it('ends when it is aborted', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const onProgress = () => controller.abort(reason);
    await expect(copyStorage(from, to, { onProgress, signal: controller.signal })).rejects.toBe(reason);
    expect((await contents(to)).size).toBeLessThan(250);
  });

  it('leaves out the rows by which readiness sees whether writes are taken: they would expire meanwhile', async () => {
    const expiresAt = Date.now() + 60_000;
    const version = await from.put('probe:of-the-source', '', null, { expiresAt });
    await to.put('probe:of-the-target', '', null, { expiresAt });
    const source = meddle(from, 'list', 4, () => from.delete('probe:of-the-source', version ?? ''));
    expect(await copyStorage(source, to)).toEqual({ keys: 250, written: 250, deleted: 0 });
    expect((await contents(to)).has('probe:of-the-source')).toBe(false);
  });

  it.each(clusterStorages)(
    'a router on $name continues with the models and keys of a SQLite file',
    async ({ url, open }) => {
      if (url === undefined) return;
      const encryptionKeys = [generateEncryptionKey()];
      const path = newPath();
      const old = new TeamModelRouter({ storage: sqliteStorage(path), encryptionKeys });
      const { model_id } = await old.addModel('acme', {
        model_name: 'my-team-model',
        litellm_params: { model: 'gpt-4o', api_key: 'sk-0123456789abcdefcdef' },
      });
      const { key } = await old.createKey('acme');
      await old.close();
      const room = newRoom();
      const [source, target] = [sqliteStorage(path), await open(room)];
      await copyStorage(source, target);
      await Promise.all([source.close(), target.close()]);
      const router = new TeamModelRouter({ storage: await open(room), encryptionKeys });
      const model = await router.getModel('acme', model_id);
      expect(model.litellm_params).toMatchObject({ api_key: 'sk-...cdef' });
      expect(model.model_info.needs_reentry).toBeUndefined();
      expect(await router.verifyKey(key)).toMatchObject({ teamId: 'acme' });
      await router.close();
    },
  );
});
