import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { RouterError } from '../errors.ts';
import { Connections } from './connections.ts';
import { type ConnectorOptions, denied } from './connector.ts';
import { type ConnectionLimits, connectionSlots, makeNames } from './limits.ts';
import { type CancelSignal, ResponseHandler, type TransportResponse } from './response-handler.ts';
import type { SlotWaiter, TeamKey, TeamSlots } from './team-slots.ts';

export type { CancelSignal, TransportResponse } from './response-handler.ts';

export interface TransportOptions extends ConnectorOptions, ConnectionLimits {
  /** Counts the requests in flight. Default: this transport's own. */
  slots?: TeamSlots;
  /** Bytes that an answer may unpack to, if the provider packed it unasked. Default 67 108 864 (64 MiB). */
  maxDecodedBytes?: number;
}

/** Hears that a request waits for a slot: that time is not the provider's. */
export interface QueueListener {
  queued(): void;
  dequeued(): void;
}

/** One that comes in pieces is read once, as it is sent; a list of pieces is there already. */
export type OutgoingBody = string | Uint8Array | readonly Uint8Array[] | AsyncIterable<Uint8Array>;

export interface TransportRequest {
  method: string;
  url: string;
  /** Handed over: what has to be added is added here. */
  headers: Record<string, string>;
  body?: OutgoingBody | undefined;
  signal?: CancelSignal | undefined;
  /** The team that calls, whose share of the connections is used. Default `null`, the operator. */
  team?: TeamKey;
  queue?: QueueListener | undefined;
  /** Until the headers of the answer are there, from when the request is sent; 0: without an end. */
  headersTimeoutMs: number;
  /** Between two chunks of the body. */
  bodyTimeoutMs: number;
}

/** Origins judged already, by what is known of them without DNS. */
const maxAllowedOrigins = 1000;

const maxDecodedBytes = 67_108_864;

/**
 * The only way out: pooled requests under one egress policy. It follows no redirect, knows no proxy, and has
 * every address judged again when it connects.
 */
export class Transport {
  readonly #connections: Connections;
  readonly #slots: TeamSlots;
  readonly #options: TransportOptions;
  readonly #allowedOrigins = new Set<string>();

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#slots = options.slots ?? connectionSlots(options);
    const names = options.names ?? makeNames(options);
    this.#connections = new Connections(this.#slots.total, { ...options, names });
  }

  /**
   * Rejects with RouterError `egress_denied`, `invalid_request`, `provider_unreachable`, `provider_timeout`,
   * `rate_limit_exceeded` or `overloaded` if there is no connection for it, `draining` once it is closed; with the signal's own reason if it aborts. Not an async function: every call would wait a turn more.
   */
  request(request: TransportRequest): Promise<TransportResponse> {
    const { method, url, headers, body, signal, team = null, headersTimeoutMs, bodyTimeoutMs } = request;
    const pathStart = url.indexOf('/', url.indexOf('://') + 3);
    const origin = pathStart === -1 ? url : url.slice(0, pathStart);
    try {
      // undici would say that the provider cannot be reached, and the call would be tried again.
      if (this.#connections.closed) throw closed();
      this.#check(origin);
    } catch (error) {
      return Promise.reject(error);
    }
    headers['accept-encoding'] = 'identity';
    if (Array.isArray(body)) headers['content-length'] = String(sizeOf(body));
    const exchange = new ResponseHandler(signal, this.#options.maxDecodedBytes ?? maxDecodedBytes);
    if (signal?.aborted) return exchange.response;
    const options: Dispatcher.DispatchOptions = {
      origin,
      path: pathStart === -1 ? '/' : url.slice(pathStart),
      method: method as Dispatcher.HttpMethod,
      headers,
      // undici sends whatever can be iterated, though its types know of Node's streams only.
      body: (body ?? null) as string | Uint8Array | Readable | null,
      headersTimeout: headersTimeoutMs,
      bodyTimeout: bodyTimeoutMs,
    };
    if (this.#slots.tryTake(team)) this.#send(origin, options, exchange, team);
    else this.#wait(origin, options, exchange, team, request.queue);
    return exchange.response;
  }

  async close(): Promise<void> {
    const closing = this.#connections.close(closed());
    this.#slots.refuseAll(closed());
    await closing;
  }

  /** The request holds a slot, which is given back when its exchange ends. */
  #send(origin: string, options: Dispatcher.DispatchOptions, exchange: ResponseHandler, team: TeamKey): void {
    const connection = this.#connections.take(origin, team);
    exchange.begins(
      (error) => void connection.close(error),
      () => this.#slots.release(team),
    );
    connection.dispatch(options, exchange);
  }

  #wait(
    origin: string,
    options: Dispatcher.DispatchOptions,
    exchange: ResponseHandler,
    team: TeamKey,
    queue: QueueListener | undefined,
  ): void {
    const waiter: SlotWaiter = {
      granted: () => {
        queue?.dequeued();
        this.#send(origin, options, exchange, team);
      },
      refused: (error) => {
        queue?.dequeued();
        exchange.refuse(error);
      },
    };
    exchange.waits(() => {
      this.#slots.leave(team, waiter);
      queue?.dequeued();
    });
    queue?.queued();
    this.#slots.wait(team, waiter);
  }

  #check(origin: string): void {
    if (this.#allowedOrigins.has(origin)) return;
    if (this.#options.policy.checkUrl(new URL(origin)) !== undefined) throw denied();
    if (this.#allowedOrigins.size >= maxAllowedOrigins) this.#allowedOrigins.clear();
    this.#allowedOrigins.add(origin);
  }
}

function closed(): RouterError {
  return new RouterError('draining', 'The router is closed.');
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((size, piece) => size + piece.byteLength, 0);
}
