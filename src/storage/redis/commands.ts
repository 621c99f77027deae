import { createHash } from 'node:crypto';
import { RouterError } from '../../errors.ts';
import { storageClosed, unreadableRow } from '../checks.ts';
import { boundedWait } from '../support/bounded-wait.ts';
import { versionLength } from '../support/version.ts';

/** What is used of a connected client of the `redis` package, 5 or 6. */
export interface RedisClientLike {
  sendCommand(
    command: string[],
    options?: { abortSignal?: AbortSignal; typeMapping?: Record<never, never> },
  ): Promise<unknown>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
  duplicate(): RedisSubscriberLike;
}

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

// A row is its version and, right behind it, its text. Each script runs as one step, which no other command can split.
const lastOfHead = versionLength - 1;

/** KEYS: row. ARGV: the version that need not be read again. */
export const readUnless: Script = script(`
if redis.call('GETRANGE', KEYS[1], 0, ${lastOfHead}) == ARGV[1] then return 1 end
return redis.call('GET', KEYS[1])`);

/** KEYS: row, index. ARGV: expected version or nothing, new row, expiry or nothing, key, channel. */
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

/** KEYS: index. ARGV: lower bound, prefix, count. No UTF-8 text has a byte 255, so it ends every prefix. */
export const pageOfKeys: Script = script(`
return redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '(' .. ARGV[2] .. '\\255', 'LIMIT', 0, ARGV[3])`);

/** KEYS: rows. The milliseconds that each has left, negative for one that does not expire or is gone. */
export const timesLeft: Script = script(`
local left = {}
for place = 1, #KEYS do left[place] = redis.call('PTTL', KEYS[place]) end
return left`);

/** KEYS: index, rows. ARGV: the last byte that is wanted, the rows' keys. An expired row leaves the index here. */
export const rowsOfKeys: Script = script(`
local rows = {}
for place = 2, #KEYS do
  rows[place - 1] = redis.call('GETRANGE', KEYS[place], 0, ARGV[1])
  if rows[place - 1] == '' then redis.call('ZREM', KEYS[1], ARGV[place]) end
end
return rows`);

/** The commands of one client, each with a deadline, and each failure `storage_unavailable`. */
export class RedisCommands {
  readonly #client: RedisClientLike;
  readonly #timeoutMs: number;
  #closed = false;
  // Without a listener a lost connection would end the process; every command that it concerns fails by itself.
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
      // A command that waits for the connection leaves the queue when its time is up, and is never sent.
      return await boundedWait(this.#timeoutMs, signal, (_, abandoned) =>
        this.#client.sendCommand(command, { abortSignal: abandoned, typeMapping: {} }),
      );
    } catch (error) {
      if (signal?.aborted || RouterError.isInstance(error)) throw error;
      throw errorCode(error) === 'WRONGTYPE' ? unreadableRow() : failure(error);
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
};

function failure(cause: unknown): RouterError {
  const code = errorCode(cause);
  const message = `Redis ${meanings[code] ?? 'cannot be used'} (${code}).`;
  return new RouterError('storage_unavailable', message, { cause });
}

/** A reply's code is its first word; a connection's failure has a code of the system; others only their name. */
function errorCode(error: unknown): string {
  const { code, message, name } = Object(error) as { code?: unknown; message?: unknown; name?: unknown };
  if (typeof code === 'string') return code;
  const text = String(message);
  // Before 7.0 Redis reports the failure of a script's command within an ERR of its own.
  const inner = /^ERR Error running script.{0,200}: ?-([A-Z]{2,})\b/.exec(text)?.[1];
  return inner ?? /^[A-Z]{2,}\b/.exec(text)?.[0] ?? String(name ?? 'unknown');
}
