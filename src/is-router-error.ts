import { APIError } from 'openai';
import { errorCodes, RouterError, type RouterErrorCode } from './errors.ts';

/** An error of a call: the OpenAI client's own class, with a code of ours. */
export type CallError = APIError & { code: RouterErrorCode };

/** A stream that has begun has no status left to give: its errors carry one of these codes alone. */
const streamCodes: readonly string[] = [
  'provider_unreachable',
  'provider_timeout',
  'internal_error',
] satisfies RouterErrorCode[];

/**
 * Whether the router made this error: a `RouterError` of the management calls, or an `OpenAI.APIError` of a call
 * that the router, and not the provider, answered. Either way `error.code` narrows in one `switch`.
 */
export function isRouterError(error: unknown): error is RouterError | CallError {
  if (RouterError.isInstance(error)) return true;
  const isOwn = error instanceof APIError;
  if (!isOwn && !isOtherAPIError(error)) return false;
  const { status, code, headers } = error as APIError;
  if (typeof code !== 'string' || !Object.hasOwn(errorCodes, code)) return false;
  // Only an answer of a router has this header, and a client of another version may call others as well.
  if (!isOwn && !headers?.has('x-litellm-call-id')) return false;
  if (status === undefined) return streamCodes.includes(code);
  return headers?.get('x-litellm-error-source') !== 'provider';
}

/** Whether it is an `APIError` of another openai than the one that the router imports. */
function isOtherAPIError(error: unknown): boolean {
  return (
    error instanceof Error && 'requestID' in error && 'headers' in error && error.headers instanceof Headers
  );
}
