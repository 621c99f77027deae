import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkExpiry, checkKey, checkPrefix, pageLimit, unknownCursor, unreadableRow } from '../checks.ts';
import type { ListedEntry, Storage } from '../storage.ts';
import { milliseconds, readOptions, wrongArgument } from '../support/arguments.ts';
import { ExpirySweep, rowsPerStep } from '../support/expiry-sweep.ts';
import { endOfPrefix } from '../support/prefix.ts';
import { newVersion } from '../support/version.ts';
import { DataVersionWatch } from './data-version.ts';
import { inMemory, SqliteFile } from './file.ts';
import {
  decodeListed,
  decodeRow,
  encodeRow,
  hasExpired,
  hasHead,
  headColumn,
  headOf,
  versionOf,
} from './rows.ts';

/**
 * Options of `sqliteStorage`.
 *
 * @example
 * ```ts
 * const options: SqliteStorageOptions = { timeoutMs: 10_000 };
 * const storage = sqliteStorage('models.sqlite', options);
 * ```
 */
export interface SqliteStorageOptions {
  /** Milliseconds that a statement waits for another process's lock. Default 5 000. */
  timeoutMs?: number;
  /** Milliseconds between two checks for writes by other processes. Default 200. */
  watchIntervalMs?: number;
}

// Keyv's default namespace, so that `new Keyv(new KeyvSqlite('sqlite://...'))` reads the same rows.
const rowKey = (key: string): string => `keyv:${key}`;

// Each operation is a single statement, because all callers share the connection.
const select = `SELECT CASE WHEN ${hasHead} THEN NULL ELSE value END AS value, ${hasExpired} AS expired, ${headColumn}
  FROM keyv WHERE key = ?`;
const insert = `INSERT INTO keyv (key, value) VALUES (?, ?)
  ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE ${hasExpired.replaceAll('value', 'keyv.value')} RETURNING 1`;
const update = `UPDATE keyv SET value = ? WHERE key = ? AND ${hasHead} AND NOT ${hasExpired} RETURNING 1`;
const remove = `DELETE FROM keyv WHERE key = ? AND ${hasHead} AND NOT ${hasExpired} RETURNING 1`;
const page = (column: string): string =>
  `SELECT key, ${column} FROM keyv WHERE key >= ? AND key < ? AND NOT ${hasExpired} ORDER BY key LIMIT ?`;
const sweep = `DELETE FROM keyv WHERE key = ? AND ${hasExpired}`;
// The query uses the index, and reads the row's text only up to its expiry.
const endOfStep = `SELECT key FROM keyv WHERE key > ? AND key < ? ORDER BY key LIMIT 1 OFFSET ${rowsPerStep - 1}`;
const sweepRange = `DELETE FROM keyv WHERE key > ? AND key < ? AND ${hasExpired}`;
const pageOfKeys = page(headColumn);
const pageOfRows = page('value');

/**
 * Returns the file name of a path or URL.
 *
 * @throws RouterError `invalid_request` if it names no file
 */
function fileOf(input: unknown): string {
  const path = input instanceof URL && input.protocol === 'file:' ? fileURLToPath(input) : input;
  const pass = "Pass a path, such as 'models.sqlite', or ':memory:'.";
  if (typeof path !== 'string') throw wrongArgument('path', `must be the path of a SQLite file. ${pass}`);
  const name = path.replace(/^sqlite:(\/\/)?/i, '');
  // SQLite opens a temporary database for an empty name.
  if (name.trim() === '') throw wrongArgument('path', `must not be empty. ${pass}`);
  if (name.includes('\0')) throw wrongArgument('path', `must not contain U+0000. ${pass}`);
  if (!/^(file:|[a-z][a-z0-9+.-]*:\/\/)/i.test(name)) return name;
  if (/^file:\/\/\/[^?#]+$/i.test(name)) return fileURLToPath(name);
  throw wrongArgument(
    'path',
    `must be the path of a SQLite file, not an address of another storage. ${pass}`,
  );
}

/**
 * Creates a storage in a SQLite file, safe for several processes of one host. Uses the table of `@keyv/sqlite`.
 *
 * A plain `new Keyv(new KeyvSqlite('sqlite://models.sqlite'))` can read the same rows but must not write them. The
 * first operation opens the file. Only the owner can read a new file.
 *
 * @param path a file or `:memory:`, with an optional `sqlite:` or `sqlite://` prefix, or a `file:` URL
 * @throws RouterError `invalid_request` for any other path, and for an invalid option
 *
 * @example
 * ```ts
 * const router = new TeamModelRouter({ storage: sqliteStorage('models.sqlite'), encryptionKeys });
 * ```
 */
export function sqliteStorage(path: string, options?: SqliteStorageOptions): Storage {
  const checks = { timeoutMs: milliseconds, watchIntervalMs: milliseconds };
  const { timeoutMs = 5_000, watchIntervalMs = 200 } = readOptions(options, checks);
  const name = fileOf(path);
  // Resolved now, because the file is opened later and the working directory may change.
  const file = new SqliteFile(name === inMemory ? inMemory : resolve(name), timeoutMs);
  const changes = new DataVersionWatch(file, watchIntervalMs);
  const sweeping = new ExpirySweep(async (after = rowKey('')) => {
    const end = endOfPrefix(rowKey('')) ?? '';
    const [last] = await file.read(endOfStep, [after, end]);
    const key = typeof last?.key === 'string' ? last.key : undefined;
    await file.write(sweepRange, [after, key ?? end, Date.now()]);
    return key;
  });

  return {
    atomicity: name === inMemory ? 'process' : 'host',

    async get(key, { unless, signal } = {}) {
      checkKey(key);
      const unlessHead = unless === undefined ? null : headOf(unless);
      const now = Date.now();
      const [row] = await file.read(select, [unlessHead, now, rowKey(key)], signal);
      if (!row) return undefined;
      if (row.expired) {
        // A failed cleanup is ignored, because every reader treats the expired row as absent.
        await file.write(sweep, [rowKey(key), now], signal).catch(() => undefined);
        return undefined;
      }
      return versionOf(row.head) === unless ? 'unchanged' : decodeRow(row.value);
    },

    async put(key, value, expected, { expiresAt, signal } = {}) {
      checkKey(key);
      const version = newVersion();
      const row = encodeRow(version, value, checkExpiry(expiresAt));
      const written =
        expected === null
          ? await file.write(insert, [rowKey(key), row, Date.now()], signal)
          : await file.write(update, [row, rowKey(key), headOf(expected), Date.now()], signal);
      await sweeping.afterPut(expiresAt);
      return written.length > 0 ? version : undefined;
    },

    async delete(key, expected, { signal } = {}) {
      checkKey(key);
      const gone = await file.write(remove, [rowKey(key), headOf(expected), Date.now()], signal);
      return gone.length > 0;
    },

    async list(prefix, { cursor, limit, keysOnly = false, signal } = {}) {
      checkPrefix(prefix);
      if (cursor !== undefined && !cursor.startsWith(prefix)) throw unknownCursor();
      const count = pageLimit(limit);
      const range = rowKey(prefix);
      // Keys have no control characters, so the smallest text above the cursor's key ends in one.
      const from = cursor === undefined ? range : rowKey(`${cursor}\u0001`);
      const rows = await file.read(
        keysOnly ? pageOfKeys : pageOfRows,
        [from, endOfPrefix(range) ?? null, Date.now(), count + 1],
        signal,
      );
      const entries = rows.slice(0, count).map((row): ListedEntry => {
        if (typeof row.key !== 'string') throw unreadableRow();
        const key = row.key.slice(rowKey('').length);
        return keysOnly ? { key, version: versionOf(row.head) } : { key, ...decodeListed(row.value) };
      });
      const last = entries.at(-1);
      return rows.length > count && last ? { entries, cursor: last.key } : { entries };
    },

    watch: (listener) => changes.watch(listener),

    async close() {
      await changes.stop();
      await file.close();
    },
  };
}
