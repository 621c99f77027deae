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
  /** Slots that limit the requests in flight. Default: slots for this transport alone. */
  slots?: TeamSlots;
  /** Maximum decoded size in bytes of a compressed response. Default 67 108 864 (64 MiB). */
  maxDecodedBytes?: number;
}

/** Receives the start and the end of a wait for a slot. That time does not count as the provider's. */
export interface QueueListener {
  queued(): void;
  dequeued(): void;
}

/** An async iterable is read once, while it is sent. An array of chunks is already complete. */
export type OutgoingBody = string | Uint8Array | readonly Uint8Array[] | AsyncIterable<Uint8Array>;

export interface TransportRequest {
  method: string;
  url: string;
  /** Modified by the transport, which adds its headers. */
  headers: Record<string, string>;
  body?: OutgoingBody | undefined;
  signal?: CancelSignal | undefined;
  /** The team whose connection limit applies. Default `null`, the operator. */
  team?: TeamKey;
  queue?: QueueListener | undefined;
  /** Milliseconds from sending the request to the headers of the response; 0 disables the timeout. */
  headersTimeoutMs: number;
  /** Milliseconds between two chunks of the body. */
  bodyTimeoutMs: number;
}

/** Maximum number of origins whose URL check is cached. */
const maxAllowedOrigins = 1000;

const maxDecodedBytes = 67_108_864;

/**
 * Sends every request to a provider, over pooled connections and under one egress policy. Follows no redirects and
 * uses no proxy. Each new connection checks its addresses again.
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
   * Sends a request and resolves with its response. Is not an async function, because that would cost each call one
   * microtask turn.
   *
   * Rejects with the reason of the signal after an abort.
   *
   * @throws RouterError `egress_denied`, `invalid_request`, `provider_unreachable`, `provider_timeout`;
   * `rate_limit_exceeded` or `overloaded` without a free connection; `draining` after `close`
   */
  request(request: TransportRequest): Promise<TransportResponse> {
    const { method, url, headers, body, signal, team = null, headersTimeoutMs, bodyTimeoutMs } = request;
    const pathStart = url.indexOf('/', url.indexOf('://') + 3);
    const origin = pathStart === -1 ? url : url.slice(0, pathStart);
    try {
      // undici's own error would mean an unreachable provider, and the call would be retried.
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
      // undici sends any iterable, although its types list only Node streams.
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

  /** Sends a request that holds a slot. The slot is released when the exchange ends. */
  #send(origin: string, options: Dispatcher.DispatchOptions, exchange: ResponseHandler, team: TeamKey): void {
    const connection = this.#connections.take(origin, team);
    exchange.onConnection(
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
    exchange.onCancelQueued(() => {
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
