import type { cors } from 'hono/cors';
import { z } from 'zod';
import { isLogger, type Logger } from '../logger.ts';
import { parseOptions } from '../schemas/parse.ts';
import type { Authenticate } from './auth/authenticate.ts';

/**
 * Options of `createGateway`.
 *
 * @example
 * ```ts
 * const options: GatewayOptions = { masterKey, openapi: true, cors: { origin: 'https://app.example.com' } };
 * const gateway = createGateway(router, options);
 * ```
 */
export interface GatewayOptions {
  /** Key of the operator: 32 or more visible ASCII characters, no space. */
  masterKey?: string | undefined;
  /** Authenticates requests in place of team keys. */
  authenticate?: Authenticate | undefined;
  /** Prefix of all paths, such as `/llm`, if no mount removes it. */
  basePath?: string | undefined;
  /**
   * Maximum bytes of a call's body. Default 268 435 456 (256 MiB). The router's `maxJsonBytes` limits bodies
   * other than forms. A management body may have 1 MiB.
   */
  bodyLimit?: number | undefined;
  /** Milliseconds for which a request body may stall. Then the response is 408. Default 60 000. */
  bodyIdleMs?: number | undefined;
  /** Cross-site pages that may call: the options of Hono's CORS middleware. Default: none. */
  cors?: Parameters<typeof cors>[0];
  /** Whether `GET /openapi.json` describes the gateway. Default false. */
  openapi?: boolean | undefined;
  /** Receives errors of the gateway itself, like the router's `logger` for calls. Default: no logger. */
  logger?: Logger | undefined;
}

const gatewayOptions = z
  .strictObject({
    masterKey: z
      .string()
      .min(32, 'must have 32 characters or more')
      .regex(/^[\x21-\x7e]*$/, 'must be visible ASCII without spaces, because a header contains it')
      .regex(/^(?!["'`]).*(?<!["'`])$/, 'must be the key alone. Remove the quotation marks around it.')
      .optional(),
    authenticate: z
      .custom<Authenticate>((value) => typeof value === 'function', 'must be a function')
      .optional(),
    basePath: z
      .string()
      .regex(/^\/[A-Za-z0-9._~/-]*$/, 'must begin with / and be plain')
      .optional(),
    bodyLimit: z.int().positive().max(2_147_483_647).default(268_435_456),
    bodyIdleMs: z.int().positive().max(86_400_000).default(60_000),
    cors: z
      .custom<object>((value) => typeof value === 'object' && value !== null, 'must be an object')
      .optional(),
    openapi: z.boolean().default(false),
    logger: z.custom<Logger>(isLogger, 'must have the methods info, warn and error').optional(),
  })
  .refine(({ masterKey, authenticate }) => masterKey !== undefined || authenticate !== undefined, {
    path: ['masterKey'],
    message: 'is required, because a gateway needs a master key or authenticate',
    // Runs even if other options are invalid, so that one error lists all problems.
    when: () => true,
  });

/**
 * Checks the options and applies the defaults.
 *
 * @throws RouterError `invalid_request` that names the invalid option
 */
export function readGatewayOptions(given: GatewayOptions) {
  return parseOptions(gatewayOptions, given);
}
