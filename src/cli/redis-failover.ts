import { createClient } from 'redis';
import type { RedisClientLike } from '../storage/redis/index.ts';

type Client = ReturnType<typeof connectTo>;

/** Milliseconds that a new connection may take, and between two of them: a primary may be elected meanwhile. */
const connectTimeoutMs = 2_000;
const pauseMs = 500;

/** How Redis refuses what only a primary does. The command has changed nothing then. */
const demoted = /^(ERR Error running script.*: ?-)?(READONLY|MASTERDOWN)\b/;

/**
 * A client that connects again when the server at its address is no primary any more, and then sends the command once more: after a
 * failover the address leads to another server, while an open connection stays on the demoted one.
 */
export class FailoverClient implements RedisClientLike {
  /** Why the first connection failed, or was lost, the last time. */
  lastError: unknown;
  readonly #url: string;
  readonly #timeoutMs: number;
  #client: Client;
  #connecting: Promise<boolean> | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(url: string, timeoutMs: number) {
    this.#url = url;
    this.#timeoutMs = timeoutMs;
    this.#client = connectTo(url, timeoutMs);
    this.#client.on('error', (error: unknown) => {
      this.lastError = error;
    });
    // It goes on trying by itself; until it succeeds every operation waits, up to its deadline.
    this.#client.connect().catch(() => {});
  }

  async sendCommand(...given: Parameters<RedisClientLike['sendCommand']>): Promise<unknown> {
    try {
      return await this.#client.sendCommand(...given);
    } catch (error) {
      if (!demoted.test(String((error as Error).message)) || !(await this.#reconnect())) throw error;
      return this.#client.sendCommand(...given);
    }
  }

  /** Each client has a listener of its own for the errors of its connection. */
  on(): this {
    return this;
  }

  off(): this {
    return this;
  }

  duplicate(): ReturnType<RedisClientLike['duplicate']> {
    return this.#client.duplicate();
  }

  destroy(): void {
    this.#closed = true;
    end(this.#client);
  }

  /** Returns whether there is a new connection. */
  #reconnect(): Promise<boolean> {
    if (this.#connecting !== undefined) return this.#connecting;
    if (performance.now() - this.#triedAt < pauseMs) return Promise.resolve(false);
    this.#triedAt = performance.now();
    this.#connecting = this.#replace().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #replace(): Promise<boolean> {
    const next = connectTo(this.#url, this.#timeoutMs);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, connectTimeoutMs, false);
    });
    const connected = await Promise.race([
      next.connect().then(
        () => true,
        () => false,
      ),
      late,
    ]);
    clearTimeout(timer);
    if (!connected || this.#closed) {
      end(next);
      return false;
    }
    const before = this.#client;
    this.#client = next;
    // What was sent on it still has its answer to come.
    before.close().catch(() => end(before));
    return true;
  }
}

/** A server that has gone without a word is noticed by the pings, and connected to again. */
function connectTo(url: string, timeoutMs: number) {
  const client = createClient({ url, pingInterval: 1_000, socket: { socketTimeout: timeoutMs } });
  client.on('error', () => {});
  return client;
}

function end(client: Client): void {
  try {
    client.destroy();
  } catch {
    // It was not open.
  }
}
