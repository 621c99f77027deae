import { APIError } from 'openai';
import { errorCodes, RouterError, type RouterErrorCode } from './errors.ts';

/**
 * An error of a call: an `APIError` of the OpenAI client with a code of this package.
 *
 * @example
 * ```ts
 * function isOverloaded(error: CallError): boolean {
 *   return error.code === 'overloaded' || error.code === 'rate_limit_exceeded';
 * }
 * ```
 */
export type CallError = APIError & { code: RouterErrorCode };

/** Codes of errors in a stream. They have no status, because the headers were already sent. */
const streamCodes: readonly string[] = [
  'provider_unreachable',
  'provider_timeout',
  'internal_error',
] satisfies RouterErrorCode[];

/**
 * Returns whether the router, and not the provider, created an error. Management calls throw a `RouterError`. Calls
 * throw an `OpenAI.APIError`. `error.code` narrows in one `switch` for both.
 *
 * @example
 * ```ts
 * try {
 *   await router.chatCompletion('acme', { model: 'unknown-model', messages });
 * } catch (error) {
 *   if (!isRouterError(error) || error.code !== 'model_not_found') throw error;
 *   console.log(error.message);
 * }
 * ```
 */
export function isRouterError(error: unknown): error is RouterError | CallError {
  if (RouterError.isInstance(error)) return true;
  const isOwn = error instanceof APIError;
  if (!isOwn && !isOtherAPIError(error)) return false;
  const { status, code, headers } = error as APIError;
  if (typeof code !== 'string' || !Object.hasOwn(errorCodes, code)) return false;
  // Only responses of a router have this header. A client of another version may also call other servers.
  if (!isOwn && !headers?.has('x-litellm-call-id')) return false;
  if (status === undefined) return streamCodes.includes(code);
  return headers?.get('x-litellm-error-source') !== 'provider';
}

/** Returns whether an error is an `APIError` of another copy of the `openai` package. */
function isOtherAPIError(error: unknown): boolean {
  return (
    error instanceof Error && 'requestID' in error && 'headers' in error && error.headers instanceof Headers
  );
}
