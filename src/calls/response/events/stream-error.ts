import type { AnswerMeaning } from '../../upstream/answer-meanings.ts';
import { type Classification, classifyAnswer, type ProviderAnswer } from '../../upstream/classify-answer.ts';
import { failureStatus } from '../../upstream/error-words.ts';

/** An error that a provider reported by an event of a stream. */
export interface StreamError {
  /** The HTTP status of the error: its own, or that of its meaning. */
  status: number;
  judged: Classification;
}

/** Returns the body of the error that an event reports, in OpenAI's shape; `undefined` if it reports none. */
export function errorInEvent(type: string, data: string | undefined): Buffer | undefined {
  const value = objectOf(data);
  if (value === undefined) return type === 'error' ? bodyOf({ message: data ?? '' }) : undefined;
  const { response, choices } = value as { response?: { error?: unknown }; choices?: unknown };
  const inner = [value, response, ...(Array.isArray(choices) ? choices : [])].find((part) =>
    tellsOf(part?.error),
  );
  if (inner !== undefined) return bodyOf(inner.error);
  const named =
    value.type === 'error' || value.object === 'error' || value.type === 'response.failed' || isDetail(value);
  return named || type === 'error' || failureStatus(value) !== undefined ? bodyOf(value) : undefined;
}

/** Returns whether an event is an error of FastAPI, which has nothing else than `detail`. */
export function isDetail(value: Record<string, unknown>): boolean {
  const [name, ...others] = Object.keys(value);
  return name === 'detail' && others.length === 0 && value.detail !== null && value.detail !== '';
}

/** Classifies an error event by its own status, or as an error that came under a success. */
export function classifyEvent(body: Buffer, { status, headers }: Omit<ProviderAnswer, 'body'>): StreamError {
  const own = ownStatus(body);
  const judged = classifyAnswer({ status: own ?? status, headers, body });
  return { status: own ?? statuses[judged.meaning] ?? 502, judged };
}

const statuses: Partial<Record<AnswerMeaning, number>> = {
  key_rejected: 401,
  key_lacks_permission: 403,
  quota_exhausted: 429,
  rate_limited: 429,
  overloaded: 503,
  model_not_found: 404,
  deployment_not_found: 404,
  content_refused: 400,
  context_too_long: 400,
  bad_request: 400,
};

function tellsOf(error: unknown): boolean {
  if (typeof error === 'string') return error !== '';
  return typeof error === 'object' && error !== null && Object.keys(error).length > 0;
}

function bodyOf(error: unknown): Buffer {
  const value = typeof error === 'string' ? { message: error } : error;
  try {
    return Buffer.from(JSON.stringify({ error: value }));
  } catch {
    // JSON.stringify throws for a value that is nested thousands of levels deep.
    return Buffer.from('{"error":{"message":""}}');
  }
}

function ownStatus(body: Buffer): number | undefined {
  const error = objectOf(body.toString())?.error as Record<string, unknown> | undefined;
  for (const name of ['code', 'status', 'status_code', 'http_code']) {
    const given = error?.[name];
    // Number() throws for some objects.
    const code = typeof given === 'number' || typeof given === 'string' ? Number(given) : Number.NaN;
    if (Number.isInteger(code) && code >= 400 && code <= 599) return code;
  }
  return undefined;
}

function objectOf(text: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
