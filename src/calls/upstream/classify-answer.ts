import { decisiveCodes, meaningCodes } from './answer-codes.ts';
import {
  type AnswerMeaning,
  meaningWords,
  missingObject,
  requestWords,
  unverified,
} from './answer-meanings.ts';
import { type ErrorWords, errorWords } from './error-words.ts';
import { isAboutRequest, namesRequest } from './request-fault.ts';

/**
 * Whether another attempt may go better. `retry`: at any deployment. `retry-other`: under another key or at another address only.
 * `fail`: nowhere, because the request itself is at fault. `success`: there is nothing to retry.
 */
export type RetryDecision = 'success' | 'retry' | 'retry-other' | 'fail';

/**
 * What an attempt says of its deployment. `success`: a whole answer. `responsive`: it answers, whatever it says. `failure`.
 * `throttled`: its account takes no more for now.
 * `overloaded`: the provider takes no more for now. `ignored`: nothing, such as a caller's abort.
 */
export type HealthSignal = 'success' | 'responsive' | 'failure' | 'throttled' | 'overloaded' | 'ignored';

/** A provider's answer, or an error that came under a 200. */
export interface ProviderAnswer {
  /** The provider's own. */
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** As much as was read; a bounded part is looked at. */
  body: Uint8Array;
}

/** A provider's answer understood. */
export interface Classification {
  meaning: AnswerMeaning;
  decision: RetryDecision;
  /** Of a deployment that has siblings. */
  signal: HealthSignal;
  /** The answer judges the request, and the caller's own text may have decided the meaning: no evidence for other teams. */
  ofRequest?: true;
  /** The provider's own words, not redacted, if the answer has the form of a JSON error. */
  message?: string;
}

interface Found {
  meaning: AnswerMeaning;
  /** By a code that is the provider's own. */
  certain: boolean;
}

type Judgement = readonly [decision: RetryDecision, signal: HealthSignal];

const judgements: Readonly<Record<AnswerMeaning, Judgement>> = {
  success: ['success', 'success'],
  key_rejected: ['retry-other', 'failure'],
  key_lacks_permission: ['retry-other', 'responsive'],
  quota_exhausted: ['retry-other', 'throttled'],
  rate_limited: ['retry', 'throttled'],
  overloaded: ['retry', 'overloaded'],
  model_not_found: ['retry-other', 'responsive'],
  deployment_not_found: ['retry-other', 'responsive'],
  api_version_rejected: ['retry-other', 'responsive'],
  wrong_endpoint: ['retry-other', 'responsive'],
  region_blocked: ['retry-other', 'responsive'],
  not_an_api: ['retry-other', 'responsive'],
  wrong_operation_for_model: ['fail', 'responsive'],
  content_refused: ['fail', 'responsive'],
  context_too_long: ['fail', 'responsive'],
  bad_request: ['fail', 'responsive'],
  unknown: ['retry-other', 'responsive'],
};

/**
 * Classifies a provider's answer by its meaning: codes that cannot be mistaken, then words, then other codes, then the status. The
 * provider's `x-should-retry` decides between attempts, unless the account has no credit left.
 */
export function classifyAnswer(answer: ProviderAnswer): Classification {
  const { status, headers, body } = answer;
  const said = errorWords(body);
  const failed = status >= 400 || said.failed;
  const { meaning, certain }: Found = failed
    ? meaningOf(status, said)
    : { meaning: 'success', certain: true };
  const ofRequest = judgesRequest(status) && !certain;
  const [decision, signal] = judge(meaning, status, said, ofRequest);
  const result: Classification = { meaning, decision: obeyed(decision, meaning, headers), signal };
  if (ofRequest) result.ofRequest = true;
  if (failed && said.message !== undefined) result.message = said.message;
  return result;
}

/** Such a status says that the request is at fault, whatever else its answer says. */
function judgesRequest(status: number): boolean {
  return status === 400 || status === 404 || status === 413 || status === 422;
}

function judge(meaning: AnswerMeaning, status: number, { words }: ErrorWords, ofRequest: boolean): Judgement {
  // Waiting does not help a request that is larger than the limit itself, and it says nothing of smaller ones.
  if (meaning === 'rate_limited' && /request too large|must be reduced/.test(words))
    return ['retry-other', 'responsive'];
  if ((meaning === 'rate_limited' || meaning === 'overloaded') && ofRequest)
    return ['retry-other', 'responsive'];
  if (meaning === 'overloaded' && status === 429) return ['retry', 'throttled'];
  if (meaning === 'overloaded' && isGatewayFault(status)) return ['retry', 'failure'];
  if (meaning === 'unknown') return judgeUnknown(status);
  return judgements[meaning];
}

/** Returns whether a proxy says that it cannot reach the provider, or not in time: 502, 504, and Cloudflare's own. */
function isGatewayFault(status: number): boolean {
  return status === 502 || status === 504 || (status >= 520 && status <= 527);
}

/** Judges what no rule knows: final only if another attempt cannot help. */
function judgeUnknown(status: number): Judgement {
  if (status >= 500 || status < 400) return ['retry', 'failure'];
  if (status === 408 || status === 425) return ['retry', 'failure'];
  if (status === 409 || status === 499) return ['retry', 'responsive'];
  return judgements.unknown;
}

function obeyed(
  decision: RetryDecision,
  meaning: AnswerMeaning,
  headers: ProviderAnswer['headers'],
): RetryDecision {
  const asked = headers['x-should-retry'];
  if (decision === 'success') return decision;
  if (asked === 'true' && meaning !== 'quota_exhausted') return 'retry';
  return asked === 'false' && decision === 'retry' ? 'retry-other' : decision;
}

function meaningOf(status: number, said: ErrorWords): Found {
  if (said.shape === 'page') return { meaning: meaningOfPage(status), certain: false };
  const { codes, words } = said;
  const byCode = (table: typeof decisiveCodes) =>
    table.find(([, known]) => known.some((code) => codes.has(code)))?.[0];
  const decisive = byCode(decisiveCodes);
  if (decisive !== undefined && fits(decisive, status)) return { meaning: decisive, certain: true };
  const found = words === '' ? undefined : byWords(words);
  const meaning = found ?? byCode(meaningCodes);
  if (judgesRequest(status) || status < 400) {
    // Such an answer may repeat the caller's own words, so it decides nothing but that the request is at fault.
    if (missingObject.test(words)) return { meaning: 'unknown', certain: false };
    if (unverified.test(words)) return { meaning: 'key_lacks_permission', certain: false };
    if (isAboutRequest(said) && !isFinal(meaning)) return { meaning: 'bad_request', certain: false };
  }
  if (meaning !== undefined && fits(meaning, status)) return { meaning, certain: false };
  if (status < 400 && namesRequest(said)) return { meaning: 'bad_request', certain: false };
  return { meaning: meaningOfStatus(status, said), certain: false };
}

function byWords(words: string): AnswerMeaning | undefined {
  return meaningWords.find(([, pattern]) => pattern.test(words))?.[0];
}

/** Another attempt cannot help. */
function isFinal(meaning: AnswerMeaning | undefined): boolean {
  return meaning !== undefined && judgements[meaning][0] === 'fail';
}

/** A server error may be about the caller's request, but a 429 is not, whatever its words remind of. */
function fits(meaning: AnswerMeaning, status: number): boolean {
  if (status === 429)
    return meaning === 'quota_exhausted' || meaning === 'overloaded' || meaning === 'rate_limited';
  // A captive portal of a network asks for its own authentication.
  if (status === 511) return false;
  if (status === 401) return meaning !== 'wrong_endpoint' && meaning !== 'bad_request';
  return true;
}

function meaningOfPage(status: number): AnswerMeaning {
  if (status === 401) return 'key_rejected';
  if (status === 429) return 'rate_limited';
  return status >= 500 ? 'overloaded' : 'not_an_api';
}

function meaningOfStatus(status: number, said: ErrorWords): AnswerMeaning {
  const { shape, words } = said;
  switch (status) {
    case 400:
      return shape === 'json' && (namesRequest(said) || requestWords.test(words)) ? 'bad_request' : 'unknown';
    case 401:
    case 407:
      return 'key_rejected';
    case 402:
      return 'quota_exhausted';
    case 403:
      return shape === 'json' ? 'key_lacks_permission' : 'unknown';
    case 404:
      if (words === '') return 'wrong_endpoint';
      return words.includes('model') ? 'model_not_found' : 'unknown';
    case 405:
      return 'wrong_endpoint';
    case 410:
      return 'model_not_found';
    case 411:
    case 414:
    case 415:
    case 416:
    case 422:
    case 428:
    case 431:
      return 'bad_request';
    case 413:
      return 'context_too_long';
    case 429:
      return 'rate_limited';
    case 451:
      return 'region_blocked';
    // Groq's: the flexible tier has no capacity.
    case 498:
      return 'overloaded';
    case 501:
    case 505:
      return 'wrong_endpoint';
    default:
      return status >= 502 ? 'overloaded' : 'unknown';
  }
}
