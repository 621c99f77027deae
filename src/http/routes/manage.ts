import type { HonoRequest } from 'hono';
import type { z } from 'zod';
import type { Answer } from '../../calls/answer.ts';
import { RouterError } from '../../errors.ts';
import type { TeamModelRouter } from '../../router.ts';
import type { Principal } from '../../teams/principal.ts';
import { teamBlocked } from '../../teams/team-blocked.ts';
import { nextTick } from '../../tick-batch.ts';
import { objectKind } from '../messages/answered-fields.ts';
import { jsonAnswer } from '../messages/answers.ts';
import type { NodeBindings } from '../messages/bindings.ts';
import { checkJsonUnread, parseJson, readBytes } from '../messages/body.ts';
import type { BodyReading } from '../messages/incoming-body.ts';
import { limiter } from '../messages/rate-limit.ts';
import { releaseOnClose } from '../messages/response-close.ts';
import type { StallWatch } from '../messages/stall-watch.ts';
import { ListAnswer } from './list-answer.ts';
import { readInput } from './management-input.ts';
import type { Route } from './route.ts';

const bodyLimit = 1_048_576;
/** A longer body is parsed in a separate turn of the event loop. */
const shortBody = 16_384;

/** Parses a management request and calls its route, which calls one method of the router. */
export function manage(router: TeamModelRouter, stalls: StallWatch) {
  const limits = new Map<Route, (teamId: string | null) => void>();
  return async (
    route: Route,
    principal: Principal,
    request: HonoRequest,
    bindings: NodeBindings,
  ): Promise<Answer> => {
    const teamId = principal.master ? null : principal.teamId;
    if (teamId !== null && (await router.isTeamBlocked(teamId))) {
      throw teamBlocked();
    }
    const { raw } = request;
    const { outgoing } = bindings;
    const reservation = router.reserveMemory(teamId);
    if (outgoing !== undefined) releaseOnClose(reservation, outgoing);
    try {
      const body = await bodyOf(teamId, route, raw, bindings, { limit: bodyLimit, reservation, stalls });
      const answer = await run(route, principal, request, body);
      if (answer.body instanceof Uint8Array) reservation.take(answer.body.byteLength);
      return answer;
    } finally {
      // Without Node's response, the runtime holds the response.
      if (outgoing === undefined) reservation.release();
    }
  };

  async function run(
    route: Route,
    principal: Principal,
    request: HonoRequest,
    body: unknown,
  ): Promise<Answer> {
    const { raw } = request;
    const teamId = principal.master ? null : principal.teamId;
    const query = route.query && readInput(route.query, withoutEmpty(queryOf(raw.url), route.query));
    if (route.perMinute !== undefined) {
      const limit = limits.get(route) ?? limiter(route.perMinute, 60_000);
      limits.set(route, limit);
      limit(teamId);
    }
    const input = { router, principal, body, query, params: request.param() };
    const answered = await route.run(input as never);
    return answered instanceof ListAnswer ? answered.toAnswer(teamId) : jsonAnswer(200, answered);
  }
}

async function bodyOf(
  teamId: string | null,
  route: Route,
  raw: Request,
  bindings: NodeBindings,
  reading: BodyReading,
): Promise<unknown> {
  if (route.body === undefined) return undefined;
  checkJsonUnread(raw.headers);
  const bytes = await readBytes(raw, raw.headers, bindings, reading);
  if (bytes !== undefined && bytes.byteLength > shortBody) await nextTick(teamId);
  const isEmpty = bytes === undefined || bytes.byteLength === 0;
  const given =
    route.isBodyOptional === true && isEmpty ? {} : parseJson(bytes, raw.headers.get('content-type'));
  return readInput(route.body, given, route.readBody, objectKind(route.paths[0] ?? ''));
}

/**
 * Removes empty values and `null` of numbers and choices, because clients send absent fields like that. Keeps
 * an empty id, which is then rejected, because the route would otherwise list everything.
 */
function withoutEmpty(query: Record<string, string>, schema: z.ZodType): Record<string, string> {
  const { shape = {} } = schema as { shape?: Record<string, z.ZodType> };
  const isGiven = ([name, value]: [string, string]) => {
    const field = Object.hasOwn(shape, name) ? shape[name] : undefined;
    const isAbsent = value === '' || value === 'null';
    return field === undefined || !isAbsent || field.safeParse('any text').success;
  };
  return Object.fromEntries(Object.entries(query).filter(isGiven));
}

/**
 * Returns the query.
 *
 * @throws RouterError `invalid_request` for a repeated parameter, because parsers differ in which value they
 * use
 */
function queryOf(url: string): Record<string, string> {
  const { searchParams } = new URL(url);
  for (const name of searchParams.keys()) {
    if (searchParams.getAll(name).length === 1) continue;
    const param = name.slice(0, 64);
    throw new RouterError('invalid_request', `${param}: must not appear twice in the query`, { param });
  }
  return Object.fromEntries(searchParams);
}
