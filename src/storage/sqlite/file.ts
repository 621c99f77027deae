import { open } from 'node:fs/promises';
import { RouterError } from '../../errors.ts';
import { storageClosed } from '../checks.ts';
import { loadKeyvSqlite } from './driver.ts';

/** What is used of `@keyv/sqlite`'s store. */
interface KeyvSqliteLike {
  query(sql: string, ...parameters: unknown[]): Promise<unknown>;
  close(): Promise<unknown>;
  on(event: 'error', listener: () => void): unknown;
}

export type SqlValue = string | number | null;
export type SqlRow = Record<string, unknown>;

export const inMemory = ':memory:';

/** Milliseconds from a write until it is copied into the database file. */
const checkpointMs = 5_000;
/** Waits for no reader and no writer. */
const checkpoint = 'PRAGMA wal_checkpoint(PASSIVE)';

/**
 * One connection to one SQLite file, opened when it is first used, and again after an attempt that failed.
 *
 * Statements run one after another: each waits for SQLite's lock in a thread of the pool that file access and
 * name look-ups share, and several waiting at once would use it up.
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
      // SQLite does it by itself only when no other process has the file open.
      if (this.#checkpointTimer !== undefined) await store?.query(checkpoint).catch(() => undefined);
      clearTimeout(this.#checkpointTimer);
      await store?.close();
    });
    return this.#closing;
  }

  /**
   * Copies what is in the -wal file into the database file, soon. SQLite by itself waits for 1 000 pages, and a copy of the database
   * file alone would lack them.
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
    // One that fails is made up for after the next write.
    const [row] = await this.read(checkpoint, []).catch(() => []);
    // A reader that needs the older pages holds up the rest.
    if (row !== undefined && row.log !== row.checkpointed) this.#checkpointSoon();
  }

  async #queue(sql: string, parameters: SqlValue[], signal: AbortSignal | undefined, writes: boolean) {
    if (this.#closing) throw storageClosed();
    signal?.throwIfAborted();
    const queuedAt = performance.now();
    const result = this.#turn.then(async () => {
      signal?.throwIfAborted();
      // It stood behind a writer that waited its whole time for the lock: its own time is up as well.
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
    // SQLite would make the file readable to everyone; its -wal and -shm files take over the mode of this one.
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
        // A process that was killed may have left rows in the -wal file.
        this.#checkpointSoon();
        return store;
      } catch (error) {
        await store.close().catch(() => undefined);
        // The change to WAL does not wait for the lock by itself when another process makes the same change.
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
  SQLITE_FULL: 'cannot grow: the disk is full',
  SQLITE_READONLY: 'is read-only',
  SQLITE_IOERR: 'cannot be read or written on its disk',
  SQLITE_PERM: 'may not be opened by this user',
  ENOSPC: 'cannot be created: the disk is full',
  EROFS: 'cannot be created: the disk is read-only',
  EISDIR: 'is a directory',
  ENOENT: 'cannot be created: its directory does not exist',
  EACCES: 'may not be opened by this user',
};

/** Without a cause: the system's own messages carry the path. */
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
