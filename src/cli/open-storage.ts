import { join, resolve } from 'node:path';
import { RouterError } from '../errors.ts';
import { postgresStorage } from '../storage/postgres/index.ts';
import { redisStorage } from '../storage/redis/index.ts';
import { sqliteStorage } from '../storage/sqlite/index.ts';
import type { Storage } from '../storage/storage.ts';
import { UsageError } from './arguments.ts';

/** Where the records are kept. */
export interface Place {
  /** A file, or a URL without a password. */
  name: string;
  /** Whether several gateways may share it, which then need the same keys. */
  shared: boolean;
  open: () => Promise<OpenedStorage>;
}

export interface OpenedStorage {
  storage: Storage;
  /** Closes the connections, once the router is closed. */
  release: () => Promise<void>;
}

const timeoutMs = 5_000;

/** @throws RouterError `invalid_request` for a URL that names no storage; `open` throws it if the driver is not installed */
export function placeOf(url: string | undefined, data: string): Place {
  if (url === undefined || url.startsWith('sqlite:')) {
    const file =
      url === undefined ? join(data, 'models.sqlite') : resolve(url.replace(/^sqlite:(\/\/)?/, ''));
    const open = async () => ({ storage: sqliteStorage(file), release: async () => {} });
    return { name: file, shared: false, open };
  }
  const opener = openers[/^([a-z]+):\/\//.exec(url)?.[1] ?? ''];
  if (opener === undefined || !URL.canParse(url)) {
    throw new UsageError(
      'The storage must be sqlite:FILE, redis://HOST:PORT or postgres://USER:PASSWORD@HOST:PORT/DATABASE.',
    );
  }
  const { protocol, host, pathname } = new URL(url);
  return { name: `${protocol}//${host}${pathname}`, shared: true, open: () => opener(url) };
}

type Opener = (url: string) => Promise<OpenedStorage>;

const openRedis: Opener = async (url) => {
  await installed('redis', import('redis'));
  const { FailoverClient } = await import('./redis-failover.ts');
  const client = new FailoverClient(url, timeoutMs);
  return { storage: redisStorage(client), release: async () => client.destroy() };
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
    throw new RouterError('invalid_request', `This storage needs one more package: npm install ${name}`, {
      cause,
    });
  }
}
