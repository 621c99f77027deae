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

/**
 * Options of `keyvStorage`.
 *
 * @example
 * ```ts
 * const options: KeyvStorageOptions = { singleProcess: true };
 * const storage = keyvStorage(new Keyv(), options);
 * ```
 */
export interface KeyvStorageOptions {
  /**
   * Confirms that no other process writes to this store. Required for every store that another process could reach.
   */
  singleProcess?: boolean;
  /** Milliseconds that one operation may take. Default 5 000. */
  timeoutMs?: number;
}

// Serialises writers, because the store has no conditional write. All storages over one store share a mutex.
const mutexes = new WeakMap<object, KeyedMutex>();

// An illegal key, used as a lock for deletes and walks. Stores that page by offset skip a row if a delete runs during
// a walk.
const wholeStore = '';

/**
 * Creates a storage over any Keyv 5 store that can list its keys.
 *
 * Keyv has no conditional write, so writes are atomic within this process only. Use one Keyv instance per store. Use
 * `sqliteStorage`, `redisStorage` or `postgresStorage` if several processes write. `close` does not disconnect the
 * Keyv instance. The storage sets `throwOnErrors` on it, because an outage would otherwise look like an absent key.
 *
 * @throws RouterError `invalid_request` for a store that several processes can reach without `singleProcess`, and for
 * a store that cannot list its keys
 *
 * @example
 * ```ts
 * import Keyv from 'keyv';
 *
 * const router = new TeamModelRouter({ storage: keyvStorage(new Keyv()), encryptionKeys });
 * ```
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
      'singleProcess: is required for a store that several processes can reach, because Keyv has no conditional write. ' +
        'Use redisStorage, postgresStorage or sqliteStorage, or pass { singleProcess: true } ' +
        'if no other process writes to the store.',
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
  /** Deletes an expired row unless it was written again since the walk read it. */
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
