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
  if (!(error instanceof APIError) || typeof error.code !== 'string') return false;
  if (!Object.hasOwn(errorCodes, error.code)) return false;
  if (error.status === undefined) return streamCodes.includes(error.code);
  return error.headers?.get('x-litellm-error-source') !== 'provider';
}
