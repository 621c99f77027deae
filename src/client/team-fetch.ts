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

/** A host that cannot exist, so that a request that bypasses the dispatcher reaches no server. */
const origin = 'https://team-model-router.invalid';

/**
 * Base URL of `fetchFor`.
 *
 * @example
 * ```ts
 * const response = await router.fetchFor('acme')(`${teamBaseUrl}/models`);
 * ```
 */
export const teamBaseUrl: string = `${origin}/v1`;

type Input = string | URL | Request;

/** Options of a call that a standard request cannot contain. */
export type CallDefaults = Pick<
  Call,
  'defaultModel' | 'numRetries' | 'timeoutMs' | 'fallbacks' | 'tags' | 'userId'
>;

/**
 * Defaults for every call of a client or a fetch. Options of a call override them.
 *
 * @example
 * ```ts
 * const options: TeamCallOptions = { defaultModel: 'assistant', timeout: 20_000 };
 * const openai = router.forTeam('acme', options);
 * ```
 */
export interface TeamCallOptions {
  /** Public name for calls without a model, such as files and batches. */
  defaultModel?: string;
  /** Public names to try when the model fails, instead of the team's `fallbacks`; `[]`: none. */
  fallbacks?: readonly string[];
  /** Maximum number of attempts after the first one. */
  maxRetries?: number;
  /** Milliseconds until the first byte of the response, for all attempts together. */
  timeout?: number;
  /** Tags of every call, for receipts and usage events; at most 32. */
  tags?: readonly string[];
  /** The member of the team that calls, for receipts and usage events. */
  userId?: string;
}

const teamCallOptions = z.strictObject({
  defaultModel: defaultName.optional(),
  fallbacks: fallbackNames.readonly().optional(),
  maxRetries: z.int().nonnegative().optional(),
  timeout: z.number().positive().optional(),
  tags: z.array(z.string().min(1).max(256)).max(32).readonly().optional(),
  userId: z.string().min(1).max(256).optional(),
});

/**
 * Converts the options to those of the dispatcher.
 *
 * @throws RouterError `invalid_request` that names the invalid option
 */
export function callDefaults(options: TeamCallOptions): CallDefaults {
  const given = parseOptions(teamCallOptions, options);
  const { defaultModel, fallbacks, maxRetries: numRetries, timeout: timeoutMs, tags, userId } = given;
  return {
    ...(defaultModel === undefined ? {} : { defaultModel }),
    ...(fallbacks === undefined ? {} : { fallbacks }),
    ...(numRetries === undefined ? {} : { numRetries }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(tags === undefined ? {} : { tags }),
    ...(userId === undefined ? {} : { userId }),
  };
}

/** Creates a standard `fetch` whose requests go through the dispatcher on behalf of `caller`. */
export function teamFetch(dispatcher: Dispatcher, caller: Caller, defaults: CallDefaults): typeof fetch {
  return async (input, init) => {
    const request = input instanceof Request ? input : undefined;
    checkMethod(init?.method ?? request?.method ?? 'GET', init?.body);
    const signal = init?.signal ?? request?.signal;
    const answer = await answerTo(dispatcher, caller, input as Input, init, defaults);
    return wrapped(answer, (given) => toFetchResponse(given, isCallSignal(signal) ? signal : undefined));
  };
}

/**
 * Checks the method.
 *
 * @throws TypeError like `fetch`
 */
function checkMethod(method: string, body: unknown): void {
  if (body !== undefined && body !== null && /^(get|head)$/i.test(method))
    throw new TypeError(`body: must be absent for ${method.toUpperCase()}.`);
}

/** Sends a request of the OpenAI client, which reads less of a `Response`. */
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

/** Converts the answer to a response. Ends the answer if that fails, because no caller will read it. */
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
  // Prevents the SDK's retries, because the router has already retried.
  return { ...answer, headers: { ...answer.headers, 'x-should-retry': 'false' } };
}

/**
 * Returns the path and the query of a URL.
 *
 * @throws RouterError `invalid_request` for any origin other than that of `teamBaseUrl`
 */
function locate(url: string): { path: string; query: URLSearchParams } {
  // Fast path for a path that a URL parser leaves unchanged.
  const path = url.startsWith(origin) ? url.slice(origin.length) : '';
  if (/^\/[\w/-]+$/.test(path)) return { path, query: new URLSearchParams() };
  const absolute = url.startsWith('/') ? origin + url : url;
  const parsed = parseUrl(absolute);
  if (parsed?.origin !== origin || parsed.username !== '' || parsed.password !== '') {
    throw new RouterError('invalid_request', `url: must be below ${teamBaseUrl}.`, { param: 'url' });
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
