import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { AnswerMeaning } from './answer-meanings.ts';
import { classifyAnswer } from './classify-answer.ts';
import { labelOf } from './content-kind.ts';
import type { SignedResponse } from './credentials.ts';
import { failureStatus, holdsContent } from './error-words.ts';
import { typesOf } from './passed-headers.ts';

/**
 * How a test call went.
 *
 * @example
 * ```ts
 * const result: TestResult = await router.testModel('acme', { id: modelId });
 * if (result.status !== 'ok') console.log(result.message);
 * ```
 */
export interface TestResult {
  /** `unknown`: the provider answered, and its answer does not tell whether the model can be called. */
  status:
    | 'ok'
    | 'key_rejected'
    | 'no_credit'
    | 'rate_limited'
    | 'deployment_not_found'
    | 'api_version_rejected'
    | 'unreachable'
    | 'timed_out'
    | 'address_not_allowed'
    | 'unknown';
  /** What it means and what to do, in the router's own words. */
  message: string;
  /**
   * The provider's own words, redacted, at most 512 characters. Only from a JSON error of a host that is public or that the
   * operator named, because a team could read a network with the words of others.
   */
  provider_message?: string;
}

type Status = TestResult['status'];
type Told = readonly [status: Status, message: string];

const maxQuoted = 512;

const ok: Told = ['ok', 'The provider accepted the key and the model.'];
const refusedDetails: Told = [
  'ok',
  'The provider accepted the key and found the model. It refused the details of the test call.',
];
const unclear: Told = [
  'unknown',
  'The provider answered, but its answer does not tell whether the model works.',
];
const serverError: Told = ['unreachable', 'The provider answered with a server error. Try again later.'];
const page: Told = ['unreachable', 'The address answers with a web page and not as an API. Check api_base.'];
const notFound: Told = [
  'deployment_not_found',
  'The provider does not know this model or deployment, or the key may not use it. Check the model name and api_base.',
];

const told: Readonly<Record<AnswerMeaning, Told>> = {
  success: ok,
  key_rejected: ['key_rejected', 'The provider rejected the credential. Enter a valid one.'],
  key_lacks_permission: ['key_rejected', 'The provider refused the credential: it lacks a permission.'],
  quota_exhausted: [
    'no_credit',
    "The account has no credit or quota left. Check the provider's billing page.",
  ],
  rate_limited: ['rate_limited', 'The account is at its rate limit. Try again later.'],
  overloaded: ['unknown', 'The provider has no capacity at the moment. Try again later.'],
  model_not_found: notFound,
  deployment_not_found: notFound,
  api_version_rejected: ['api_version_rejected', 'The provider rejected the API version. Check api_version.'],
  wrong_endpoint: [
    'deployment_not_found',
    'The address has no such endpoint. Check api_base and model_info.mode.',
  ],
  wrong_operation_for_model: [
    'unknown',
    'The model does not take this kind of call. Set model_info.mode to what the model is for.',
  ],
  region_blocked: ['unknown', "The provider does not serve the router's network or region."],
  content_refused: refusedDetails,
  context_too_long: refusedDetails,
  bad_request: refusedDetails,
  not_an_api: page,
  unknown: unclear,
};

/** Modes whose test call is refused on purpose, because each answer would cost money. */
const refusedModes: ReadonlySet<string> = new Set([
  'image_generation',
  'audio_speech',
  'audio_transcription',
]);
/** Reads the answer to a test call. @param mayQuote the provider's words may be shown */
export function readTestAnswer(
  deployment: Deployment,
  { status, headers, tokens }: SignedResponse,
  body: Buffer,
  mayQuote: boolean,
): TestResult {
  if (status < 200 || (status >= 300 && status < 400))
    return result([
      'unreachable',
      'The address answered with a redirect, which is not followed. Check api_base.',
    ]);
  const quote = (words: string | undefined) =>
    words === undefined || !mayQuote ? undefined : deployment.redactor(tokens).text(words);
  const value = status < 300 ? parsed(body) : undefined;
  const own = isObject(value) ? failureStatus(value) : undefined;
  const { meaning, message } = classifyAnswer({
    status: own !== undefined && own < 500 ? own : status,
    headers,
    body,
  });
  if (status >= 300 || meaning !== 'success')
    return result(readRefusal(deployment, status, meaning), quote(message));
  if (labelOf(typesOf(headers)) === 'page') return result(page);
  const answered =
    deployment.mode === 'audio_speech'
      ? isAudio(typesOf(headers), body)
      : isObject(value) && holdsAnswer(deployment.mode, value);
  if (answered && status <= 201) return result(ok);
  return isObject(value) && holdsContent(value) ? result(unclear) : explained(headers, body, quote);
}

/**
 * Reads what came under a success and is not the answer of the mode. Its words decide if they say what is wrong, although nothing else
 * says that it is an error.
 */
function explained(
  headers: SignedResponse['headers'],
  body: Buffer,
  quote: (words: string | undefined) => string | undefined,
): TestResult {
  const { meaning, message } = classifyAnswer({ status: 500, headers, body });
  const [status] = told[meaning];
  return result(status === 'ok' ? unclear : told[meaning], quote(message));
}

function holdsAnswer(mode = 'chat', value: Fields): boolean {
  const entries = (list: unknown, ...names: string[]) =>
    Array.isArray(list) && isObject(list[0]) && names.some((name) => hasValue((list[0] as Fields)[name]));
  const { choices, data, output, results, text, status = 'completed' } = value;
  switch (mode) {
    case 'embedding':
      return entries(data, 'embedding');
    case 'image_generation':
      return entries(data, 'b64_json', 'url');
    case 'moderation':
      return entries(results, 'categories', 'category_scores', 'flagged');
    case 'responses':
      return Array.isArray(output) && (status === 'completed' || status === 'incomplete');
    case 'audio_transcription':
      return typeof text === 'string';
    case 'completion':
      return isEmptyList(choices) || entries(choices, 'text');
    default:
      return isEmptyList(choices) || entries(choices, 'message');
  }
}

/** Providers label speech as audio or as bytes of no type. An error's text is neither, whatever its label. */
function isAudio(types: readonly string[], body: Buffer): boolean {
  const beginning = body.subarray(0, 512);
  const isText = beginning.every((byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 0x09 && byte <= 0x0d));
  return body.length > 0 && !isText && (labelOf(types) === 'other' || /^audio\//i.test(types[0] ?? ''));
}

function readRefusal({ mode = 'chat' }: Deployment, status: number, meaning: AnswerMeaning): Told {
  if (status === 408 || status === 504)
    return ['timed_out', 'The provider did not answer in time. Try again later.'];
  if (status >= 500 && (meaning === 'unknown' || meaning === 'overloaded')) return serverError;
  if (meaning === 'unknown' && status === 404) return notFound;
  if (meaning !== 'bad_request') return told[meaning];
  // Some servers judge a body's form before they look at the key.
  return status === 400 || (refusedModes.has(mode) && status > 400) ? refusedDetails : unclear;
}

/** Says how a test call failed that got no answer. @throws what is the router's own fault */
export function testFailure(error: unknown): TestResult {
  if (!RouterError.isInstance(error))
    return result(['unreachable', 'The connection broke off. Check api_base.']);
  switch (error.code) {
    case 'egress_denied':
      return result(addressNotAllowed);
    case 'provider_timeout':
      return result([
        'timed_out',
        'The provider did not answer in time. Check api_base, or try again later.',
      ]);
    case 'provider_authentication_failed':
      return result(told.key_rejected);
    case 'provider_unreachable':
      return result(['unreachable', 'The address cannot be reached. Check api_base.']);
    default:
      throw error;
  }
}

const addressNotAllowed: Told = [
  'address_not_allowed',
  'The address may not be connected to. Check api_base.',
];

/** The result for an address that the egress policy refuses. */
export const notAllowed: TestResult = Object.freeze(result(addressNotAllowed));

function result([status, message]: Told, words?: string): TestResult {
  const quoted = words
    ?.replace(/[\p{Cc}\s]+/gu, ' ')
    .slice(0, maxQuoted)
    .toWellFormed()
    .trim();
  return { status, message, ...(quoted !== undefined && quoted !== '' && { provider_message: quoted }) };
}

type Fields = Record<string, unknown>;

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function hasValue(value: unknown): boolean {
  return value !== undefined && value !== null && !isEmptyList(value);
}

function parsed(body: Buffer): unknown {
  try {
    // Some servers begin their JSON with a byte order mark.
    return JSON.parse(body.toString('utf8').replace(/^\ufeff/, ''));
  } catch {
    return undefined;
  }
}
