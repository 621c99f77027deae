import { createHash } from 'node:crypto';
import { RouterError } from '../../errors.ts';
import { rowsPerStep } from '../support/expiry-sweep.ts';

/**
 * The table of `postgresStorage`.
 *
 * @example
 * ```ts
 * const table: PostgresTable = { table: 'team_models', schema: 'app' };
 * console.log(postgresTableSql(table));
 * ```
 */
export interface PostgresTable {
  /** Name of the table. Default `team_model_router`. */
  table?: string;
  /** Name of the schema, which must exist. Default: the first schema of the connection's search path. */
  schema?: string;
}

/**
 * Quotes an identifier.
 *
 * @throws RouterError `invalid_request` that names `param`
 */
export function quoted(name: string, param: string): string {
  if (!/^[^\p{Cc}\p{Cs}]{1,63}$/u.test(name) || Buffer.byteLength(name) > 63) {
    const message = `${param}: must be a name of 1 to 63 bytes without control characters.`;
    throw new RouterError('invalid_request', message, { param });
  }
  return `"${name.replaceAll('"', '""')}"`;
}

export function tableOf({ table = 'team_model_router', schema }: PostgresTable) {
  const name = quoted(table, 'table');
  return { name: schema === undefined ? name : `${quoted(schema, 'schema')}.${name}`, channel: table };
}

/**
 * Returns the SQL that creates the table, for applications that run migrations themselves.
 *
 * @throws RouterError `invalid_request` for an invalid name
 *
 * @example
 * ```ts
 * process.stdout.write(postgresTableSql({ schema: 'models' }));
 * ```
 */
export function postgresTableSql(options: PostgresTable = {}): string {
  return `CREATE TABLE IF NOT EXISTS ${tableOf(options).name} (
  key text COLLATE "C" PRIMARY KEY,
  long_key text,
  value text NOT NULL,
  version text NOT NULL,
  expires_at bigint
);`;
}

// An index entry has at most about 2 700 bytes, but a key may have 12 288.
const maxIndexed = 600;

/** Returns the prefix of a key that is stored in the index. Does not split a surrogate pair. */
export function indexedPart(key: string): string {
  const part = key.slice(0, maxIndexed);
  return part.isWellFormed() ? part : part.slice(0, -1);
}

/** Returns the content of the column `key`: the key, or the prefix and the hash of a long key. */
export function rowKey(key: string): string {
  if (key.length <= maxIndexed) return key;
  return `${indexedPart(key)}\u0001${createHash('sha256').update(key).digest('base64url')}`;
}

/** Returns a long key in full; `null` for a short key. */
export function longKey(key: string): string | null {
  return key.length <= maxIndexed ? null : key;
}

// Limit of a pg_notify payload. Without a payload the listener assumes that any key may have changed.
const maxNotified = 7_900;

export function notice(key: string): string {
  return Buffer.byteLength(key) <= maxNotified ? key : '';
}

/**
 * Returns the queries. Each is a single statement and therefore atomic. All times are the server's, so they are the
 * same for all nodes.
 */
export function queriesOn(table: string) {
  const live = '(expires_at IS NULL OR expires_at > extract(epoch FROM statement_timestamp()) * 1000)';
  const name = 'COALESCE(long_key, key)';
  // PostgreSQL sends notifications at commit, and only for rows that were written.
  const announced = (statement: string) =>
    `WITH written AS (${statement} RETURNING 1) SELECT pg_notify($1, $2) FROM written`;
  const page = (column: string) =>
    `SELECT key, ${name} AS name, version${column} FROM ${table}
     WHERE key >= $1 AND ($2::text IS NULL OR key < $2) AND starts_with(${name}, $3) AND ${live}
     ORDER BY key LIMIT $4`;
  return {
    read: `SELECT version, CASE WHEN version = $2::text THEN NULL ELSE value END AS value, NOT ${live} AS expired
      FROM ${table} WHERE key = $1`,
    insert: announced(
      `INSERT INTO ${table} AS stored (key, long_key, value, version, expires_at) VALUES ($3, $4, $5, $6, $7)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, expires_at = excluded.expires_at
       WHERE NOT ${live.replaceAll('expires_at', 'stored.expires_at')}`,
    ),
    update: announced(
      `UPDATE ${table} SET value = $3, version = $4, expires_at = $5 WHERE key = $6 AND version = $7 AND ${live}`,
    ),
    remove: announced(`DELETE FROM ${table} WHERE key = $3 AND version = $4 AND ${live}`),
    sweep: `DELETE FROM ${table} WHERE key = $1 AND NOT ${live}`,
    endOfStep: `SELECT key FROM ${table} WHERE key > $1 ORDER BY key LIMIT 1 OFFSET ${rowsPerStep - 1}`,
    sweepRange: `DELETE FROM ${table} WHERE key > $1 AND ($2::text IS NULL OR key < $2) AND NOT ${live}`,
    pageOfKeys: page(''),
    pageOfRows: page(', value, expires_at'),
  };
}
