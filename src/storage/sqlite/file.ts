import { open } from 'node:fs/promises';
import { RouterError } from '../../errors.ts';
import { storageClosed } from '../checks.ts';
import { loadKeyvSqlite } from './driver.ts';

/** The members of the store of `@keyv/sqlite` that are used here. */
interface KeyvSqliteLike {
  query(sql: string, ...parameters: unknown[]): Promise<unknown>;
  close(): Promise<unknown>;
  on(event: 'error', listener: () => void): unknown;
}

export type SqlValue = string | number | null;
export type SqlRow = Record<string, unknown>;

export const inMemory = ':memory:';

/** Milliseconds between a write and the checkpoint. */
const checkpointMs = 5_000;
/** Does not wait for readers and writers. */
const checkpoint = 'PRAGMA wal_checkpoint(PASSIVE)';

/**
 * One connection to a SQLite file. Opened at the first use, and again after a failed attempt.
 *
 * Statements run one at a time. Each waits for SQLite's lock in a thread of libuv's pool, and several waiting
 * statements would block file access and DNS lookups.
 */
export class SqliteFile {
  readonly #path: string;
  readonly #timeoutMs: number;
  #store: Promise<KeyvSqliteLike> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #lockedAt = -1;
  #closing: Promise<void> | undefined;
  #checkpointTimer: NodeJS.Timeout | undefined;

  constructor(path: string, timeoutMs: number) {
    this.#path = path;
    this.#timeoutMs = timeoutMs;
  }

  read(sql: string, parameters: SqlValue[], signal?: AbortSignal): Promise<SqlRow[]> {
    return this.#queue(sql, parameters, signal, false);
  }

  write(sql: string, parameters: SqlValue[], signal?: AbortSignal): Promise<SqlRow[]> {
    return this.#queue(sql, parameters, signal, true);
  }

  close(): Promise<void> {
    this.#closing ??= this.#turn.then(async () => {
      const store = await this.#store?.catch(() => undefined);
      // SQLite checkpoints at close only if no other process has the file open.
      if (this.#checkpointTimer !== undefined) await store?.query(checkpoint).catch(() => undefined);
      clearTimeout(this.#checkpointTimer);
      await store?.close();
    });
    return this.#closing;
  }

  /**
   * Schedules a checkpoint of the -wal file. SQLite itself waits for 1 000 pages, and a copy of the database file
   * alone would lack them.
   */
  #checkpointSoon(): void {
    if (this.#path === inMemory || this.#closing || this.#checkpointTimer !== undefined) return;
    this.#checkpointTimer = setTimeout(() => {
      this.#checkpointTimer = undefined;
      void this.#checkpoint();
    }, checkpointMs);
    this.#checkpointTimer.unref();
  }

  async #checkpoint(): Promise<void> {
    // A failed checkpoint is repeated after the next write.
    const [row] = await this.read(checkpoint, []).catch(() => []);
    // A reader of older pages delays the rest.
    if (row !== undefined && row.log !== row.checkpointed) this.#checkpointSoon();
  }

  async #queue(sql: string, parameters: SqlValue[], signal: AbortSignal | undefined, writes: boolean) {
    if (this.#closing) throw storageClosed();
    signal?.throwIfAborted();
    const queuedAt = performance.now();
    const result = this.#turn.then(async () => {
      signal?.throwIfAborted();
      // A writer before this one waited its full timeout for the lock, so this writer's time is over too.
      if (writes && this.#lockedAt >= queuedAt) throw failure({ code: 'SQLITE_BUSY' });
      const rows = await this.#run(sql, parameters);
      if (writes) this.#checkpointSoon();
      return rows;
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #run(sql: string, parameters: SqlValue[]): Promise<SqlRow[]> {
    this.#store ??= this.#open();
    try {
      const store = await this.#store.catch((error: unknown) => {
        this.#store = undefined;
        throw error;
      });
      return (await store.query(sql, ...parameters)) as SqlRow[];
    } catch (error) {
      if (errorCode(error) === 'SQLITE_BUSY') this.#lockedAt = performance.now();
      throw RouterError.isInstance(error) ? error : failure(error);
    }
  }

  async #open(): Promise<KeyvSqliteLike> {
    const KeyvSqlite = await loadKeyvSqlite();
    // SQLite would create a world-readable file. Its -wal and -shm files inherit the mode of this file.
    if (this.#path !== inMemory) await (await open(this.#path, 'a', 0o600)).close();
    const until = performance.now() + this.#timeoutMs;
    for (;;) {
      const store: KeyvSqliteLike = new KeyvSqlite({
        uri: `sqlite://${this.#path}`,
        busyTimeout: this.#timeoutMs,
      });
      store.on('error', () => {}); // without a listener the event would be thrown; every query rejects anyway
      try {
        await store.query('PRAGMA journal_mode = WAL');
        await store.query('PRAGMA synchronous = FULL');
        // A killed process may have left rows in the -wal file.
        this.#checkpointSoon();
        return store;
      } catch (error) {
        await store.close().catch(() => undefined);
        // SQLite does not wait for the lock if two processes change to WAL at the same time.
        if (errorCode(error) !== 'SQLITE_BUSY' || performance.now() >= until) throw error;
      }
    }
  }
}

const meanings: Record<string, string> = {
  SQLITE_BUSY: 'is locked by another connection',
  SQLITE_LOCKED: 'is locked by another connection',
  SQLITE_CANTOPEN: 'cannot be opened',
  SQLITE_NOTADB: 'is not a database',
  SQLITE_CORRUPT: 'is damaged',
  SQLITE_FULL: 'cannot grow because the disk is full',
  SQLITE_READONLY: 'is read-only',
  SQLITE_IOERR: 'cannot be read or written on its disk',
  SQLITE_PERM: 'cannot be opened by this user',
  ENOSPC: 'cannot be created because the disk is full',
  EROFS: 'cannot be created because the disk is read-only',
  EISDIR: 'is a directory',
  ENOENT: 'cannot be created because its directory does not exist',
  EACCES: 'cannot be opened by this user',
};

/** Creates the error of a failed statement. Has no cause, because the system's messages contain the path. */
function failure(error: unknown): RouterError {
  const code = errorCode(error);
  return new RouterError(
    'storage_unavailable',
    `The SQLite file ${meanings[code] ?? 'cannot be used'} (${code}).`,
  );
}

function errorCode(error: unknown): string {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === 'string' ? code : 'unknown';
}
