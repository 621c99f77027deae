import { Client, type Dispatcher } from 'undici';
import { type ConnectorOptions, denied, type GuardedConnector, guardedConnector } from './connector.ts';
import { destinationOf } from './guard.ts';
import type { TeamKey } from './team-slots.ts';

/** Milliseconds after which an idle connection is closed. */
const keepAliveMs = 30_000;
const maxKeepAliveMs = 60_000;
/** Maximum size in bytes of one response's headers. */
const maxHeaderBytes = 32_768;

/** The connections to one origin. They share one connector and therefore its TLS session cache. */
interface Origin {
  readonly url: string;
  readonly connect: GuardedConnector;
  /** Idle connections, the most recently used last. */
  readonly idle: Connection[];
  /** Number of connections, idle or in use. */
  open: number;
}

/**
 * Pools the connections of all origins.
 *
 * A connection carries one request at a time, and an idle connection serves any team. If a new connection would
 * exceed `max`, the connection that has been idle longest is closed.
 */
export class Connections {
  readonly #max: number;
  readonly #options: ConnectorOptions;
  readonly #origins = new Map<string, Origin>();
  readonly #all = new Set<Connection>();
  /** Idle connections of all origins, the one that has been idle longest first. */
  readonly #idle = new Set<Connection>();
  #closed = false;

  constructor(max: number, options: ConnectorOptions) {
    this.#max = max;
    this.#options = options;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Number of connections, idle or in use. */
  get size(): number {
    return this.#all.size;
  }

  /**
   * Returns an idle connection to an origin, or creates one.
   *
   * @throws RouterError `egress_denied`
   */
  take(url: string, team: TeamKey): Connection {
    let origin = this.#origins.get(url);
    if (origin === undefined) {
      origin = this.#origin(url);
      this.#origins.set(url, origin);
    }
    let connection = origin.idle.pop();
    if (connection === undefined) {
      connection = new Connection(origin, this);
      if (this.#all.size >= this.#max) this.#closeOldest();
      origin.open += 1;
      this.#all.add(connection);
    } else this.#idle.delete(connection);
    connection.team = team;
    return connection;
  }

  /** Returns a connection to the pool. */
  keep(connection: Connection): void {
    if (this.#closed || this.#idle.has(connection) || !this.#all.has(connection)) return;
    connection.origin.idle.push(connection);
    this.#idle.add(connection);
    if (this.#all.size > this.#max) this.#closeOldest();
  }

  /** Removes a closed connection from the pool. */
  forget(connection: Connection): void {
    if (!this.#all.delete(connection)) return;
    const { origin } = connection;
    if (this.#idle.delete(connection)) origin.idle.splice(origin.idle.indexOf(connection), 1);
    origin.open -= 1;
    if (origin.open === 0) this.#origins.delete(origin.url);
  }

  /** Closes every connection. Requests in flight fail with `error`. */
  async close(error: Error): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map((connection) => connection.close(error)));
  }

  #closeOldest(): void {
    const [oldest] = this.#idle;
    if (oldest !== undefined) void oldest.close();
  }

  #origin(url: string): Origin {
    const destination = destinationOf(new URL(url));
    if (destination === undefined) throw denied();
    return { url, connect: guardedConnector(destination, this.#options), idle: [], open: 0 };
  }
}

/**
 * One connection to one origin. Connects at its first request, and reconnects at the next request after a disconnect.
 */
export class Connection {
  /** The team of the current request. */
  team: TeamKey = null;
  readonly origin: Origin;
  readonly #owner: Connections;
  readonly #client: Client;
  #connected = false;
  #stopConnecting: (() => void) | undefined;

  constructor(origin: Origin, owner: Connections) {
    this.origin = origin;
    this.#owner = owner;
    this.#client = new Client(origin.url, {
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: maxKeepAliveMs,
      maxHeaderSize: maxHeaderBytes,
      connect: (connectOptions, callback) => {
        this.#stopConnecting = origin.connect(connectOptions, callback, this.team);
      },
    });
    this.#client
      .on('connect', () => {
        this.#connected = true;
      })
      .on('disconnect', () => {
        this.#connected = false;
        if (this.#client.stats.size === 0) void this.close();
      })
      .on('connectionError', () => void this.close())
      // undici emits `drain` one tick after the response has ended, when the connection can take the next request.
      .on('drain', () => {
        if (this.#connected) owner.keep(this);
        else void this.close();
      });
  }

  /** Sends one request. The handler receives the response and every error. */
  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(request, handler);
  }

  /** Closes the connection, even while it connects. Its current request fails. */
  async close(error?: Error): Promise<void> {
    this.#owner.forget(this);
    this.#stopConnecting?.();
    await this.#client.destroy(error ?? null);
  }
}
