import { RouterError } from '../../errors.ts';
import { storageClosed } from '../checks.ts';
import { boundedWait } from '../support/bounded-wait.ts';
import type { Subscription, SubscriptionEvents } from '../support/change-subscription.ts';

/**
 * The members of a `pg` Pool that the storage uses.
 *
 * @example
 * ```ts
 * const pool: PostgresPoolLike = new pg.Pool({ connectionString: process.env.DATABASE_URL });
 * const storage = postgresStorage(pool);
 * ```
 */
export interface PostgresPoolLike {
  readonly options?: { max?: number };
  connect(): Promise<PostgresClientLike>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
}

/**
 * The members of a client of a `pg` Pool that the storage uses.
 *
 * @example
 * ```ts
 * const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
 * const connection: PostgresClientLike = await pool.connect();
 * ```
 */
export interface PostgresClientLike {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
  release(error?: Error | boolean): void;
  on(event: 'error' | 'end' | 'notification', listener: (message: never) => void): unknown;
  off(event: 'error', listener: () => void): unknown;
}

export type Row = Record<string, unknown>;

// Limits the pool's queue during an outage, because entries cannot be removed from it.
const maxWaiting = 10_000;

// A lost connection emits `error`, which would end the process without a listener. The affected queries fail
// separately.
const ignore = (): void => {};

/** Runs queries on a pool, each with a deadline. Converts every failure to `storage_unavailable`. */
export class PostgresQueries {
  readonly #pool: PostgresPoolLike;
  readonly #timeoutMs: number;
  readonly #createTable: string;
  #waiting = 0;
  #closed = false;

  constructor(pool: PostgresPoolLike, timeoutMs: number, createTable: string) {
    this.#pool = pool;
    this.#timeoutMs = timeoutMs;
    this.#createTable = createTable;
    pool.on('error', ignore);
  }

  /** Runs a query. Creates the table first if it does not exist. */
  async run(signal: AbortSignal | undefined, text: string, values: unknown[]): Promise<Row[]> {
    try {
      return await this.#query(signal, text, values);
    } catch (error) {
      if (stateOf(error) !== undefinedTable) throw this.#failure(signal, error);
    }
    try {
      await this.#query(signal, this.#createTable, []).catch(unlessMadeMeanwhile);
      return await this.#query(signal, text, values);
    } catch (error) {
      throw this.#failure(signal, error);
    }
  }

  /** Runs a conditional write. Returns `false` after a serialization failure, because the write was not applied. */
  async write(signal: AbortSignal | undefined, text: string, values: unknown[]): Promise<boolean> {
    try {
      return (await this.run(signal, text, values)).length > 0;
    } catch (error) {
      if (RouterError.isInstance(error) && stateOf(error.cause) === serializationFailure) return false;
      throw error;
    }
  }

  close(): void {
    if (!this.#closed) this.#pool.off('error', ignore);
    this.#closed = true;
  }

  async #query(signal: AbortSignal | undefined, text: string, values: unknown[]): Promise<Row[]> {
    if (this.#closed) throw storageClosed();
    signal?.throwIfAborted();
    if (this.#waiting >= maxWaiting) {
      throw new RouterError(
        'storage_unavailable',
        'Too many operations are waiting for a connection to PostgreSQL.',
      );
    }
    return boundedWait(this.#timeoutMs, signal, async (stillWanted, abandoned) => {
      this.#waiting += 1;
      const client = await this.#pool.connect().finally(() => {
        this.#waiting -= 1;
      });
      if (abandoned.aborted) client.release();
      stillWanted();
      client.on('error', ignore);
      let held = true;
      const release = (error?: Error): void => {
        if (!held) return;
        held = false;
        client.off('error', ignore);
        client.release(error);
      };
      // Removes an unresponsive connection from the pool.
      const discard = (): void => release(new Error('The query timed out.'));
      abandoned.addEventListener('abort', discard);
      try {
        const { rows } = await client.query(text, values);
        release();
        return rows;
      } catch (error) {
        release(error as Error);
        throw error;
      } finally {
        abandoned.removeEventListener('abort', discard);
      }
    });
  }

  #failure(signal: AbortSignal | undefined, cause: unknown): unknown {
    if (signal?.aborted || RouterError.isInstance(cause)) return cause;
    const code = errorCode(cause);
    const message = `PostgreSQL ${meanings[code] ?? 'cannot be used'} (${code}).`;
    return new RouterError('storage_unavailable', message, { cause });
  }
}

/** Subscribes with LISTEN. The connection is not returned to the pool afterwards. */
export function listen(pool: PostgresPoolLike, channel: string, events: SubscriptionEvents): Subscription {
  let client: PostgresClientLike | undefined;
  let closed = false;
  const connected = pool.connect().then((connection) => {
    client = connection;
    client.on('error', events.onLost);
    client.on('end', events.onLost);
    client.on('notification', ({ payload }: { payload?: string }) =>
      events.onChange(payload ? { key: payload } : { reset: true }),
    );
    if (closed) client.release(true);
    return connection;
  });
  return {
    ready: connected.then(async (connection) => {
      await connection.query(`LISTEN ${channel}`);
    }),
    ping: async () => client?.query('SELECT 1'),
    close() {
      if (!closed) client?.release(true);
      closed = true;
    },
  };
}

const undefinedTable = '42P01';
const serializationFailure = '40001';
// Errors of concurrent CREATE TABLE IF NOT EXISTS statements.
const createdConcurrently = ['42P07', '42710', '23505'];

const meanings: Record<string, string> = {
  '08006': 'lost the connection',
  '25006': 'is read-only',
  '28P01': 'refuses the password',
  '3D000': 'has no such database',
  '3F000': 'has no such schema',
  '42501': 'does not allow this role what is needed',
  '53100': 'has no space left on its disk',
  '53200': 'is out of memory',
  '53300': 'has no connection left',
  '57P01': 'is shutting down',
  '57P02': 'has crashed',
  '57P03': 'is starting up',
  '58030': 'cannot read or write its disk',
  ECONNREFUSED: 'refuses the connection',
};

function unlessMadeMeanwhile(error: unknown): void {
  if (!createdConcurrently.includes(stateOf(error) ?? '')) throw error;
}

/** Returns the SQLSTATE of an error: five characters in the `code` of the driver's error. */
function stateOf(error: unknown): string | undefined {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' && code.length === 5 ? code : undefined;
}

function errorCode(error: unknown): string {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  return String(code ?? name ?? 'unknown');
}
