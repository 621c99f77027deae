import { type Answer, asRouterError, errorAnswer } from '../../calls/answer.ts';
import { TooManyRequests } from './rate-limit.ts';

export function jsonAnswer(status: number, value: unknown): Answer {
  const body = Buffer.from(JSON.stringify(value));
  return { status, headers: { 'content-type': 'application/json' }, body };
}

/** Converts an error to the one error response shape. An unexpected error reveals no details. */
export function failure(error: unknown): Answer {
  const known = asRouterError(error);
  const answer = errorAnswer(known);
  if (known.status === 401) answer.headers['www-authenticate'] = 'Bearer';
  if (known instanceof TooManyRequests) answer.headers['retry-after'] = String(known.retryAfterSeconds);
  return answer;
}
