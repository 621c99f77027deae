import { KeyvSqlite } from '@keyv/sqlite';
import Keyv from 'keyv';
import { keyvStorage } from '../../src/storage/keyv.ts';
import { memoryStorage } from '../../src/storage/memory.ts';
import { sqliteStorage } from '../../src/storage/sqlite.ts';
import type { Storage } from '../../src/storage/storage.ts';

export interface Adapter {
  name: string;
  create: () => Storage;
  createPair?: () => Storage[];
}

/** Keyv over a SQLite file, which the storage leaves open for its owner. */
function keyvOverFile(path: string): Storage {
  const store = new KeyvSqlite({ uri: `sqlite://${path}`, busyTimeout: 5_000 });
  const storage = keyvStorage(new Keyv({ store }), { singleProcess: true });
  return { ...storage, close: () => storage.close().then(() => store.close().catch(() => undefined)) };
}

/** Every adapter that needs no server, each time over new data. */
export function adapters(newPath: (name?: string) => string): Adapter[] {
  return [
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
}
