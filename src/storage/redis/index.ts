import { checkExpiry, checkKey, checkPrefix, pageLimit, unknownCursor, unreadableRow } from '../checks.ts';
import type { ListedEntry, Storage, StoredValue } from '../storage.ts';
import { checkStore, milliseconds, readOptions, text, wrongArgument } from '../support/arguments.ts';
import {
  ChangeSubscription,
  type Subscription,
  type SubscriptionEvents,
} from '../support/change-subscription.ts';
import { decodeText, encodeText } from '../support/encoding.ts';
import { ExpirySweep, rowsPerStep } from '../support/expiry-sweep.ts';
import { newVersion, versionLength } from '../support/version.ts';
import {
  pageOfKeys,
  type RedisClientLike,
  RedisCommands,
  readUnless,
  remove,
  rowsOfKeys,
  timesLeft,
  write,
} from './commands.ts';

export type { RedisClientLike, RedisSubscriberLike } from './commands.ts';

/**
 * Options of `redisStorage`.
 *
 * @example
 * ```ts
 * const options: RedisStorageOptions = { prefix: 'my-app:', timeoutMs: 2_000 };
 * const storage = redisStorage(await createClient().connect(), options);
 * ```
 */
export interface RedisStorageOptions {
  /** Prefix of every key in Redis. Default `{team-model-router}:`. */
  prefix?: string;
  /** Milliseconds that one operation may take. Default 5 000. */
  timeoutMs?: number;
}

const heartbeatMs = 10_000;

const expectedClient = {
  expected: 'a client of the redis package',
  example: 'await createClient({ url }).connect()',
};

function checkClient(client: unknown): void {
  checkStore('client', client, ['sendCommand', 'on', 'off', 'duplicate'], expectedClient);
  const other = client as { defineCommand?: unknown; masters?: unknown };
  if (typeof other.defineCommand === 'function') {
    throw wrongArgument(
      'client',
      `must be ${expectedClient.expected}, not of ioredis. Pass ${expectedClient.example}.`,
    );
  }
  if (other.masters !== undefined) {
    throw wrongArgument(
      'client',
      `must be a client of one server, not of a cluster. Pass ${expectedClient.example}.`,
    );
  }
}

/**
 * Creates a storage in Redis, safe for any number of processes. A Lua script does each compare-and-set.
 *
 * Connect the client first and keep it connected until the router is closed, because `close` does not disconnect it.
 * The storage duplicates the client to subscribe to changes by other processes.
 *
 * The durability of an acknowledged write depends on Redis's configuration. With the defaults a crash loses the last
 * seconds or minutes. Set `appendonly yes` and `appendfsync always`. A failover can lose the last writes, because
 * replication is asynchronous. Set `maxmemory-policy noeviction`, because `allkeys-...` policies delete records.
 * Reads must go to the primary.
 *
 * @param client a client of the `redis` package, 5 or 6: `createClient`, not `createCluster`
 * @throws RouterError `invalid_request` for any other client, and for an invalid option
 *
 * @example
 * ```ts
 * const client = await createClient({ url: 'redis://localhost' }).connect();
 * const router = new TeamModelRouter({ storage: redisStorage(client), encryptionKeys });
 * ```
 */
export function redisStorage(client: RedisClientLike, options?: RedisStorageOptions): Storage {
  checkClient(client);
  const checks = { prefix: text, timeoutMs: milliseconds };
  const { prefix: root = '{team-model-router}:', timeoutMs = 5_000 } = readOptions(options, checks);
  const commands = new RedisCommands(client, timeoutMs);
  const channel = `${root}changes`;
  const index = `${root}index`;
  const rowKey = (key: string): string => `${root}row:${key}`;
  const changes = new ChangeSubscription((events) => subscribe(client, channel, events), {
    timeoutMs,
    heartbeatMs,
  });

  // Redis expires a row itself, but its key must be removed from the index.
  const sweep = new ExpirySweep(async (after) => {
    const from = after === undefined ? '[' : `(${after}`;
    const keys = texts(
      await commands.script(undefined, pageOfKeys, [index], [from, '', String(rowsPerStep)]),
    );
    if (keys.length > 0) {
      const places = [index, ...keys.map(rowKey)];
      await commands.script(undefined, rowsOfKeys, places, ['0', ...keys]);
    }
    return keys.length < rowsPerStep ? undefined : keys.at(-1);
  });

  return {
    atomicity: 'cluster',

    async get(key, { unless, signal } = {}) {
      checkKey(key);
      // A version is never empty, so '' represents an absent row.
      const row =
        unless === undefined || unless === ''
          ? await commands.run(signal, 'GET', rowKey(key))
          : await commands.script(signal, readUnless, [rowKey(key)], [unless]);
      if (row === null) return undefined;
      return row === 1 ? 'unchanged' : decodeRow(row);
    },

    async put(key, value, expected, { expiresAt, signal } = {}) {
      checkKey(key);
      const expiry = checkExpiry(expiresAt);
      // '' means "absent" in the script and is never a version.
      if (expected === '') return undefined;
      const version = newVersion();
      const row = version + encodeText(value);
      const values = [expected ?? '', row, expiry === undefined ? '' : String(expiry), key, channel];
      const written = await commands.script(signal, write, [rowKey(key), index], values);
      await sweep.afterPut(expiry);
      return written === 1 ? version : undefined;
    },

    async delete(key, expected, { signal } = {}) {
      checkKey(key);
      if (expected === '') return false;
      return (await commands.script(signal, remove, [rowKey(key), index], [expected, key, channel])) === 1;
    },

    async list(prefix, { cursor, limit, keysOnly = false, signal } = {}) {
      checkPrefix(prefix);
      if (cursor !== undefined && !cursor.startsWith(prefix)) throw unknownCursor();
      const count = pageLimit(limit);
      const from = cursor === undefined ? `[${prefix}` : `(${cursor}`;
      const keys = texts(await commands.script(signal, pageOfKeys, [index], [from, prefix, String(count)]));
      const last = keys.at(-1);
      if (last === undefined) return { entries: [] };
      const end = keysOnly ? versionLength - 1 : -1;
      const places = [index, ...keys.map(rowKey)];
      const rows = texts(await commands.script(signal, rowsOfKeys, places, [String(end), ...keys]));
      const left = keysOnly ? [] : numbers(await commands.script(signal, timesLeft, keys.map(rowKey), []));
      const entries = keys.flatMap((key, place): ListedEntry[] => {
        const row = rows[place];
        // The row was deleted or has expired between the two steps.
        if (row === '' || row === undefined) return [];
        if (keysOnly) return [{ key, version: decodeRow(row).version }];
        const lives = left[place] ?? -1;
        // Without its time a copy of the row would never expire.
        if (lives === absent) return [];
        return [{ key, ...decodeRow(row), ...(lives < 0 ? {} : { expiresAt: Date.now() + lives }) }];
      });
      return keys.length === count ? { entries, cursor: last } : { entries };
    },

    watch: (listener) => changes.watch(listener),

    async close() {
      await changes.stop();
      commands.close();
    },
  };
}

function decodeRow(row: unknown): StoredValue {
  if (typeof row !== 'string' || row.length < versionLength) throw unreadableRow();
  return { value: decodeText(row.slice(versionLength)), version: row.slice(0, versionLength) };
}

/** The `PTTL` of a row that has expired since it was read. */
const absent = -2;

function numbers(reply: unknown): number[] {
  if (!Array.isArray(reply)) throw unreadableRow();
  return reply.map(Number);
}

function texts(reply: unknown): string[] {
  if (!Array.isArray(reply)) throw unreadableRow();
  return reply as string[];
}

/**
 * Subscribes with a client that ends at its first failure. A client that reconnects automatically would hide lost
 * events.
 */
function subscribe(client: RedisClientLike, channel: string, events: SubscriptionEvents): Subscription {
  const subscriber = client.duplicate();
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    try {
      subscriber.destroy();
    } catch {
      // The client was not open.
    }
  };
  const lost = (): void => {
    close();
    events.onLost();
  };
  subscriber.on('error', lost);
  subscriber.on('end', lost);
  const listen = async (): Promise<void> => {
    await subscriber.connect();
    await subscriber.subscribe(channel, (key) => events.onChange({ key }));
  };
  return { ready: listen(), ping: () => subscriber.sendCommand(['PING']), close };
}
