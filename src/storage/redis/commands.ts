import { createHash } from 'node:crypto';
import { RouterError } from '../../errors.ts';
import { storageClosed, unreadableRow } from '../checks.ts';
import { boundedWait } from '../support/bounded-wait.ts';
import { versionLength } from '../support/version.ts';

/**
 * The members of a connected client of the `redis` package (5 or 6) that the storage uses.
 *
 * @example
 * ```ts
 * const client: RedisClientLike = await createClient().connect();
 * const storage = redisStorage(client);
 * ```
 */
export interface RedisClientLike {
  sendCommand(
    command: string[],
    options?: { abortSignal?: AbortSignal; typeMapping?: Record<never, never> },
  ): Promise<unknown>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
  duplicate(): RedisSubscriberLike;
}

/**
 * The members of a duplicated client of the `redis` package that receives notifications.
 *
 * @example
 * ```ts
 * const subscriber: RedisSubscriberLike = createClient().duplicate();
 * ```
 */
export interface RedisSubscriberLike {
  on(event: 'error' | 'end', listener: () => void): unknown;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  sendCommand(command: string[]): Promise<unknown>;
  destroy(): void;
}

interface Script {
  text: string;
  sha: string;
}

function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

// A row is its version followed by its text. Redis runs each script atomically.
const lastOfHead = versionLength - 1;

/** KEYS: row. ARGV: the version whose value is not needed. */
export const readUnless: Script = script(`
if redis.call('GETRANGE', KEYS[1], 0, ${lastOfHead}) == ARGV[1] then return 1 end
return redis.call('GET', KEYS[1])`);

/** KEYS: row, index. ARGV: expected version or '', new row, expiry or '', key, channel. */
export const write: Script = script(`
if ARGV[1] == '' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
elseif redis.call('GETRANGE', KEYS[1], 0, ${lastOfHead}) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('PEXPIREAT', KEYS[1], ARGV[3]) end
redis.call('ZADD', KEYS[2], 0, ARGV[4])
redis.pcall('PUBLISH', ARGV[5], ARGV[4])
return 1`);

/** KEYS: row, index. ARGV: expected version, key, channel. */
export const remove: Script = script(`
if redis.call('GETRANGE', KEYS[1], 0, ${lastOfHead}) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.pcall('PUBLISH', ARGV[3], ARGV[2])
return 1`);

/**
 * KEYS: index. ARGV: lower bound, prefix, count. UTF-8 never contains the byte 255, so that byte ends every prefix.
 */
export const pageOfKeys: Script = script(`
return redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '(' .. ARGV[2] .. '\\255', 'LIMIT', 0, ARGV[3])`);

/**
 * KEYS: rows. Returns the remaining milliseconds of each row, negative for a row that does not expire or is absent.
 */
export const timesLeft: Script = script(`
local left = {}
for place = 1, #KEYS do left[place] = redis.call('PTTL', KEYS[place]) end
return left`);

/** KEYS: index, rows. ARGV: the last byte to read, the keys of the rows. Removes expired rows from the index. */
export const rowsOfKeys: Script = script(`
local rows = {}
for place = 2, #KEYS do
  rows[place - 1] = redis.call('GETRANGE', KEYS[place], 0, ARGV[1])
  if rows[place - 1] == '' then redis.call('ZREM', KEYS[1], ARGV[place]) end
end
return rows`);

/** Runs the commands of a client, each with a deadline. Converts every failure to `storage_unavailable`. */
export class RedisCommands {
  readonly #client: RedisClientLike;
  readonly #timeoutMs: number;
  #closed = false;
  // A lost connection emits `error`, which would end the process without a listener. The affected commands fail
  // separately.
  readonly #ignore = (): void => {};

  constructor(client: RedisClientLike, timeoutMs: number) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    client.on('error', this.#ignore);
  }

  async run(signal: AbortSignal | undefined, ...command: string[]): Promise<unknown> {
    if (this.#closed) throw storageClosed();
    signal?.throwIfAborted();
    try {
      // After the timeout a command that waits for the connection is removed from the queue and never sent.
      return await boundedWait(this.#timeoutMs, signal, (_, abandoned) =>
        this.#client.sendCommand(command, { abortSignal: abandoned, typeMapping: {} }),
      );
    } catch (error) {
      if (signal?.aborted || RouterError.isInstance(error)) throw error;
      throw errorCode(error) === 'WRONGTYPE' ? unreadableRow() : redisFailure(error);
    }
  }

  async script(
    signal: AbortSignal | undefined,
    { sha, text }: Script,
    keys: readonly string[],
    values: readonly string[],
  ): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...values];
    try {
      return await this.run(signal, 'EVALSHA', sha, ...rest);
    } catch (error) {
      if (!RouterError.isInstance(error) || !error.message.includes('(NOSCRIPT)')) throw error;
      return this.run(signal, 'EVAL', text, ...rest);
    }
  }

  close(): void {
    if (!this.#closed) this.#client.off('error', this.#ignore);
    this.#closed = true;
  }
}

const meanings: Record<string, string> = {
  READONLY: 'is a read-only replica',
  MASTERDOWN: 'is a replica that has lost its primary',
  NOREPLICAS: 'has fewer replicas than it needs to take writes',
  CLUSTERDOWN: 'is a cluster that is down',
  OOM: 'is out of memory',
  MISCONF: 'cannot save its data to disk',
  BUSY: 'is busy with a script',
  LOADING: 'is still loading its data',
  NOAUTH: 'asks for a password',
  WRONGPASS: 'refuses the password',
  NOPERM: 'does not allow this user what is needed',
  CROSSSLOT: 'is a cluster: the prefix needs a {hash tag}',
  ECONNREFUSED: 'refuses the connection',
  ENOTFOUND: 'has an unknown host name',
};

/** Returns `storage_unavailable` for an error of the `redis` package, in words without an address. */
export function redisFailure(cause: unknown): RouterError {
  const code = errorCode(cause);
  const message = `Redis ${meanings[code] ?? 'cannot be used'} (${code}).`;
  return new RouterError('storage_unavailable', message, { cause });
}

/** Returns the first word of an error reply, the system's code of a connection failure, or the name of the error. */
function errorCode(error: unknown): string {
  const { code, message, name } = Object(error) as { code?: unknown; message?: unknown; name?: unknown };
  if (typeof code === 'string') return code;
  const text = String(message);
  // Redis before 7.0 wraps the error of a script's command in an ERR reply.
  const inner = /^ERR Error running script.{0,200}: ?-([A-Z]{2,})\b/.exec(text)?.[1];
  return inner ?? /^[A-Z]{2,}\b/.exec(text)?.[0] ?? String(name ?? 'unknown');
}
