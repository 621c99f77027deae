import KeyvRedis from '@keyv/redis';
import { KeyvSqlite } from '@keyv/sqlite';
import Keyv from 'keyv';
import { test } from 'vitest';
import { keyvStorage } from '../../src/storage/keyv/index.ts';
import { memoryStorage } from '../../src/storage/memory.ts';
import { sqliteStorage } from '../../src/storage/sqlite/index.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { closeConnections, clusterStorages, newRoom, redisUrl } from '../support/connections.ts';

export interface Adapter {
  name: string;
  create: () => Storage | Promise<Storage>;
  createPair?: () => Storage[] | Promise<Storage[]>;
}

/** Keyv over a SQLite file, which the storage leaves open for its owner. */
function keyvOverFile(path: string): Storage {
  const store = new KeyvSqlite({ uri: `sqlite://${path}`, busyTimeout: 5_000 });
  return owning(store, () => store.close());
}

/** In a database of its own: Keyv lists by looking at every key that there is, whoever's it may be. */
function keyvOverRedis(url: string): Storage {
  const store = new KeyvRedis(`${url}/1`, { namespace: newRoom() });
  return owning(store, async () => {
    await store.clear();
    await store.disconnect();
  });
}

function owning(store: KeyvSqlite | KeyvRedis<unknown>, release: () => Promise<unknown>): Storage {
  const storage = keyvStorage(new Keyv({ store }), { singleProcess: true });
  return { ...storage, close: () => storage.close().then(() => release().then(ignore, ignore)) };
}

const ignore = (): void => {};

/** Every adapter, each time over new data. Those whose server is missing are declared as skipped. */
export function adapters(newPath: (name?: string) => string): Adapter[] {
  closeConnections();
  const all: Adapter[] = [
    { name: 'memory', create: memoryStorage },
    {
      name: 'keyv over a Map',
      create: () => keyvStorage(new Keyv()),
      createPair: () => {
        const store = new Map();
        return [keyvStorage(new Keyv({ store })), keyvStorage(new Keyv({ store }))];
      },
    },
    { name: 'keyv over a SQLite file', create: () => keyvOverFile(newPath()) },
    { name: 'sqlite in memory', create: () => sqliteStorage(':memory:') },
    {
      name: 'sqlite',
      create: () => sqliteStorage(newPath()),
      createPair: () => {
        const path = newPath();
        return [sqliteStorage(path, { watchIntervalMs: 5 }), sqliteStorage(path)];
      },
    },
  ];
  const url = redisUrl;
  if (url === undefined) test.skip('keyv over @keyv/redis: redis-server is not installed');
  else all.push({ name: 'keyv over @keyv/redis', create: () => keyvOverRedis(url) });
  for (const { name, url, open } of clusterStorages) {
    if (url === undefined) test.skip(`${name}: its server is not installed`);
    else all.push(clusterAdapter(name, open));
  }
  return all;
}

/** Opening connections anew for every check would take longer than the checks, which use keys of their own. */
function clusterAdapter(name: string, open: (room: string) => Promise<Storage>): Adapter {
  const room = newRoom();
  return {
    name,
    create: () => open(room),
    createPair: () => Promise.all([open(room), open(room)]),
  };
}
