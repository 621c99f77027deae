import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { RouterError } from '../errors.ts';
import { Connections } from './connections.ts';
import { type ConnectorOptions, denied } from './connector.ts';
import { type ConnectionLimits, connectionSlots, makeNames } from './limits.ts';
import { type CancelSignal, ResponseHandler, type TransportResponse } from './response-handler.ts';
import { openWebSocket, SocketHandshake, type SocketResponse } from './sockets/handshake.ts';
import type { SlotWaiter, TeamKey, TeamSlots } from './team-slots.ts';

export type { CancelSignal, TransportResponse } from './response-handler.ts';
export type { SocketResponse } from './sockets/handshake.ts';
export type { ProviderSocket, SocketListener, SocketMessage } from './sockets/provider-socket.ts';

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

/** A handshake that opens a WebSocket. */
export interface SocketRequest
  extends Pick<TransportRequest, 'url' | 'headers' | 'signal' | 'team' | 'queue' | 'headersTimeoutMs'> {
  /** Bytes that one message of the provider may have. */
  maxMessageBytes: number;
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
    const { origin, path } = split(url);
    try {
      this.#admit(origin);
    } catch (error) {
      return Promise.reject(error);
    }
    headers['accept-encoding'] = 'identity';
    if (Array.isArray(body)) headers['content-length'] = String(sizeOf(body));
    const exchange = new ResponseHandler(signal, this.#options.maxDecodedBytes ?? maxDecodedBytes);
    if (signal?.aborted) return exchange.response;
    const options: Dispatcher.DispatchOptions = {
      origin,
      path,
      method: method as Dispatcher.HttpMethod,
      headers,
      // undici sends any iterable, although its types list only Node streams.
      body: (body ?? null) as string | Uint8Array | Readable | null,
      headersTimeout: headersTimeoutMs,
      bodyTimeout: bodyTimeoutMs,
    };
    this.#begin(origin, options, exchange, team, request.queue);
    return exchange.response;
  }

  /**
   * Opens a WebSocket, over a separate connection and under the same egress policy. The connection counts against the
   * team's limit until the socket has closed.
   *
   * @throws RouterError as `request`
   */
  async openSocket(request: SocketRequest): Promise<SocketResponse> {
    const { url, headers, signal, team = null, queue, headersTimeoutMs, maxMessageBytes } = request;
    const { origin, path } = split(url);
    this.#admit(origin);
    const decodedBytes = this.#options.maxDecodedBytes ?? maxDecodedBytes;
    const handshake = new SocketHandshake(signal, decodedBytes, maxMessageBytes);
    if (signal?.aborted) return handshake.response;
    return openWebSocket(handshake, (added, exchange) => {
      const options: Dispatcher.DispatchOptions = {
        origin,
        path,
        method: 'GET',
        headers: { ...headers, ...added },
        upgrade: 'websocket',
        headersTimeout: headersTimeoutMs,
        bodyTimeout: headersTimeoutMs,
      };
      this.#begin(origin, options, exchange, team, queue);
    });
  }

  async close(): Promise<void> {
    const closing = this.#connections.close(closed());
    this.#slots.refuseAll(closed());
    await closing;
  }

  /** Sends a request, or queues it if its team has no slot. */
  #begin(
    origin: string,
    options: Dispatcher.DispatchOptions,
    exchange: ResponseHandler,
    team: TeamKey,
    queue: QueueListener | undefined,
  ): void {
    if (this.#slots.tryTake(team)) this.#send(origin, options, exchange, team);
    else this.#wait(origin, options, exchange, team, queue);
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

  /** @throws RouterError `draining`, `egress_denied` */
  #admit(origin: string): void {
    // undici's own error would mean an unreachable provider, and the call would be retried.
    if (this.#connections.closed) throw closed();
    if (this.#allowedOrigins.has(origin)) return;
    if (this.#options.policy.checkUrl(new URL(origin)) !== undefined) throw denied();
    if (this.#allowedOrigins.size >= maxAllowedOrigins) this.#allowedOrigins.clear();
    this.#allowedOrigins.add(origin);
  }
}

function split(url: string): { origin: string; path: string } {
  const pathStart = url.indexOf('/', url.indexOf('://') + 3);
  if (pathStart === -1) return { origin: url, path: '/' };
  return { origin: url.slice(0, pathStart), path: url.slice(pathStart) };
}

function closed(): RouterError {
  return new RouterError('draining', 'The router is closed.');
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((size, piece) => size + piece.byteLength, 0);
}
