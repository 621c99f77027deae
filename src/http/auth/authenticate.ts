import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { describeError, type Log } from '../../logger.ts';
import type { TeamModelRouter } from '../../router.ts';
import { keyType, teamId } from '../../schemas/bodies.ts';
import { callerModels, storedNames } from '../../schemas/names.ts';
import { invalidKey } from '../../teams/key-verifier.ts';
import type { Principal } from '../../teams/principal.ts';
import type { NodeBindings } from '../messages/bindings.ts';
import { type HeaderReader, headersOf } from '../messages/request-headers.ts';
import { refuseCrossSite } from './cross-site.ts';
import { markLogged } from './refusal-log.ts';

type Result = Principal | undefined | null;

/**
 * Authenticates a request by the application's own session or token. `undefined` and `null` reject the request.
 *
 * @param context `incoming` is Node's request, such as for `incoming.session`; `fastify` is Fastify's
 *
 * @example
 * ```ts
 * const authenticate: Authenticate = (request) =>
 *   request.headers.get('x-user') === 'alice' ? { teamId: 'acme', keyType: 'llm_api' } : undefined;
 * const gateway = createGateway(router, { authenticate });
 * ```
 */
export type Authenticate = (
  request: Request,
  context: Pick<NodeBindings, 'incoming' | 'fastify'>,
) => Result | Promise<Result>;

const teamPrincipal = z.strictObject({
  master: z.literal(false).optional(),
  teamId,
  // No default, because it would make every end user a model manager.
  keyType,
  models: callerModels.optional(),
  userId: z.string().min(1).max(256).nullish(),
});
const masterPrincipal = z.strictObject({
  master: z.literal(true),
  userId: z.string().min(1).max(256).nullish(),
});

/** Creates a function that authenticates a request by the master key or by a team key. */
export function createKeyAuthenticator(
  router: TeamModelRouter,
  masterKey: string | undefined,
): (headers: HeaderReader) => Principal | Promise<Principal> {
  const isMaster = comparison(masterKey);
  return (headers) => {
    const key = keyOf(headers);
    if (key === undefined) throw invalidKey();
    return isMaster(key) ? { master: true } : router.verifyKey(key);
  };
}

/**
 * Creates a function that authenticates a request by the master key or by the application's function.
 * `answered` reads the response headers that are set so far.
 */
export function createSessionAuthenticator(
  authenticate: Authenticate,
  masterKey: string | undefined,
  log: Log,
): (
  request: Request,
  bindings: NodeBindings,
  answered: (header: string) => unknown,
) => Principal | Promise<Principal> {
  const isMaster = comparison(masterKey);
  return (request, bindings, answered) => {
    const key = keyOf(headersOf(request, bindings));
    if (key !== undefined && isMaster(key)) return { master: true };
    refuseCrossSite(request, answered);
    return ask(authenticate, request, bindings, log);
  };
}

/** Creates a comparison with the master key. Its time reveals only the length of the key. */
function comparison(masterKey: string | undefined): (key: string) => boolean {
  const master = masterKey === undefined ? undefined : Buffer.from(masterKey);
  return (key) => {
    const given = Buffer.from(key);
    return given.length === master?.length && timingSafeEqual(given, master);
  };
}

/**
 * Returns the error of a request without a valid session or token. Does not ask for an API key, because the
 * application decides who calls.
 */
function notAuthenticated(): RouterError {
  return new RouterError(
    'invalid_api_key',
    'The request is not authenticated: its session or token is missing, unknown or expired.',
  );
}

/** Calls the application's function. Rejects any result other than exactly one team or the operator. */
async function ask(
  authenticate: Authenticate,
  request: Request,
  { incoming, fastify }: NodeBindings,
  log: Log,
): Promise<Principal> {
  let answer: unknown;
  try {
    answer = await authenticate(request, { incoming, fastify });
  } catch (error) {
    log.write('warn', { error: describeError(error) }, 'authenticate threw');
    const refusal = notAuthenticated();
    markLogged(refusal);
    throw refusal;
  }
  const master = masterPrincipal.safeParse(answer);
  if (master.success) return asPrincipal(master.data);
  const team = teamPrincipal.safeParse(answer);
  if (team.success) return asPrincipal(team.data);
  if (answer === undefined || answer === null) throw notAuthenticated();
  const [issue] = team.error.issues;
  log.write('warn', { field: issue?.path.join('.') ?? '' }, 'authenticate returned an invalid result');
  const refusal = notAuthenticated();
  markLogged(refusal);
  throw refusal;
}

/** Converts the application's result. Absent `models` mean all of the team's models. */
function asPrincipal({ models, userId, ...fields }: Answered): Principal {
  const names = storedNames(models);
  return {
    ...fields,
    ...(names === null ? {} : { models: names }),
    ...(userId === null || userId === undefined ? {} : { userId }),
  } as Principal;
}

interface Answered {
  models?: readonly string[] | undefined;
  userId?: string | null | undefined;
}

/** The headers that may contain a key, in the order in which they are read. */
const keyHeaders = [
  'authorization',
  // Clients of Azure, of Anthropic, of LiteLLM, of Google, and of Azure API Management.
  'api-key',
  'x-api-key',
  'x-litellm-api-key',
  'x-goog-api-key',
  'ocp-apim-subscription-key',
] as const;

/**
 * Returns the key of a request, which every header may carry with or without `Bearer`. The first header that is not empty
 * decides, and a bare `Bearer` counts as empty. An `Authorization` of another scheme counts as no key.
 */
function keyOf(headers: HeaderReader): string | undefined {
  for (const name of keyHeaders) {
    const found = readKey(headers, name);
    if (found !== undefined) return found.key;
  }
  return undefined;
}

/** Returns `undefined` if the header is absent or empty. */
function readKey(headers: HeaderReader, name: string): { key: string | undefined } | undefined {
  const value = headers.get(name);
  if (value === null || /^ *(bearer *)?$/i.test(value)) return undefined;
  return { key: /^ *(?:bearer +)?(\S+) *$/i.exec(value)?.[1] };
}
