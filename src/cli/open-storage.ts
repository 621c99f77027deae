import { join, resolve } from 'node:path';
import { RouterError } from '../errors.ts';
import { parseUrl } from '../parse-url.ts';
import { postgresStorage } from '../storage/postgres/index.ts';
import { redisFailure } from '../storage/redis/commands.ts';
import { redisStorage } from '../storage/redis/index.ts';
import { checkSqliteFile } from '../storage/sqlite/file-check.ts';
import { sqliteStorage } from '../storage/sqlite/index.ts';
import type { Storage } from '../storage/storage.ts';
import { UsageError } from './arguments.ts';

/** The location of the storage. */
export interface Place {
  /** A file, or a URL without its password. */
  name: string;
  /** Whether several gateways may share the storage. They then need the same keys. */
  shared: boolean;
  /** Whether the storage is the file in the data folder. */
  inDataFolder: boolean;
  /**
   * Opens the storage and reads from it once.
   *
   * @throws RouterError with a one-line message and the name of the storage, if the storage cannot be read
   */
  open: () => Promise<OpenedStorage>;
}

export interface OpenedStorage {
  storage: Storage;
  /** Closes the connections after the router is closed. */
  release: () => Promise<void>;
}

const timeoutMs = 5_000;

/**
 * Returns the location that a URL names. `open` throws if the driver is not installed.
 *
 * @throws UsageError if the URL names no storage
 */
export function placeOf(url: string | undefined, data: string): Place {
  if (url === undefined || url.startsWith('sqlite:')) {
    const file =
      url === undefined ? join(data, 'models.sqlite') : resolve(url.replace(/^sqlite:(\/\/)?/, ''));
    return { name: file, shared: false, inDataFolder: url === undefined, open: () => openSqlite(file) };
  }
  const opener = openers[/^([a-z]+):\/\//.exec(url)?.[1] ?? ''];
  const parsed = parseUrl(url);
  if (opener === undefined || parsed === undefined) {
    throw new UsageError(
      '--storage: must be sqlite:FILE, redis://HOST:PORT or postgres://USER:PASSWORD@HOST:PORT/DATABASE.',
    );
  }
  const { protocol, host, pathname } = parsed;
  const name = `${protocol}//${host}${pathname}`;
  return { name, shared: true, inDataFolder: false, open: async () => readable(name, await opener(url)) };
}

interface Connected extends OpenedStorage {
  /** Returns the reason of the last failed connection attempt, because a waiting command does not report it. */
  connectionError?: () => unknown;
}

type Opener = (url: string) => Promise<Connected>;

async function openSqlite(file: string): Promise<OpenedStorage> {
  try {
    await checkSqliteFile(file, timeoutMs);
  } catch (error) {
    const isDamaged = String((error as Error).message).includes('SQLITE_CORRUPT');
    throw named(file, error, isDamaged ? ' Restore a backup: see docs/storage/choosing.md.' : '');
  }
  return { storage: sqliteStorage(file), release: async () => {} };
}

/** Reads once, so that an unreachable storage ends the start before any other use. */
async function readable(name: string, opened: Connected): Promise<OpenedStorage> {
  try {
    await opened.storage.get('start');
    return opened;
  } catch (error) {
    const reason = opened.connectionError?.() ?? error;
    await opened.storage.close();
    await opened.release();
    throw named(name, reason);
  }
}

function named(name: string, error: unknown, advice = ''): unknown {
  if (!RouterError.isInstance(error)) return error;
  return new RouterError(error.code, `${name}: ${error.message}${advice}`, { cause: error });
}

const openRedis: Opener = async (url) => {
  await installed('redis', import('redis'));
  const { FailoverClient } = await import('./redis-failover.ts');
  const client = new FailoverClient(url, timeoutMs);
  const connectionError = () => client.lastError && redisFailure(client.lastError);
  return { storage: redisStorage(client), release: async () => client.destroy(), connectionError };
};

const openPostgres: Opener = async (url) => {
  const { default: pg } = await installed('pg', import('pg'));
  const pool = new pg.Pool({ connectionString: url, connectionTimeoutMillis: timeoutMs });
  return { storage: postgresStorage(pool, { timeoutMs }), release: () => pool.end() };
};

const openers: Readonly<Record<string, Opener>> = {
  redis: openRedis,
  rediss: openRedis,
  postgres: openPostgres,
  postgresql: openPostgres,
};

async function installed<Module>(name: string, loading: Promise<Module>): Promise<Module> {
  try {
    return await loading;
  } catch (cause) {
    throw new RouterError(
      'invalid_request',
      `This storage requires the package ${name}. Run npm install ${name}.`,
      {
        cause,
      },
    );
  }
}
