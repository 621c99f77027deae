import { RouterError } from '../../errors.ts';
import { checkExpiry, checkKey, checkPrefix, pageLimit, unknownCursor, unreadableRow } from '../checks.ts';
import type { ListedEntry, Storage, StoredValue } from '../storage.ts';
import { checkStore, milliseconds, readOptions, text, wrongArgument } from '../support/arguments.ts';
import { ChangeSubscription } from '../support/change-subscription.ts';
import { decodeText, encodeText } from '../support/encoding.ts';
import { ExpirySweep } from '../support/expiry-sweep.ts';
import { endOfPrefix } from '../support/prefix.ts';
import { newVersion } from '../support/version.ts';
import { listen, type PostgresPoolLike, PostgresQueries, type Row } from './pool.ts';
import {
  indexedPart,
  longKey,
  notice,
  type PostgresTable,
  postgresTableSql,
  queriesOn,
  quoted,
  rowKey,
  tableOf,
} from './queries.ts';

export type { PostgresClientLike, PostgresPoolLike } from './pool.ts';
export { type PostgresTable, postgresTableSql } from './queries.ts';

/**
 * Options of `postgresStorage`.
 *
 * @example
 * ```ts
 * const options: PostgresStorageOptions = { schema: 'app', timeoutMs: 2_000 };
 * const storage = postgresStorage(new pg.Pool({ connectionString: process.env.DATABASE_URL }), options);
 * ```
 */
export interface PostgresStorageOptions extends PostgresTable {
  /** Milliseconds that one operation may take. Default 5 000. */
  timeoutMs?: number;
}

const heartbeatMs = 10_000;

function checkPool(pool: unknown): void {
  const example = 'new pg.Pool({ connectionString: url, connectionTimeoutMillis: 5000 })';
  checkStore('pool', pool, ['connect', 'on', 'off'], { expected: 'a pool of the pg package', example });
  const { connectionParameters, totalCount } = pool as {
    connectionParameters?: unknown;
    totalCount?: unknown;
  };
  if (connectionParameters !== undefined && totalCount === undefined) {
    throw wrongArgument('pool', `must be a pool of the pg package, not one client of it. Pass ${example}.`);
  }
}

/**
 * Creates a storage in one table of PostgreSQL 11 or newer, safe for any number of processes. The first operation
 * creates the table. An application that runs migrations itself can print the SQL with `postgresTableSql`. The
 * database's encoding must be UTF8.
 *
 * Keep the pool open until the router is closed, because `close` does not end it. One of its connections listens for
 * changes by other processes, so the pool needs at least two. Set `connectionTimeoutMillis`, because connections to
 * an unresponsive server would otherwise wait forever.
 *
 * An acknowledged write is on the primary's disk, unless `synchronous_commit` is off. A failover can lose the last
 * writes unless `synchronous_standby_names` is set, because replicas follow later. Reads must go to the primary.
 *
 * @throws RouterError `invalid_request` if `pool` is not a pool or has one connection, or if an option is invalid
 *
 * @example
 * ```ts
 * const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, connectionTimeoutMillis: 5_000 });
 * const router = new TeamModelRouter({ storage: postgresStorage(pool), encryptionKeys });
 * ```
 */
export function postgresStorage(pool: PostgresPoolLike, input?: PostgresStorageOptions): Storage {
  checkPool(pool);
  const options = readOptions(input, { table: text, schema: text, timeoutMs: milliseconds });
  const { timeoutMs = 5_000 } = options;
  const { name, channel } = tableOf(options);
  if (pool.options?.max === 1) {
    const message = 'The pool needs 2 connections at least: one of them listens for changes.';
    throw new RouterError('invalid_request', message, { param: 'pool' });
  }
  const sql = queriesOn(name);
  const queries = new PostgresQueries(pool, timeoutMs, postgresTableSql(options));
  const subscribe = listen.bind(undefined, pool, quoted(channel, 'table'));
  const changes = new ChangeSubscription(subscribe, { timeoutMs, heartbeatMs });
  const sweep = new ExpirySweep(async (after = '') => {
    const [last] = await queries.run(undefined, sql.endOfStep, [after]);
    const key = typeof last?.key === 'string' ? last.key : undefined;
    await queries.run(undefined, sql.sweepRange, [after, key ?? null]);
    return key;
  });

  return {
    atomicity: 'cluster',

    async get(key, { unless, signal } = {}) {
      checkKey(key);
      const [row] = await queries.run(signal, sql.read, [rowKey(key), unless ?? null]);
      if (!row) return undefined;
      if (row.expired) {
        // A failed cleanup is ignored, because every reader treats the expired row as absent.
        await queries.run(signal, sql.sweep, [rowKey(key)]).catch(() => undefined);
        return undefined;
      }
      return row.version === unless ? 'unchanged' : decodeRow(row);
    },

    async put(key, value, expected, { expiresAt, signal } = {}) {
      checkKey(key);
      const version = newVersion();
      const announcement = [channel, notice(key)];
      const content = [encodeText(value), version, checkExpiry(expiresAt) ?? null];
      const written =
        expected === null
          ? await queries.write(signal, sql.insert, [...announcement, rowKey(key), longKey(key), ...content])
          : await queries.write(signal, sql.update, [...announcement, ...content, rowKey(key), expected]);
      await sweep.afterPut(expiresAt);
      return written ? version : undefined;
    },

    async delete(key, expected, { signal } = {}) {
      checkKey(key);
      return queries.write(signal, sql.remove, [channel, notice(key), rowKey(key), expected]);
    },

    async list(prefix, { cursor, limit, keysOnly = false, signal } = {}) {
      checkPrefix(prefix);
      const range = indexedPart(prefix);
      if (cursor !== undefined && !cursor.startsWith(range)) throw unknownCursor();
      const count = pageLimit(limit);
      // The smallest text above the cursor's row.
      const from = cursor === undefined ? range : `${cursor}\u0001`;
      const rows = await queries.run(signal, keysOnly ? sql.pageOfKeys : sql.pageOfRows, [
        from,
        endOfPrefix(range) ?? null,
        prefix,
        count + 1,
      ]);
      const entries = rows.slice(0, count).map((row): ListedEntry => {
        const key = String(row.name);
        return keysOnly
          ? { key, version: String(row.version) }
          : { key, ...decodeRow(row), ...expiryOf(row) };
      });
      return rows.length > count ? { entries, cursor: String(rows[count - 1]?.key) } : { entries };
    },

    watch: (listener) => changes.watch(listener),

    async close() {
      await changes.stop();
      queries.close();
    },
  };
}

/** Returns the expiry of a row. pg returns a bigint as a string. */
function expiryOf({ expires_at: expiresAt }: Row): { expiresAt?: number } {
  return expiresAt === null || expiresAt === undefined ? {} : { expiresAt: Number(expiresAt) };
}

function decodeRow({ value, version }: Row): StoredValue {
  if (typeof value !== 'string' || typeof version !== 'string') throw unreadableRow();
  return { value: decodeText(value), version };
}
