import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { Agent, type Dispatcher, Pool } from 'undici';
import { RouterError } from '../errors.ts';
import { type ConnectorOptions, denied, guardedConnector } from './connector.ts';
import { destinationOf } from './guard.ts';

export interface TransportOptions extends ConnectorOptions {
  /** Connections to one origin at a time. Default 256. */
  maxConnections?: number;
}

export interface TransportRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** One that comes in pieces is read once, as it is sent. */
  body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  signal?: AbortSignal;
  /** Until the headers of the answer are there. */
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
      maxHeaderSize: 32_768,
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
      });
      return decoded({ status: response.statusCode, headers: response.headers, body: response.body });
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

const decoders = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** Asked for `identity`, some encode all the same. */
function decoded(response: TransportResponse): TransportResponse {
  const encoding = String(response.headers['content-encoding'] ?? 'identity')
    .trim()
    .toLowerCase();
  if (encoding === 'identity' || encoding === '') return response;
  if (!Object.hasOwn(decoders, encoding)) {
    response.body.on('error', () => {}).destroy();
    throw new RouterError(
      'provider_unreachable',
      'The provider answered in an encoding that was not asked for.',
    );
  }
  const decoder = decoders[encoding as keyof typeof decoders]();
  const { body } = response;
  body.on('error', (error) => decoder.destroy(error));
  decoder.on('close', () => body.destroy());
  const { 'content-encoding': _, 'content-length': __, ...headers } = response.headers;
  return { status: response.status, headers, body: body.pipe(decoder) };
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
