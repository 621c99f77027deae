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

/** What a single call adds travels in the fetch options, under keys that nobody else can know. */
const callKey = Symbol('call');
const callerKey = Symbol('caller');
/** The error of a call whose options are at fault. */
const faultKey = Symbol('fault');

type PrivateInit = RequestInit & {
  [callKey]?: CallDefaults;
  [callerKey]?: Caller;
  [faultKey]?: RouterError;
};

/** The longest timer of Node. The client's own timeout would lose the code of the router's error. */
const maxTimerMs = 2_147_483_647;

/** Not set, and zero to the client's own retries, which are the dispatcher's to make. */
const unsetRetries = -0;

/**
 * A real `OpenAI` client without a key or an address of its own. The environment of the host (OPENAI_API_KEY,
 * OPENAI_BASE_URL, OPENAI_CUSTOM_HEADERS ...) shows neither in it nor in its requests.
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
    // The one variable that no option keeps out: OPENAI_CUSTOM_HEADERS was merged into these.
    this._options.defaultHeaders = options.defaultHeaders;
    this.#send = options.fetch;
  }

  /** Hands `timeout` and `maxRetries`, of the call or of the client, to the dispatcher. */
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
    // A timeout that `prepareOptions` did not take is one that the client refuses.
    const own = this.baseURL === teamBaseUrl && changed === undefined && options.timeout === maxTimerMs;
    const fast = own ? fastRequest(options, teamBaseUrl) : undefined;
    return fast ?? super.buildRequest(options, retry);
  }

  /** The dispatcher keeps the time, and a response that is no stream is cut off with its call. */
  override fetchWithTimeout(...call: Parameters<OpenAI['fetchWithTimeout']>): Promise<Response> {
    const [url, init] = call;
    return isWholeFastRequest(init) ? this.#send(url, init) : super.fetchWithTimeout(...call);
  }
}

/** A client of its own for one team: it is mutable, and whoever changes it changes nobody else's. */
export function makeTeamClient(dispatcher: Dispatcher, caller: Caller, options: TeamCallOptions): OpenAI {
  const defaults = callDefaults(options);
  return makeClient((input, init) =>
    leanFetch(dispatcher, caller, input as string, init, { ...defaults, ...init?.[callKey] }),
  );
}

/** The one client behind `chatCompletion`: never handed out, and told with each call whose it is. */
export function makeSharedClient(dispatcher: Dispatcher): OpenAI {
  return makeClient((input, init) => {
    const caller = init?.[callerKey];
    if (caller === undefined) throw new TypeError('A call without a caller.');
    return leanFetch(dispatcher, caller, input as string, init, init?.[callKey] ?? {});
  });
}

/**
 * The OpenAI client's options of a call, and the router's own.
 *
 * @example
 * ```ts
 * const options: CallOptions = { timeout: 20_000, maxRetries: 0, fallbacks: ['backup'] };
 * await router.chatCompletion('acme', { model: 'assistant', messages }, options);
 * ```
 */
export type CallOptions = OpenAI.RequestOptions & {
  /** Public names to go on to when the model fails, instead of the team's `fallbacks`; `[]` for none. */
  fallbacks?: readonly string[];
};

/** Every option of a call that the OpenAI clients 6 and 7 read, and the router's own. */
const callOptionNames = [
  'fallbacks',
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

/** Returns the error for an option that no call has, such as a misspelt one. */
export function callOptionFault(options: object): RouterError | undefined {
  const name = Object.keys(options).find((each) => !callOptionNames.includes(each) && !each.startsWith('__'));
  if (name === undefined) return undefined;
  const near = nearest(name, callOptionNames);
  const shown = name.slice(0, 64);
  const message = `Unknown option ${shown}.${near === undefined ? '' : ` Did you mean ${near}?`}`;
  return new RouterError('invalid_request', message, { param: shown });
}

/** Returns request options that say whose call it is. The call rejects with `fault`, if there is one. */
export function asCaller(
  caller: Caller,
  options: CallOptions | undefined,
  fault?: RouterError,
): OpenAI.RequestOptions {
  const { fallbacks, ...rest } = options ?? {};
  const init: PrivateInit = { ...(rest.fetchOptions as PrivateInit | undefined), [callerKey]: caller };
  if (fallbacks !== undefined) init[callKey] = { fallbacks };
  if (fault !== undefined) init[faultKey] = fault;
  return { ...rest, fetchOptions: init as NonNullable<OpenAI.RequestOptions['fetchOptions']> };
}

type ClientFetch = (input: string | URL | Request, init?: PrivateInit) => Promise<Response>;

function makeClient(fetch: ClientFetch): OpenAI {
  // The client asks a fetch for its Response to learn whether forms can be uploaded.
  return new TeamClient({ fetch: Object.assign(fetch, { Response }) as NonNullable<ClientOptions['fetch']> });
}
