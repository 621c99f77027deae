import { RouterError } from '../../errors.ts';
import { storageClosed } from '../checks.ts';
import { boundedWait } from '../support/bounded-wait.ts';
import type { Subscription, SubscriptionEvents } from '../support/change-subscription.ts';

/** What is used of a Pool of the `pg` package. */
export interface PostgresPoolLike {
  readonly options?: { max?: number };
  connect(): Promise<PostgresClientLike>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
}

export interface PostgresClientLike {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
  release(error?: Error | boolean): void;
  on(event: 'error' | 'end' | 'notification', listener: (message: never) => void): unknown;
  off(event: 'error', listener: () => void): unknown;
}

export type Row = Record<string, unknown>;

// What waits in the pool's queue cannot be taken out of it, so an outage must not fill it without end.
const maxWaiting = 10_000;

// Without a listener a lost connection would end the process; every query that it concerns fails by itself.
const ignore = (): void => {};

/** The queries of one pool, each with a deadline, and each failure `storage_unavailable`. */
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

  /** Makes the table first, if it is not there. */
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

  /** As `run`, for a conditional write: what another transaction came before has not happened, which is a conflict. */
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
        'Too many operations wait for a connection to PostgreSQL.',
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
      // A connection that does not answer must not keep its place in the pool.
      const giveUp = (): void => release(new Error('The query took too long.'));
      abandoned.addEventListener('abort', giveUp);
      try {
        const { rows } = await client.query(text, values);
        release();
        return rows;
      } catch (error) {
        release(error as Error);
        throw error;
      } finally {
        abandoned.removeEventListener('abort', giveUp);
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

/** LISTEN holds its connection for itself as long as it lasts, and it is not given back afterwards. */
export function listen(pool: PostgresPoolLike, channel: string, events: SubscriptionEvents): Subscription {
  let client: PostgresClientLike | undefined;
  let closed = false;
  const connected = pool.connect().then((given) => {
    client = given;
    client.on('error', events.onLost);
    client.on('end', events.onLost);
    client.on('notification', ({ payload }: { payload?: string }) =>
      events.onChange(payload ? { key: payload } : { reset: true }),
    );
    if (closed) client.release(true);
    return given;
  });
  return {
    ready: connected.then(async (given) => {
      await given.query(`LISTEN ${channel}`);
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
// CREATE TABLE IF NOT EXISTS fails in these ways when two run at the same time.
const madeMeanwhile = ['42P07', '42710', '23505'];

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
  if (!madeMeanwhile.includes(stateOf(error) ?? '')) throw error;
}

/** The five characters that PostgreSQL gives every error; they are the `code` of the driver's error. */
function stateOf(error: unknown): string | undefined {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' && code.length === 5 ? code : undefined;
}

function errorCode(error: unknown): string {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  return String(code ?? name ?? 'unknown');
}
