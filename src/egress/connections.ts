import { Client, type Dispatcher } from 'undici';
import { type ConnectorOptions, denied, type GuardedConnector, guardedConnector } from './connector.ts';
import { destinationOf } from './guard.ts';
import type { TeamKey } from './team-slots.ts';

/** Milliseconds that an unused connection is kept. */
const keepAliveMs = 30_000;
const maxKeepAliveMs = 60_000;
/** Bytes of the headers of one answer. */
const maxHeaderBytes = 32_768;

/** The connections to one origin. They share the connector, and so its TLS sessions. */
interface Origin {
  readonly url: string;
  readonly connect: GuardedConnector;
  /** Unused connections; the one used last comes last. */
  readonly idle: Connection[];
  /** All connections, in use or not. */
  open: number;
}

/**
 * Keeps the connections of all origins. Each carries one request at a time, and unused ones serve any team. Beyond `max`
 * connections in all the one that has been unused longest is closed.
 */
export class Connections {
  readonly #max: number;
  readonly #options: ConnectorOptions;
  readonly #origins = new Map<string, Origin>();
  readonly #all = new Set<Connection>();
  /** Unused connections of all origins, the one unused longest first. */
  readonly #idle = new Set<Connection>();
  #closed = false;

  constructor(max: number, options: ConnectorOptions) {
    this.#max = max;
    this.#options = options;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** All connections, in use or not. */
  get size(): number {
    return this.#all.size;
  }

  /** Takes an unused connection to an origin, or makes one. @throws RouterError `egress_denied` */
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

  /** Keeps a connection for the next request. */
  keep(connection: Connection): void {
    if (this.#closed || this.#idle.has(connection) || !this.#all.has(connection)) return;
    connection.origin.idle.push(connection);
    this.#idle.add(connection);
    if (this.#all.size > this.#max) this.#closeOldest();
  }

  /** Forgets a connection that is closed. */
  forget(connection: Connection): void {
    if (!this.#all.delete(connection)) return;
    const { origin } = connection;
    if (this.#idle.delete(connection)) origin.idle.splice(origin.idle.indexOf(connection), 1);
    origin.open -= 1;
    if (origin.open === 0) this.#origins.delete(origin.url);
  }

  /** Closes every connection; what is in flight fails with the error. */
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

/** One connection to one origin. It connects at its first request, and after a disconnect at the next. */
export class Connection {
  /** The team whose request it carries. */
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
      connect: (given, callback) => {
        this.#stopConnecting = origin.connect(given, callback, this.team);
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
      // undici tells that the next request may be sent, a turn of the event loop after the answer has ended.
      .on('drain', () => {
        if (this.#connected) owner.keep(this);
        else void this.close();
      });
  }

  /** Sends one request. Its handler hears of every way in which it ends. */
  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(request, handler);
  }

  /** Closes the connection, even while it is being made. A request that it carries fails. */
  async close(error?: Error): Promise<void> {
    this.#owner.forget(this);
    this.#stopConnecting?.();
    await this.#client.destroy(error ?? null);
  }
}
