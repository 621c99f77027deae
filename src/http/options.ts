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
  /** The operator's key: 32 characters or more, of those that a header carries; no space. */
  masterKey?: string | undefined;
  /** Who calls, in place of team keys. */
  authenticate?: Authenticate | undefined;
  /** A path that everything stands under, such as `/llm`, where nobody takes it off before. */
  basePath?: string | undefined;
  /**
   * Bytes that the body of a call may have. Default 268 435 456 (256 MiB). The router's `maxJsonBytes` bounds what is no form.
   * A management body may have 1 MiB.
   */
  bodyLimit?: number | undefined;
  /** Milliseconds for which the body of a request may stop. Then the request is answered 408. Default 60 000. */
  bodyIdleMs?: number | undefined;
  /** Which foreign pages may call: the options of Hono's CORS middleware. Default: none. */
  cors?: Parameters<typeof cors>[0];
  /** Whether `GET /openapi.json` describes the gateway. Default: no. */
  openapi?: boolean | undefined;
  /** Is told of what the gateway itself fails at, as the router's `logger` is of calls. Default: nobody is. */
  logger?: Logger | undefined;
}

const gatewayOptions = z
  .strictObject({
    masterKey: z
      .string()
      .min(32, 'must have 32 characters or more')
      .regex(/^[\x21-\x7e]*$/, 'must be visible ASCII without spaces, or no header could carry it')
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
    message: 'is required, because a gateway needs a master key or an authenticate of your own',
    // Also where other options are wrong: all is told in one error.
    when: () => true,
  });

/** Checks the options and fills in the defaults. @throws RouterError `invalid_request` that names the option at fault */
export function readGatewayOptions(given: GatewayOptions) {
  return parseOptions(gatewayOptions, given);
}
