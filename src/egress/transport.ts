import type { EventEmitter } from 'node:events';
import type { Readable } from 'node:stream';
import { Agent, type Dispatcher, Pool } from 'undici';
import { RouterError } from '../errors.ts';
import { type ConnectorOptions, denied, guardedConnector } from './connector.ts';
import { decoded } from './decoding.ts';
import { destinationOf } from './guard.ts';

export interface TransportOptions extends ConnectorOptions {
  /** Connections to one origin at a time. Default 256. */
  maxConnections?: number;
  /** Bytes that an answer may unpack to, if the provider packed it unasked. Default 67 108 864 (64 MiB). */
  maxDecodedBytes?: number;
}

/** Aborts with the event `abort`. */
export interface CancelSignal extends EventEmitter {
  readonly aborted: boolean;
  readonly reason: unknown;
}

export interface TransportRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** One that comes in pieces is read once, as it is sent. */
  body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  signal?: AbortSignal | CancelSignal;
  /** Until the headers of the answer are there, from when the request is sent; 0: without an end. */
  headersTimeoutMs: number;
  /** Between two chunks of the body. */
  bodyTimeoutMs: number;
}

export interface TransportResponse {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Readable;
}

/** Origins judged already, by what is known of them without DNS. */
const rememberedOrigins = 1000;

/** What the headers of one answer may weigh, and how many they may be: a provider sends some twenty. */
const maxHeaderBytes = 32_768;
const maxHeaders = 256;
/** Each 1xx answer starts undici's timer anew: without an end to them a call would have none. */
const maxInformational = 16;
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
   * @throws RouterError `egress_denied`, `provider_unreachable`, `provider_timeout`; the signal's own reason if it
   * aborts
   */
  async request(request: TransportRequest): Promise<TransportResponse> {
    const { method, url, headers, body, signal, headersTimeoutMs, bodyTimeoutMs } = request;
    const pathStart = url.indexOf('/', url.indexOf('://') + 3);
    const origin = pathStart === -1 ? url : url.slice(0, pathStart);
    this.#check(origin);
    try {
      const response = await this.#agent.request({
        origin,
        path: pathStart === -1 ? '/' : url.slice(pathStart),
        method: method as Dispatcher.HttpMethod,
        headers: { ...headers, 'accept-encoding': 'identity' },
        // undici sends any async iterable, though its types know of Node's streams only.
        body: (body ?? null) as string | Uint8Array | Readable | null,
        ...(signal === undefined ? {} : { signal }),
        headersTimeout: headersTimeoutMs,
        bodyTimeout: bodyTimeoutMs,
        onInfo: informationalLimit(),
      });
      const { statusCode: status, headers: answered, body: read } = response;
      if (countHeaders(answered) > maxHeaders) {
        read.on('error', () => {}).destroy();
        throw new RouterError('provider_unreachable', 'The provider answered with too many headers.');
      }
      const limit = this.#options.maxDecodedBytes ?? maxDecodedBytes;
      return decoded({ status, headers: answered, body: read }, limit);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw translate(error);
    }
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

function countHeaders(headers: TransportResponse['headers']): number {
  let count = 0;
  for (const name in headers) count += Array.isArray(headers[name]) ? headers[name].length : 1;
  return count;
}

function informationalLimit(): () => void {
  let count = 0;
  return () => {
    count += 1;
    if (count <= maxInformational) return;
    throw new RouterError('provider_unreachable', 'The provider went on to say that it is about to answer.');
  };
}

function translate(error: unknown): RouterError {
  if (RouterError.isInstance(error)) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'UND_ERR_HEADERS_TIMEOUT') {
    return new RouterError('provider_timeout', 'The provider did not answer in time.');
  }
  if (code === 'UND_ERR_INVALID_ARG')
    return new RouterError('invalid_request', 'A header of this call cannot be sent.');
  const reason = typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? ` (${code})` : '';
  return new RouterError('provider_unreachable', `The provider could not be reached${reason}.`);
}
