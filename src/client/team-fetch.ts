import { z } from 'zod';
import type { CallSignal } from '../calls/abort/call-signal.ts';
import { type Answer, asRouterError, discard, errorAnswer } from '../calls/answer.ts';
import type { Call } from '../calls/call.ts';
import type { Dispatcher } from '../calls/dispatcher.ts';
import type { Caller } from '../calls/routing/resolve.ts';
import { RouterError } from '../errors.ts';
import { parseUrl } from '../parse-url.ts';
import { defaultName, fallbackNames } from '../schemas/names.ts';
import { parseOptions } from '../schemas/parse.ts';
import { readableError } from './client-errors.ts';
import { type FetchBody, readBody } from './request-body.ts';
import { LeanResponse, toFetchResponse } from './web-response.ts';

/** No such host can exist: a request that escaped from the dispatcher would reach nobody. */
const origin = 'https://team-model-router.invalid';

/**
 * The base URL under which `fetchFor` answers.
 *
 * @example
 * ```ts
 * const response = await router.fetchFor('acme')(`${teamBaseUrl}/models`);
 * ```
 */
export const teamBaseUrl: string = `${origin}/v1`;

type Input = string | URL | Request;

/** What a call may be given beside the standard request. */
export type CallDefaults = Pick<Call, 'defaultModel' | 'numRetries' | 'timeoutMs' | 'fallbacks'>;

/**
 * What holds for every call of a client or a fetch, unless the call itself says otherwise.
 *
 * @example
 * ```ts
 * const options: TeamCallOptions = { defaultModel: 'assistant', timeout: 20_000 };
 * const openai = router.forTeam('acme', options);
 * ```
 */
export interface TeamCallOptions {
  /** The public name for calls that name no model, such as files and batches. */
  defaultModel?: string;
  /** Public names to go on to when the model fails, instead of the team's `fallbacks`; `[]` for none. */
  fallbacks?: readonly string[];
  /** How many attempts may follow the first one. */
  maxRetries?: number;
  /** Milliseconds until the first byte of the answer, all attempts together. */
  timeout?: number;
}

const teamCallOptions = z.strictObject({
  defaultModel: defaultName.optional(),
  fallbacks: fallbackNames.readonly().optional(),
  maxRetries: z.int().nonnegative().optional(),
  timeout: z.number().positive().optional(),
});

/** The same as the pipeline has it. @throws RouterError `invalid_request` that names the option at fault */
export function callDefaults(options: TeamCallOptions): CallDefaults {
  const given = parseOptions(teamCallOptions, options);
  const { defaultModel, fallbacks, maxRetries: numRetries, timeout: timeoutMs } = given;
  return {
    ...(defaultModel === undefined ? {} : { defaultModel }),
    ...(fallbacks === undefined ? {} : { fallbacks }),
    ...(numRetries === undefined ? {} : { numRetries }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

/** A standard `fetch` whose requests go through the dispatcher, as `caller`. */
export function teamFetch(dispatcher: Dispatcher, caller: Caller, defaults: CallDefaults): typeof fetch {
  return async (input, init) => {
    const request = input instanceof Request ? input : undefined;
    checkMethod(init?.method ?? request?.method ?? 'GET', init?.body);
    const signal = init?.signal ?? request?.signal;
    const answer = await answerTo(dispatcher, caller, input as Input, init, defaults);
    return wrapped(answer, (given) => toFetchResponse(given, isCallSignal(signal) ? signal : undefined));
  };
}

/** @throws TypeError as `fetch` does */
function checkMethod(method: string, body: unknown): void {
  if (body !== undefined && body !== null && /^(get|head)$/i.test(method))
    throw new TypeError(`body: must be absent for ${method.toUpperCase()}.`);
}

/** The same for the OpenAI client, which reads less of a `Response`. */
export async function leanFetch(
  dispatcher: Dispatcher,
  caller: Caller,
  input: Input,
  init: RequestInit | undefined,
  defaults: CallDefaults,
): Promise<Response> {
  const answer = await answerTo(dispatcher, caller, input, init, defaults);
  return wrapped(readableError(answer), (given) => new LeanResponse(given) as unknown as Response);
}

/** The answer as a response. An answer that makes none is ended, because nobody will read it. */
function wrapped(answer: Answer, wrap: (answer: Answer) => Response): Response {
  try {
    return wrap(answer);
  } catch (error) {
    discard(answer);
    throw error;
  }
}

async function answerTo(
  dispatcher: Dispatcher,
  caller: Caller,
  input: Input,
  init: RequestInit | undefined,
  defaults: CallDefaults,
): Promise<Answer> {
  const request = input instanceof Request ? input : undefined;
  const { path, query } = locate(request?.url ?? String(input));
  const signal: unknown = init?.signal ?? request?.signal ?? undefined;
  const given = init?.headers ?? request?.headers;
  const headers = given instanceof Headers ? given : new Headers(given);
  const body = init?.body ?? request?.body ?? undefined;
  if (signal !== undefined && !isCallSignal(signal)) return errorAnswer(invalidSignal());
  let content: FetchBody;
  try {
    content = readBody(body);
  } catch (error) {
    signal?.throwIfAborted();
    return errorAnswer(asRouterError(error));
  }
  const answer = await dispatcher.dispatch(caller, {
    method: (init?.method ?? request?.method ?? 'GET').toUpperCase(),
    path,
    query,
    headers:
      content.contentType === undefined || headers.has('content-type')
        ? headers
        : typed(headers, content.contentType),
    ...(content.body === undefined ? {} : { body: content.body }),
    ...(content.length === undefined ? {} : { length: content.length }),
    ...(signal === undefined ? {} : { signal }),
    ...defaults,
  });
  // The SDK would try again what has been tried again here.
  return { ...answer, headers: { ...answer.headers, 'x-should-retry': 'false' } };
}

/** @throws RouterError `invalid_request` for any origin but our own */
function locate(url: string): { path: string; query: URLSearchParams } {
  // Nearly every call: a path of characters that a URL parser leaves as they are.
  const path = url.startsWith(origin) ? url.slice(origin.length) : '';
  if (/^\/[\w/-]+$/.test(path)) return { path, query: new URLSearchParams() };
  const absolute = url.startsWith('/') ? origin + url : url;
  const parsed = parseUrl(absolute);
  if (parsed?.origin !== origin || parsed.username !== '' || parsed.password !== '') {
    throw new RouterError('invalid_request', `This fetch answers to ${teamBaseUrl} only.`, { param: 'url' });
  }
  return { path: parsed.pathname, query: parsed.searchParams };
}

function isCallSignal(signal: unknown): signal is CallSignal {
  if (signal instanceof AbortSignal) return true;
  if (typeof signal !== 'object' || signal === null) return false;
  const { aborted, addEventListener, removeEventListener, throwIfAborted } = signal as Partial<CallSignal>;
  const methods = [addEventListener, removeEventListener, throwIfAborted];
  return typeof aborted === 'boolean' && methods.every((method) => typeof method === 'function');
}

function invalidSignal(): RouterError {
  const message = 'signal: must be an AbortSignal. Pass the `signal` of an AbortController.';
  return new RouterError('invalid_request', message, { param: 'signal' });
}

function typed(headers: Headers, contentType: string): Headers {
  const copy = new Headers(headers);
  copy.set('content-type', contentType);
  return copy;
}
