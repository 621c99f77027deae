import {
  type AnswerMeaning,
  decisiveCodes,
  meaningCodes,
  meaningWords,
  requestCodes,
} from './answer-meanings.ts';
import { type ErrorWords, errorWords } from './error-words.ts';

/**
 * Whether another attempt may go better. `retry`: at any deployment. `retry-other`: under another key or at another address only.
 * `fail`: nowhere, because the request itself is at fault. `success`: there is nothing to retry.
 */
export type RetryDecision = 'success' | 'retry' | 'retry-other' | 'fail';

/**
 * What an attempt says of its deployment. `success`: a whole answer. `responsive`: it answers, whatever it says. `failure`.
 * `throttled`: its account takes no more for now. `ignored`: nothing, such as a caller's abort.
 */
export type HealthSignal = 'success' | 'responsive' | 'failure' | 'throttled' | 'ignored';

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
  /** The provider's own words, not redacted, if the answer has the form of a JSON error. */
  message?: string;
}

type Judgement = readonly [decision: RetryDecision, signal: HealthSignal];

const judgements: Readonly<Record<AnswerMeaning, Judgement>> = {
  success: ['success', 'success'],
  key_rejected: ['retry-other', 'failure'],
  key_lacks_permission: ['retry-other', 'responsive'],
  quota_exhausted: ['retry-other', 'throttled'],
  rate_limited: ['retry', 'throttled'],
  overloaded: ['retry', 'failure'],
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
  const meaning = failed ? meaningOf(status, said) : 'success';
  const [decision, signal] = judge(meaning, status, said);
  const result: Classification = { meaning, decision: obeyed(decision, meaning, headers), signal };
  return said.message === undefined || !failed ? result : { ...result, message: said.message };
}

function judge(meaning: AnswerMeaning, status: number, { words }: ErrorWords): Judgement {
  // Waiting does not help a request that is larger than the limit itself, and it says nothing of smaller ones.
  if (meaning === 'rate_limited' && /request too large|must be reduced/.test(words))
    return ['retry-other', 'responsive'];
  if (meaning === 'overloaded' && status === 429) return ['retry', 'throttled'];
  if (meaning === 'unknown') return judgeUnknown(status);
  return judgements[meaning];
}

/** Nobody foresaw it: final only where another attempt cannot help. */
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

function meaningOf(status: number, said: ErrorWords): AnswerMeaning {
  if (said.shape === 'page') return meaningOfPage(status);
  const { codes, words } = said;
  const byCode = (table: typeof decisiveCodes) =>
    table.find(([, known]) => known.some((code) => codes.has(code)))?.[0];
  const found =
    byCode(decisiveCodes) ??
    (words === '' ? undefined : meaningWords.find(([, pattern]) => pattern.test(words))?.[0]) ??
    byCode(meaningCodes);
  if (found !== undefined && fits(found, status)) return found;
  if (status < 400 && [...codes].some((code) => requestCodes.has(code))) return 'bad_request';
  return meaningOfStatus(status, said);
}

/** A server error may be about the caller's request, but a 429 is not, whatever its words remind of. */
function fits(meaning: AnswerMeaning, status: number): boolean {
  if (status === 429)
    return meaning === 'quota_exhausted' || meaning === 'overloaded' || meaning === 'rate_limited';
  if (status === 401) return meaning !== 'wrong_endpoint' && meaning !== 'bad_request';
  return true;
}

function meaningOfPage(status: number): AnswerMeaning {
  if (status === 401) return 'key_rejected';
  if (status === 429) return 'rate_limited';
  return status >= 500 ? 'overloaded' : 'not_an_api';
}

function meaningOfStatus(status: number, { shape, words }: ErrorWords): AnswerMeaning {
  switch (status) {
    case 400:
      return shape === 'json' && words !== '' ? 'bad_request' : 'unknown';
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
