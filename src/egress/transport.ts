import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, Pool } from 'undici';
import { RouterError } from '../errors.ts';
import { type ConnectorOptions, denied, guardedConnector } from './connector.ts';
import { type CancelSignal, Exchange, type TransportResponse } from './exchange.ts';
import { destinationOf } from './guard.ts';

export type { CancelSignal, TransportResponse } from './exchange.ts';

export interface TransportOptions extends ConnectorOptions {
  /** Connections to one origin at a time. Default 256. */
  maxConnections?: number;
  /** Bytes that an answer may unpack to, if the provider packed it unasked. Default 67 108 864 (64 MiB). */
  maxDecodedBytes?: number;
}

/** One that comes in pieces is read once, as it is sent; a list of pieces is there already. */
export type RequestBody = string | Uint8Array | readonly Uint8Array[] | AsyncIterable<Uint8Array>;

export interface TransportRequest {
  method: string;
  url: string;
  /** Handed over: what has to be added is added here. */
  headers: Record<string, string>;
  body?: RequestBody | undefined;
  signal?: CancelSignal | undefined;
  /** Until the headers of the answer are there, from when the request is sent; 0: without an end. */
  headersTimeoutMs: number;
  /** Between two chunks of the body. */
  bodyTimeoutMs: number;
}

/** Origins judged already, by what is known of them without DNS. */
const rememberedOrigins = 1000;

/** What the headers of one answer may weigh. */
const maxHeaderBytes = 32_768;
const maxDecodedBytes = 67_108_864;

/**
 * The only way out: pooled requests under one egress policy. It follows no redirect, knows no proxy, and has
 * every address judged again when it connects.
 */
export class Transport {
  readonly #agent: Agent;
  readonly #options: TransportOptions;
  readonly #allowedOrigins = new Set<string>();

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#agent = new Agent({
      factory: (origin, poolOptions) => this.#pool(new URL(origin), poolOptions),
      connections: options.maxConnections ?? 256,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      keepAliveMaxTimeout: 60_000,
      maxHeaderSize: maxHeaderBytes,
    });
  }

  /**
   * Rejects with RouterError `egress_denied`, `invalid_request`, `provider_unreachable`, `provider_timeout`, `draining`
   * once it is closed; with the signal's own reason if it aborts. Not an async function: every call would wait a turn more.
   */
  request(request: TransportRequest): Promise<TransportResponse> {
    const { method, url, headers, body, signal, headersTimeoutMs, bodyTimeoutMs } = request;
    const pathStart = url.indexOf('/', url.indexOf('://') + 3);
    const origin = pathStart === -1 ? url : url.slice(0, pathStart);
    try {
      // undici would say that the provider cannot be reached, and the call would be tried again.
      if (this.#agent.destroyed) throw new RouterError('draining', 'The router is closed.');
      this.#check(origin);
    } catch (error) {
      return Promise.reject(error);
    }
    headers['accept-encoding'] = 'identity';
    if (Array.isArray(body)) headers['content-length'] = String(sizeOf(body));
    const exchange = new Exchange(signal, this.#options.maxDecodedBytes ?? maxDecodedBytes);
    this.#agent.dispatch(
      {
        origin,
        path: pathStart === -1 ? '/' : url.slice(pathStart),
        method: method as Dispatcher.HttpMethod,
        headers,
        // undici sends whatever can be iterated, though its types know of Node's streams only.
        body: (body ?? null) as string | Uint8Array | Readable | null,
        headersTimeout: headersTimeoutMs,
        bodyTimeout: bodyTimeoutMs,
      },
      exchange,
    );
    return exchange.response;
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #check(origin: string): void {
    if (this.#allowedOrigins.has(origin)) return;
    if (this.#options.policy.checkUrl(new URL(origin)) !== undefined) throw denied();
    if (this.#allowedOrigins.size >= rememberedOrigins) this.#allowedOrigins.clear();
    this.#allowedOrigins.add(origin);
  }

  #pool(origin: URL, options: object): Pool {
    const destination = destinationOf(origin);
    if (destination === undefined) throw denied();
    return new Pool(origin, { ...options, connect: guardedConnector(destination, this.#options) });
  }
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((size, piece) => size + piece.byteLength, 0);
}
