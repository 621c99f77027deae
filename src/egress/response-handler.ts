import type { Dispatcher } from 'undici';
import { RouterError } from '../errors.ts';
import { TickBatch } from '../tick-batch.ts';
import { decoded } from './decoding.ts';
import { ResponseBody } from './response-body.ts';

export interface TransportResponse {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: ResponseBody;
}

/** What is used of an `AbortSignal`. */
export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

type Headers = TransportResponse['headers'];
type Controller = Dispatcher.DispatchController;

/** How many headers one answer may have: a provider sends some twenty. */
const maxHeaders = 256;
/** Those that came in together. */
const responses = new TickBatch();
/** Each 1xx answer starts undici's timer anew: without an end to them a call would have none. */
const maxInformational = 16;

/**
 * One request on its connection: undici tells it what the provider sends. `undici.request` does the same with a stream of
 * Node's, which costs more.
 */
export class ResponseHandler implements Dispatcher.DispatchHandler {
  readonly response: Promise<TransportResponse>;
  readonly #signal: CancelSignal | undefined;
  readonly #maxDecodedBytes: number;
  #resolve!: (response: TransportResponse) => void;
  #reject!: (error: unknown) => void;
  #controller: Controller | undefined;
  #body: ResponseBody | undefined;
  #informational = 0;
  /** Closes what the request waits for, as long as undici has not begun it. */
  #abandon: ((error: Error) => void) | undefined;
  #ended: (() => void) | undefined;

  constructor(signal: CancelSignal | undefined, maxDecodedBytes: number) {
    this.#signal = signal;
    this.#maxDecodedBytes = maxDecodedBytes;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    signal?.addEventListener('abort', this.#leave);
    if (signal?.aborted) this.#leave();
  }

  /** How to give the request up if its caller leaves while it waits for a slot. */
  waits(abandon: () => void): void {
    this.#abandon = abandon;
  }

  /**
   * The request is handed to a connection.
   *
   * @param abandon closes the connection while it is being made
   * @param ended is called once, in whichever way the exchange ends
   */
  begins(abandon: (error: Error) => void, ended: () => void): void {
    this.#abandon = abandon;
    this.#ended = ended;
  }

  /** Ends an exchange that never began. */
  refuse(error: unknown): void {
    this.#signal?.removeEventListener('abort', this.#leave);
    this.#reject(error);
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    if (this.#signal?.aborted) controller.abort(asError(this.#signal.reason));
  }

  onResponseStart(controller: Controller, status: number, headers: Headers): void {
    if (status < 200) {
      this.#informational += 1;
      if (this.#informational > maxInformational) throw refused('went on to say that it is about to answer');
      return;
    }
    if (countOf(headers) > maxHeaders) throw refused('answered with too many headers');
    const body = new ResponseBody(controller);
    const response = decoded({ status, headers, body }, this.#maxDecodedBytes);
    this.#body = body;
    responses.schedule(() => this.#resolve(response));
  }

  onResponseData(_: Controller, chunk: Buffer): void {
    this.#body?.push(chunk);
  }

  onResponseEnd(): void {
    this.#signal?.removeEventListener('abort', this.#leave);
    this.#body?.end();
    this.#end();
  }

  onResponseError(_: Controller, error: Error): void {
    this.#signal?.removeEventListener('abort', this.#leave);
    if (this.#body !== undefined) this.#body.fail(error);
    else this.#reject(this.#signal?.aborted ? this.#signal.reason : translate(error));
    this.#end();
  }

  #end(): void {
    const ended = this.#ended;
    this.#ended = undefined;
    ended?.();
  }

  /** At once, even if undici has no connection yet that it could close. */
  readonly #leave = (): void => {
    const reason = this.#signal?.reason;
    if (this.#body?.leave(reason)) return;
    this.#reject(reason);
    if (this.#controller === undefined) this.#abandon?.(asError(reason));
    else this.#controller.abort(asError(reason));
  };
}

function translate(error: unknown): RouterError {
  if (RouterError.isInstance(error)) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'ETIMEOUT') {
    return new RouterError('provider_timeout', 'The provider did not answer in time.', { cause: error });
  }
  if (code === 'UND_ERR_INVALID_ARG')
    return new RouterError('invalid_request', 'A header of this call cannot be sent.');
  if (code === 'UND_ERR_DESTROYED') return new RouterError('draining', 'The router is closed.');
  const reason = typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? ` (${code})` : '';
  return new RouterError('provider_unreachable', `The provider could not be reached${reason}.`, {
    cause: error,
  });
}

function countOf(headers: Headers): number {
  let count = 0;
  for (const name in headers) count += Array.isArray(headers[name]) ? headers[name].length : 1;
  return count;
}

function refused(how: string): RouterError {
  return new RouterError('provider_unreachable', `The provider ${how}.`);
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
