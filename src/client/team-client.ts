import { type ClientOptions, OpenAI } from 'openai';
import type { Dispatcher } from '../calls/dispatcher.ts';
import type { Caller } from '../calls/routing/resolve.ts';
import { nearest } from '../did-you-mean.ts';
import { RouterError } from '../errors.ts';
import { fastRequest, isWholeFastRequest } from './fast-request.ts';
import {
  type CallDefaults,
  callDefaults,
  leanFetch,
  type TeamCallOptions,
  teamBaseUrl,
} from './team-fetch.ts';

/** Key of the call's caller in the fetch options. A symbol, so that no other code can set it. */
const callKey = Symbol('call');
const callerKey = Symbol('caller');
/** Key of the error of a call with invalid options. */
const faultKey = Symbol('fault');

type PrivateInit = RequestInit & {
  [callKey]?: CallDefaults;
  [callerKey]?: Caller;
  [faultKey]?: RouterError;
};

/** The longest timer of Node. The client's own timeout would lose the code of the router's error. */
const maxTimerMs = 2_147_483_647;

/** Marks unset retries. It is zero for the client, because the dispatcher retries. */
const unsetRetries = -0;

/**
 * An `OpenAI` client without an API key and without a real base URL. Neither the client nor its requests use
 * the environment of the host (OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_CUSTOM_HEADERS ...).
 */
class TeamClient extends OpenAI {
  readonly #send: NonNullable<ClientOptions['fetch']>;

  constructor(options: ClientOptions & { fetch: NonNullable<ClientOptions['fetch']> }) {
    super({
      timeout: maxTimerMs,
      maxRetries: unsetRetries,
      ...options,
      apiKey: options.apiKey ?? 'team-model-router',
      adminAPIKey: null,
      organization: null,
      project: null,
      webhookSecret: null,
      logLevel: options.logLevel ?? 'off',
      baseURL: options.baseURL ?? teamBaseUrl,
    });
    // No option disables OPENAI_CUSTOM_HEADERS, so its headers are removed here.
    this._options.defaultHeaders = options.defaultHeaders;
    this.#send = options.fetch;
  }

  /** Passes `timeout` and `maxRetries`, of the call or of the client, to the dispatcher. */
  protected override async prepareOptions(options: Parameters<OpenAI['prepareOptions']>[0]): Promise<void> {
    await super.prepareOptions(options);
    const timeoutMs = options.timeout ?? this.timeout;
    const numRetries = options.maxRetries ?? this.maxRetries;
    const given = options.fetchOptions as PrivateInit | undefined;
    if (given?.[faultKey] !== undefined) throw given[faultKey];
    const settings: CallDefaults = { ...given?.[callKey] };
    if (Number.isInteger(timeoutMs) && timeoutMs > 0) {
      if (timeoutMs !== maxTimerMs) settings.timeoutMs = timeoutMs;
      options.timeout = maxTimerMs;
    }
    if (!Object.is(numRetries, unsetRetries)) settings.numRetries = numRetries;
    const init: PrivateInit = { ...given, [callKey]: settings };
    options.fetchOptions = init as NonNullable<typeof options.fetchOptions>;
  }

  override async buildRequest(
    options: Parameters<OpenAI['buildRequest']>[0],
    retry: Parameters<OpenAI['buildRequest']>[1],
  ): ReturnType<OpenAI['buildRequest']> {
    const { defaultHeaders, defaultQuery, fetchOptions } = this._options;
    const changed = defaultHeaders ?? defaultQuery ?? fetchOptions;
    // `prepareOptions` leaves an invalid timeout unchanged, so that the client rejects it.
    const own = this.baseURL === teamBaseUrl && changed === undefined && options.timeout === maxTimerMs;
    const fast = own ? fastRequest(options, teamBaseUrl) : undefined;
    return fast ?? super.buildRequest(options, retry);
  }

  /**
   * Skips the client's timer, because the dispatcher enforces the timeout and ends the response with its call.
   */
  override fetchWithTimeout(...call: Parameters<OpenAI['fetchWithTimeout']>): Promise<Response> {
    const [url, init] = call;
    return isWholeFastRequest(init) ? this.#send(url, init) : super.fetchWithTimeout(...call);
  }
}

/** Creates a separate client for one team, because an application may modify it. */
export function makeTeamClient(dispatcher: Dispatcher, caller: Caller, options: TeamCallOptions): OpenAI {
  const defaults = callDefaults(options);
  return makeClient((input, init) =>
    leanFetch(dispatcher, caller, input as string, init, { ...defaults, ...init?.[callKey] }),
  );
}

/**
 * Creates the shared client behind `chatCompletion`. It is never returned to an application, and each call
 * passes its caller.
 */
export function makeSharedClient(dispatcher: Dispatcher): OpenAI {
  return makeClient((input, init) => {
    const caller = init?.[callerKey];
    if (caller === undefined) throw new TypeError('caller: is required.');
    return leanFetch(dispatcher, caller, input as string, init, init?.[callKey] ?? {});
  });
}

/**
 * Options of a call: those of the OpenAI client, and those of the router.
 *
 * @example
 * ```ts
 * const options: CallOptions = { timeout: 20_000, maxRetries: 0, fallbacks: ['backup'] };
 * await router.chatCompletion('acme', { model: 'assistant', messages }, options);
 * ```
 */
export type CallOptions = OpenAI.RequestOptions & {
  /** Public names to try when the model fails, instead of the team's `fallbacks`; `[]`: none. */
  fallbacks?: readonly string[];
  /** Tags of the call, for receipts and usage events; at most 32. */
  tags?: readonly string[];
  /** The member of the team that calls, for receipts and usage events. */
  userId?: string;
};

/** Options of a call that the OpenAI clients 6 and 7 read, and those of the router. */
const callOptionNames = [
  'fallbacks',
  'tags',
  'userId',
  'maxRetries',
  'timeout',
  'signal',
  'headers',
  'query',
  'idempotencyKey',
  'fetchOptions',
  'method',
  'path',
  'body',
  'stream',
  'defaultBaseURL',
];

/** Returns the error for an unknown option of a call, such as a misspelt one. */
export function callOptionFault(options: object): RouterError | undefined {
  const name = Object.keys(options).find((each) => !callOptionNames.includes(each) && !each.startsWith('__'));
  if (name === undefined) return undefined;
  const near = nearest(name, callOptionNames);
  const shown = name.slice(0, 64);
  const message = `Unknown option ${shown}.${near === undefined ? '' : ` Did you mean ${near}?`}`;
  return new RouterError('invalid_request', message, { param: shown });
}

/** Returns request options with the caller of the call. The call rejects with `fault`, if present. */
export function asCaller(
  caller: Caller,
  options: CallOptions | undefined,
  fault?: RouterError,
): OpenAI.RequestOptions {
  const { fallbacks, tags, userId, ...rest } = options ?? {};
  const init: PrivateInit = { ...(rest.fetchOptions as PrivateInit | undefined), [callerKey]: caller };
  if (fallbacks !== undefined || tags !== undefined || userId !== undefined)
    init[callKey] = {
      ...(fallbacks !== undefined && { fallbacks }),
      ...(tags !== undefined && { tags }),
      ...(userId !== undefined && { userId }),
    };
  if (fault !== undefined) init[faultKey] = fault;
  return { ...rest, fetchOptions: init as NonNullable<OpenAI.RequestOptions['fetchOptions']> };
}

type ClientFetch = (input: string | URL | Request, init?: PrivateInit) => Promise<Response>;

function makeClient(fetch: ClientFetch): OpenAI {
  // The client reads `Response` of a fetch to find out whether it can upload forms.
  return new TeamClient({ fetch: Object.assign(fetch, { Response }) as NonNullable<ClientOptions['fetch']> });
}
