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
import { markTold } from './refusal-log.ts';

type Result = Principal | undefined | null;

/**
 * Authenticates a request by the application's own session or token. `undefined` and `null` refuse the request.
 *
 * @param context `incoming` is Node's request (so `incoming.session` is there), `fastify` Fastify's
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
  // No default: every end user would be a model manager otherwise.
  keyType,
  models: callerModels.optional(),
  userId: z.string().min(1).max(256).nullish(),
});
const masterPrincipal = z.strictObject({
  master: z.literal(true),
  userId: z.string().min(1).max(256).nullish(),
});

/** Finds out whom a request speaks for: by the master key, or by a team key. */
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

/** By the master key, or by the application's own function. `answered` is what a header of the answer is so far. */
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

/** How long it takes tells nothing but the length. */
function comparison(masterKey: string | undefined): (key: string) => boolean {
  const master = masterKey === undefined ? undefined : Buffer.from(masterKey);
  return (key) => {
    const given = Buffer.from(key);
    return given.length === master?.length && timingSafeEqual(given, master);
  };
}

/** The application decides who calls, by a session or by a token: an API key is not what is missing. */
function notAuthenticated(): RouterError {
  return new RouterError(
    'invalid_api_key',
    'The request is not authenticated: its session or token is missing, unknown or expired.',
  );
}

/** Whatever it answers that is not exactly one team or the operator is nobody. */
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
    markTold(refusal);
    throw refusal;
  }
  const master = masterPrincipal.safeParse(answer);
  if (master.success) return asPrincipal(master.data);
  const team = teamPrincipal.safeParse(answer);
  if (team.success) return asPrincipal(team.data);
  if (answer === undefined || answer === null) throw notAuthenticated();
  const [issue] = team.error.issues;
  log.write('warn', { field: issue?.path.join('.') ?? '' }, 'authenticate gave an invalid answer');
  const refusal = notAuthenticated();
  markTold(refusal);
  throw refusal;
}

/** No `models` mean all of the team's. */
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

/** The headers that may carry a key, in the order in which they are read. */
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
