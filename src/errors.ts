import { redactCredentials } from './redact/credential-patterns.ts';

/**
 * Every error code of this package, with its HTTP status and the `type` of OpenAI's error body.
 *
 * @example
 * ```ts
 * const { status, type } = errorCodes.model_not_found; // 404, 'invalid_request_error'
 * ```
 */
export const errorCodes = {
  invalid_request: { status: 400, type: 'invalid_request_error' },
  api_base_not_allowed: { status: 400, type: 'invalid_request_error' },
  api_key_required: { status: 400, type: 'invalid_request_error' },
  stateful_on_shared: { status: 400, type: 'invalid_request_error' },
  invalid_api_key: { status: 401, type: 'authentication_error' },
  team_blocked: { status: 403, type: 'permission_error' },
  key_blocked: { status: 403, type: 'permission_error' },
  permission_denied: { status: 403, type: 'permission_error' },
  model_not_found: { status: 404, type: 'invalid_request_error' },
  team_not_found: { status: 404, type: 'invalid_request_error' },
  key_not_found: { status: 404, type: 'invalid_request_error' },
  not_found: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  conflict: { status: 409, type: 'invalid_request_error' },
  already_exists: { status: 409, type: 'invalid_request_error' },
  request_too_large: { status: 413, type: 'invalid_request_error' },
  provider_authentication_failed: { status: 424, type: 'provider_error' },
  rate_limit_exceeded: { status: 429, type: 'rate_limit_error' },
  internal_error: { status: 500, type: 'server_error' },
  corrupt_record: { status: 500, type: 'server_error' },
  credential_unreadable: { status: 500, type: 'server_error' },
  egress_denied: { status: 502, type: 'provider_error' },
  provider_unreachable: { status: 502, type: 'provider_error' },
  no_healthy_deployment: { status: 503, type: 'server_error' },
  overloaded: { status: 503, type: 'server_error' },
  draining: { status: 503, type: 'server_error' },
  storage_unavailable: { status: 503, type: 'server_error' },
  provider_timeout: { status: 504, type: 'provider_error' },
} as const satisfies Record<string, { status: number; type: string }>;

/**
 * A code of this package. Codes are stable.
 *
 * @example
 * ```ts
 * const retryable: RouterErrorCode[] = ['rate_limit_exceeded', 'overloaded', 'no_healthy_deployment'];
 * ```
 */
export type RouterErrorCode = keyof typeof errorCodes;

/**
 * The body of every error, in-process and over HTTP. It has the format of OpenAI's errors.
 *
 * @example
 * ```ts
 * const response = await router.fetchFor('acme')(`${teamBaseUrl}/models/unknown`);
 * const { error } = (await response.json()) as ErrorBody;
 * console.log(error.code);
 * ```
 */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string };
}

const marker = Symbol.for('team-model-router.error');

/**
 * An error of this package. Redacts credentials in its message, `param` and `hint`.
 *
 * `code` is stable and narrows in a `switch`. `status` is the HTTP status of the code. `param` is the path of the
 * invalid field. `retryAfter` is a number of seconds. `hint` is advice for the operator, for the log.
 *
 * @example
 * ```ts
 * try {
 *   await router.addModel('acme', body, { unique: true });
 * } catch (error) {
 *   if (!RouterError.isInstance(error) || error.code !== 'already_exists') throw error;
 *   console.log(error.message);
 * }
 * ```
 */
export class RouterError extends Error {
  override readonly name: string = 'RouterError';
  readonly code: RouterErrorCode;
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly retryAfter: number | undefined;
  /** Advice for the operator. It is logged and never sent to a client. */
  readonly hint: string | undefined;
  readonly [marker] = true;

  constructor(
    code: RouterErrorCode,
    message: string,
    options: { param?: string; cause?: unknown; retryAfter?: number; hint?: string } = {},
  ) {
    super(redactCredentials(message), 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = errorCodes[code].status;
    this.type = errorCodes[code].type;
    this.param = options.param === undefined ? null : redactCredentials(options.param);
    this.retryAfter = options.retryAfter;
    this.hint = options.hint === undefined ? undefined : redactCredentials(options.hint);
  }

  /** Returns whether a value is a `RouterError` of any loaded copy of this package, ESM or CJS. */
  static isInstance(error: unknown): error is RouterError {
    return typeof error === 'object' && error !== null && (error as { [marker]?: unknown })[marker] === true;
  }

  toJSON(): ErrorBody {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } };
  }
}

/** Returns whether the storage was unavailable. The operation may still have been applied. */
export function isUnavailable(error: unknown): boolean {
  return RouterError.isInstance(error) && error.code === 'storage_unavailable';
}
