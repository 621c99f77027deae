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

/** The members of `AbortSignal` that are used here. */
export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

type Headers = TransportResponse['headers'];
type Controller = Dispatcher.DispatchController;

/** Maximum number of headers of one response. Providers send about 20. */
const maxHeaders = 256;
/** Resolves the responses of one tick together. */
const responses = new TickBatch();
/** Maximum number of 1xx responses. Each one restarts undici's timer, so an unlimited series would never time out. */
const maxInformational = 16;

/** Receives one response from undici. `undici.request` does the same with a Node stream, which costs more. */
export class ResponseHandler implements Dispatcher.DispatchHandler {
  readonly response: Promise<TransportResponse>;
  readonly #signal: CancelSignal | undefined;
  readonly #maxDecodedBytes: number;
  #resolve!: (response: TransportResponse) => void;
  #reject!: (error: unknown) => void;
  #controller: Controller | undefined;
  #body: ResponseBody | undefined;
  #informational = 0;
  /** Cancels the pending connection or the wait for a slot, until undici has started the request. */
  #abandon: ((error: Error) => void) | undefined;
  #ended: (() => void) | undefined;

  constructor(signal: CancelSignal | undefined, maxDecodedBytes: number) {
    this.#signal = signal;
    this.#maxDecodedBytes = maxDecodedBytes;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    signal?.addEventListener('abort', this.#onAbort);
    if (signal?.aborted) this.#onAbort();
  }

  /** Sets the function that cancels the wait for a slot if the caller disconnects. */
  onCancelQueued(abandon: () => void): void {
    this.#abandon = abandon;
  }

  /**
   * Records that a connection has the request.
   *
   * @param abandon closes the connection while it connects
   * @param ended is called once, at the end of the exchange
   */
  onConnection(abandon: (error: Error) => void, ended: () => void): void {
    this.#abandon = abandon;
    this.#ended = ended;
  }

  /** Rejects an exchange that was never sent. */
  refuse(error: unknown): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#reject(error);
  }

  /**
   * Ends the part of the exchange of a connection that another protocol takes over.
   *
   * @returns ends the exchange, when that protocol has ended
   */
  takeOver(): () => void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    return () => this.#end();
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    if (this.#signal?.aborted) controller.abort(asError(this.#signal.reason));
  }

  onResponseStart(controller: Controller, status: number, headers: Headers): void {
    if (status < 200) {
      this.#informational += 1;
      if (this.#informational > maxInformational) throw invalidResponse('too many 1xx responses');
      return;
    }
    if (countOf(headers) > maxHeaders) throw invalidResponse('too many response headers');
    const body = new ResponseBody(controller);
    const response = decoded({ status, headers, body }, this.#maxDecodedBytes);
    this.#body = body;
    responses.schedule(() => this.#resolve(response));
  }

  onResponseData(_: Controller, chunk: Buffer): void {
    this.#body?.push(chunk);
  }

  onResponseEnd(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#body?.end();
    this.#end();
  }

  onResponseError(_: Controller, error: Error): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    if (this.#body !== undefined) this.#body.fail(error);
    else this.#reject(this.#signal?.aborted ? this.#signal.reason : toRouterError(error));
    this.#end();
  }

  #end(): void {
    const ended = this.#ended;
    this.#ended = undefined;
    ended?.();
  }

  /** Rejects immediately, even if undici has no connection that it could close. */
  readonly #onAbort = (): void => {
    const reason = this.#signal?.reason;
    if (this.#body?.leave(reason)) return;
    this.#reject(reason);
    if (this.#controller === undefined) this.#abandon?.(asError(reason));
    else this.#controller.abort(asError(reason));
  };
}

function toRouterError(error: unknown): RouterError {
  if (RouterError.isInstance(error)) return error;
  const code = (error as { code?: unknown } | null)?.code;
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'ETIMEOUT') {
    return new RouterError('provider_timeout', 'The provider did not answer in time.', { cause: error });
  }
  if (code === 'UND_ERR_INVALID_ARG') return new RouterError('invalid_request', 'Malformed request header.');
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

function invalidResponse(problem: string): RouterError {
  return new RouterError('provider_unreachable', `The provider sent ${problem}.`);
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
