import { createClient } from 'redis';
import type { RedisClientLike } from '../storage/redis/index.ts';

type Client = ReturnType<typeof connectTo>;

/**
 * Milliseconds that a connection attempt may take, and milliseconds between two attempts, because an election may be
 * in progress.
 */
const connectTimeoutMs = 2_000;
const pauseMs = 500;

/** Errors of a replica for commands that need a primary. The command has changed nothing. */
const demoted = /^(ERR Error running script.*: ?-)?(READONLY|MASTERDOWN)\b/;

/**
 * A client that reconnects and repeats the command when its server is no longer the primary. After a failover the
 * address leads to the new primary, while an open connection stays on the demoted server.
 */
export class FailoverClient implements RedisClientLike {
  /** The last error of the first connection. */
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
    // The client retries in the background. Until it is connected, each operation waits up to its deadline.
    this.#client.connect().catch(() => {});
  }

  async sendCommand(...args: Parameters<RedisClientLike['sendCommand']>): Promise<unknown> {
    try {
      return await this.#client.sendCommand(...args);
    } catch (error) {
      if (!demoted.test(String((error as Error).message)) || !(await this.#reconnect())) throw error;
      return this.#client.sendCommand(...args);
    }
  }

  /** Ignored, because each client has an error listener for its connection. */
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

  /** Returns whether a new connection was established. */
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
    // Commands in flight on the old connection still await their replies.
    before.close().catch(() => end(before));
    return true;
  }
}

/** Detects an unresponsive server by pings, and reconnects. */
function connectTo(url: string, timeoutMs: number) {
  const client = createClient({ url, pingInterval: 1_000, socket: { socketTimeout: timeoutMs } });
  client.on('error', () => {});
  return client;
}

function end(client: Client): void {
  try {
    client.destroy();
  } catch {
    // The client was not open.
  }
}
