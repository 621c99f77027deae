import { KeyvSqlite } from '@keyv/sqlite';
import Keyv from 'keyv';
import { copyStorage } from 'team-model-router';
import { expect, it } from 'vitest';
import { keyvStorage } from '../../src/storage/keyv/index.ts';
import { memoryStorage } from '../../src/storage/memory.ts';
import { postgresStorage } from '../../src/storage/postgres/index.ts';
import { redisStorage } from '../../src/storage/redis/index.ts';
import { sqliteStorage } from '../../src/storage/sqlite/index.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { ExpirySweep } from '../../src/storage/support/expiry-sweep.ts';
import {
  closeConnections,
  newRoom,
  postgresPool,
  postgresUrl,
  redisClient,
  redisUrl,
} from '../support/connections.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

closeConnections();
const newPath = temporaryFolder();
const expired = 500;

/** Rows that ended long ago, and then as many puts as it takes to look at each of them. */
async function fillAndGoOn(storage: Storage): Promise<void> {
  await storage.put('stays', 'value', null);
  for (let at = 0; at < expired; at++)
    await storage.put(`affinity/${at}`, 'value', null, { expiresAt: Date.now() - 1_000 });
  let version = await storage.put('later', '0', null, { expiresAt: Date.now() + 3_600_000 });
  for (let put = 0; put < 500; put++)
    version = await storage.put('later', String(put), version ?? null, { expiresAt: Date.now() + 3_600_000 });
  expect((await storage.list('')).entries.map(({ key }) => key).sort()).toEqual(['later', 'stays']);
}

it('expired rows stayed in a SQLite file: they are swept', async () => {
  const path = newPath();
  const storage = sqliteStorage(path);
  await fillAndGoOn(storage);
  const store = new KeyvSqlite(`sqlite://${path}`);
  const [row] = (await store.query('SELECT count(*) AS rows FROM keyv')) as { rows: number }[];
  expect(row?.rows).toBe(2);
  await store.close();
  await storage.close();
});

it('expired rows stayed in a Keyv store: they are swept', async () => {
  const store = new Map();
  const storage = keyvStorage(new Keyv({ store }));
  await fillAndGoOn(storage);
  expect(store.size).toBe(2);
  await storage.close();
});

it.skipIf(postgresUrl === undefined)('expired rows stayed in PostgreSQL: they are swept', async () => {
  const table = newRoom();
  const pool = postgresPool();
  const storage = postgresStorage(pool, { table });
  await fillAndGoOn(storage);
  const { rows } = await pool.query(`SELECT count(*)::int AS rows FROM ${table}`);
  expect(rows).toEqual([{ rows: 2 }]);
  await storage.close();
});

it.skipIf(redisUrl === undefined)(
  'keys of expired rows stayed in the index of Redis: they are swept',
  async () => {
    const client = await redisClient();
    const prefix = `{${newRoom()}}:`;
    const storage = redisStorage(client, { prefix });
    await fillAndGoOn(storage);
    expect(await client.zCard(`${prefix}index`)).toBe(2);
    await storage.close();
  },
);

it('a sweep runs one step in 64 expiring puts, one at a time, and continues after a failure', async () => {
  const steps: (string | undefined)[] = [];
  let end: (() => void) | undefined;
  const sweep = new ExpirySweep(async (after) => {
    steps.push(after);
    if (steps.length === 2) throw new Error('the storage is away');
    if (steps.length === 3)
      await new Promise<void>((resolve) => {
        end = resolve;
      });
    return `row ${steps.length}`;
  });
  const puts = (count: number) =>
    Array.from({ length: count }, () => sweep.afterPut(Date.now())).reduce((_, next) => next);
  for (let put = 0; put < 1_000; put++) await sweep.afterPut(undefined);
  expect(steps).toEqual([]);
  await puts(64);
  await puts(64);
  const third = puts(64);
  await puts(256);
  expect(steps).toEqual([undefined, 'row 1', 'row 1']);
  end?.();
  await third;
  await puts(64);
  expect(steps.at(-1)).toBe('row 3');
});

it('copyStorage lost the expiry of what it copied: it comes along', async () => {
  const expiresAt = Date.now() + 3_600_000;
  const source = memoryStorage();
  await source.put('affinity/1', 'value', null, { expiresAt });
  await source.put('team/acme', 'value', null);
  const targets = [memoryStorage(), sqliteStorage(newPath()), keyvStorage(new Keyv())];
  for (const target of targets) {
    await copyStorage(source, target);
    const { entries } = await target.list('');
    const found = Object.fromEntries(entries.map((entry) => [entry.key, entry.expiresAt]));
    expect(found).toEqual({ 'affinity/1': expiresAt, 'team/acme': undefined });
    await target.close();
  }
});
