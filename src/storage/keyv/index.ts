import { RouterError } from '../../errors.ts';
import {
  checkExpiry,
  checkKey,
  checkPrefix,
  pageLimit,
  storageClosed,
  unknownCursor,
  unreadableRow,
} from '../checks.ts';
import type { ListedEntry, OperationOptions, Storage } from '../storage.ts';
import { checkStore, flag, milliseconds, readOptions, wrongArgument } from '../support/arguments.ts';
import { boundedWait } from '../support/bounded-wait.ts';
import { ExpirySweep, rowsPerStep } from '../support/expiry-sweep.ts';
import { KeyedMutex } from '../support/keyed-mutex.ts';
import { newVersion } from '../support/version.ts';
import { type KeyvLike, KeyvRows } from './rows.ts';

export interface KeyvStorageOptions {
  /** States that no other process writes to this store. Needed for every store that another process could reach. */
  singleProcess?: boolean;
  /** How long one operation may take, in milliseconds; 5 000 unless given. */
  timeoutMs?: number;
}

// The store has no conditional write, so writers take turns here; shared by all storages over one store.
const mutexes = new WeakMap<object, KeyedMutex>();

// Never a legal key: deletes and walks take turns on it, since stores that page by offset skip a row when one goes.
const wholeStore = '';

/**
 * A storage over any Keyv 5 store that can list its keys.
 *
 * Keyv has no conditional write, so writes are safe against each other within this process only. Use one Keyv
 * instance over a store, and `sqliteStorage`, `redisStorage` or `postgresStorage` where several processes write.
 * The Keyv instance stays the application's: `close` does not disconnect it. It is switched to `throwOnErrors`,
 * since an outage would otherwise look like an absent key.
 *
 * @throws RouterError `invalid_request` for a store that several processes can reach, unless `singleProcess` is true,
 * and for a store that cannot list its keys.
 *
 * @example
 * keyvStorage(new Keyv())
 */
export function keyvStorage(keyv: KeyvLike, options?: KeyvStorageOptions): Storage {
  checkStore('keyv', keyv, ['get', 'set', 'delete'], {
    expected: 'a Keyv instance',
    example: 'new Keyv(store)',
  });
  if (typeof keyv.store !== 'object' || keyv.store === null) {
    throw wrongArgument('keyv', 'must be a Keyv instance, not the store of one. Pass new Keyv(store).');
  }
  const checks = { singleProcess: flag, timeoutMs: milliseconds };
  const { singleProcess = false, timeoutMs = 5_000 } = readOptions(options, checks);
  const rows = new KeyvRows(keyv);
  if (!rows.inMemory && !singleProcess) {
    throw new RouterError(
      'invalid_request',
      'Keyv has no conditional write, so over a store that several processes can reach they would lose each ' +
        "other's updates. Use redisStorage, postgresStorage or sqliteStorage, or pass { singleProcess: true } " +
        'if this process is the only one that writes to it.',
      { param: 'singleProcess' },
    );
  }
  const mutex = mutexes.get(rows.store) ?? new KeyedMutex();
  mutexes.set(rows.store, mutex);
  let closed = false;

  async function run<Result>(
    { signal }: OperationOptions,
    work: (stillWanted: () => void) => Promise<Result>,
  ): Promise<Result> {
    if (closed) throw storageClosed();
    signal?.throwIfAborted();
    return boundedWait(timeoutMs, signal, work);
  }

  let walk: AsyncGenerator<string | undefined> | undefined;
  const sweep = new ExpirySweep(async () => {
    for (let looked = 0; looked < rowsPerStep; looked++) {
      walk ??= rows.expired();
      const next = await walk.next();
      if (next.done) {
        walk = undefined;
        break;
      }
      const key = next.value;
      if (key !== undefined) await mutex.run(key, () => mutex.run(wholeStore, () => removeExpired(key)));
    }
    return undefined;
  });
  /** Unless it was written anew since the walk saw it. */
  const removeExpired = async (key: string) => {
    if ((await rows.read(key)) === undefined) await rows.remove(key);
  };

  return {
    atomicity: 'process',

    async get(key, options = {}) {
      checkKey(key);
      const row = await run(options, () => rows.read(key));
      if (!row) return undefined;
      return row.nonce === options.unless ? 'unchanged' : { value: row.value, version: row.nonce };
    },

    async put(key, value, expected, options = {}) {
      checkKey(key);
      const expires = checkExpiry(options.expiresAt);
      const version = await run(options, (stillWanted) =>
        mutex.run(key, async () => {
          stillWanted();
          const row = await rows.read(key);
          if ((row?.nonce ?? null) !== expected) return undefined;
          stillWanted();
          const nonce = newVersion();
          await rows.write(key, { nonce, value, ...(expires === undefined ? {} : { expires }) });
          return nonce;
        }),
      );
      await sweep.afterPut(expires);
      return version;
    },

    async delete(key, expected, options = {}) {
      checkKey(key);
      return run(options, (stillWanted) =>
        mutex.run(key, () =>
          mutex.run(wholeStore, async () => {
            stillWanted();
            const row = await rows.read(key);
            if (row?.nonce !== expected) return false;
            stillWanted();
            return rows.remove(key);
          }),
        ),
      );
    },

    async list(prefix, options = {}) {
      checkPrefix(prefix);
      const limit = pageLimit(options.limit);
      const { cursor } = options;
      if (cursor !== undefined && !cursor.startsWith(prefix)) throw unknownCursor();
      const found = await run(options, (stillWanted) =>
        mutex.run(wholeStore, async () => {
          const found = new Map<string, ListedEntry>();
          for await (const [key, row] of rows.walk(prefix)) {
            stillWanted();
            if (!row) throw unreadableRow();
            if (cursor !== undefined && key <= cursor) continue;
            const expiry = row.expires === undefined ? {} : { expiresAt: row.expires };
            const content = options.keysOnly ? {} : { value: row.value, ...expiry };
            found.set(key, { key, version: row.nonce, ...content });
          }
          return found;
        }),
      );
      const sorted = [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      const entries = sorted.slice(0, limit);
      const last = entries.at(-1);
      return sorted.length > limit && last ? { entries, cursor: last.key } : { entries };
    },

    async close() {
      if (!closed) rows.release();
      closed = true;
    },
  };
}
