import { checkExpiry, checkKey, checkPrefix, pageLimit, storageClosed, unknownCursor } from './checks.ts';
import type { ListedEntry, OperationOptions, Storage, Version } from './storage.ts';
import { ExpirySweep, rowsPerStep } from './support/expiry-sweep.ts';
import { newVersion } from './support/version.ts';

interface Row {
  value: string;
  version: Version;
  expiresAt: number | undefined;
  /** Insertion number. Ascends in the order of the Map, so a walk can continue after a row that has been deleted. */
  order: number;
}

/**
 * Creates a storage in the memory of this process, for tests and trials. The records are lost when the process ends.
 *
 * @example
 * ```ts
 * const router = new TeamModelRouter({
 *   storage: memoryStorage(),
 *   encryptionKeys: [generateEncryptionKey()],
 * });
 * ```
 */
export function memoryStorage(): Storage {
  const rows = new Map<string, Row>();
  let lastOrder = 0;
  let closed = false;
  let walk = rows.entries();
  const sweep = new ExpirySweep(async () => {
    for (let looked = 0; looked < rowsPerStep; looked++) {
      const next = walk.next();
      if (next.done) {
        walk = rows.entries();
        break;
      }
      const [key, row] = next.value;
      if (isExpired(row)) rows.delete(key);
    }
    return undefined;
  });

  function begin({ signal }: OperationOptions): void {
    if (closed) throw storageClosed();
    signal?.throwIfAborted();
  }

  function live(key: string): Row | undefined {
    const row = rows.get(key);
    if (!row || !isExpired(row)) return row;
    rows.delete(key);
    return undefined;
  }

  return {
    atomicity: 'process',

    async get(key, options = {}) {
      begin(options);
      checkKey(key);
      const row = live(key);
      if (!row) return undefined;
      return row.version === options.unless ? 'unchanged' : { value: row.value, version: row.version };
    },

    async put(key, value, expected, options = {}) {
      begin(options);
      checkKey(key);
      const expiresAt = checkExpiry(options.expiresAt);
      const row = live(key);
      if ((row?.version ?? null) !== expected) return undefined;
      const version = newVersion();
      rows.set(key, { value, version, expiresAt, order: row?.order ?? ++lastOrder });
      await sweep.afterPut(expiresAt);
      return version;
    },

    async delete(key, expected, options = {}) {
      begin(options);
      checkKey(key);
      return live(key)?.version === expected && rows.delete(key);
    },

    async list(prefix, options = {}) {
      begin(options);
      checkPrefix(prefix);
      const limit = pageLimit(options.limit);
      const after = options.cursor === undefined ? 0 : Number(options.cursor);
      if (!Number.isSafeInteger(after)) throw unknownCursor();
      const entries: ListedEntry[] = [];
      let cursor = after;
      for (const [key, row] of rows) {
        if (row.order <= after || !key.startsWith(prefix) || isExpired(row)) continue;
        if (entries.length === limit) return { entries, cursor: String(cursor) };
        entries.push({ key, version: row.version, ...(options.keysOnly ? {} : contentOf(row)) });
        cursor = row.order;
      }
      return { entries };
    },

    async close() {
      closed = true;
      rows.clear();
    },
  };
}

function contentOf({ value, expiresAt }: Row): { value: string; expiresAt?: number } {
  return expiresAt === undefined ? { value } : { value, expiresAt };
}

function isExpired(row: Row): boolean {
  return row.expiresAt !== undefined && row.expiresAt <= Date.now();
}
