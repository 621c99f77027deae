import type { ServerResponse } from 'node:http';
import { type CallSignal, LightSignal } from '../../calls/abort/call-signal.ts';
import type { Answer } from '../../calls/answer.ts';
import type { Call } from '../../calls/call.ts';
import { type Endpoint, endpoints, matchEndpoint } from '../../calls/endpoints/match.ts';
import type { Caller } from '../../calls/routing/resolve.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import type { TeamModelRouter } from '../../router.ts';
import type { Principal } from '../../teams/principal.ts';
import { serverEnding } from '../adapters/drain.ts';
import type { Permission } from '../auth/permissions.ts';
import { teamOf, toCaller } from '../auth/principal.ts';
import { drainedEvent, hasEnded, type NodeBindings } from '../messages/bindings.ts';
import { checkCallBody, checkNotTaken, checkUnread, readCallBody } from '../messages/body.ts';
import { isOver } from '../messages/reader.ts';
import { headersOf } from '../messages/request-headers.ts';
import type { StallWatch } from '../messages/stall-watch.ts';

/**
 * Where an OpenAI call answers: with and without `/v1`, and in Azure's form what carries a model. The other paths of
 * Azure's clients have no routes of their own; `matchEndpoint` reads them.
 */
export interface CallRoute {
  method: string;
  paths: readonly string[];
  permission: Permission;
  summary: string;
}

/** One call as it came in. */
export interface CallRequest {
  method: string;
  /** Percent-encoded, without what the gateway is mounted under. */
  path: string;
  raw: Request;
  bindings: NodeBindings;
}

/** What bounds the reading of bodies. */
export interface BodyBounds {
  /** Bytes that the body of a call may have. */
  bodyLimit: number;
  stalls: StallWatch;
}

export const callRoutes: readonly CallRoute[] = endpoints.map((endpoint) => ({
  method: endpoint.method,
  paths: [
    `/v1${endpoint.path}`,
    endpoint.path,
    ...(endpoint.stateful || endpoint.local ? [] : [`/openai/deployments/{model}${endpoint.path}`]),
  ],
  permission: permissionOf(endpoint),
  summary: `OpenAI's ${endpoint.id}`,
}));

export function permissionOf({ local }: Endpoint): Permission {
  return local ? 'names' : 'calls';
}

/** Returns the methods of the calls at a path, whichever of their forms it has. */
export function callMethods(path: string): string[] {
  const match = matchEndpoint('', path);
  const allow = match !== undefined && 'allow' in match ? match.allow : [];
  const get = allow.includes('GET') ? matchEndpoint('GET', path) : undefined;
  return get !== undefined && 'endpoint' in get && get.endpoint.local ? [...allow, 'HEAD'] : allow;
}

/** Nearly every call has none. */
export const noQuery = new URLSearchParams();

/** Hands the request to the pipeline as it came; the answer's bytes are the provider's. */
export async function answerCall(
  router: TeamModelRouter,
  principal: Principal,
  { method, path, raw, bindings }: CallRequest,
  { bodyLimit, stalls }: BodyBounds,
): Promise<Answer> {
  const headers = headersOf(raw, bindings);
  if (hasBody(method)) checkNotTaken(raw, bindings);
  const readBody: Call['readBody'] = (limit, reservation) => {
    checkUnread(headers);
    const reading = { limit: Math.min(limit, bodyLimit), reservation, stalls };
    const read = readCallBody(raw, headers, bindings, reading);
    return read instanceof Promise
      ? read.then((body) => checkCallBody(body, headers))
      : checkCallBody(read, headers);
  };
  const { url } = raw;
  const queryStart = url.indexOf('?');
  const query = queryStart === -1 ? noQuery : new URLSearchParams(url.slice(queryStart + 1));
  const { outgoing } = bindings;
  const caller = listedFor(principal, method, path, query);
  const call: Call = { method, path, query, headers, chunked: headers.get('transfer-encoding') !== null };
  const length = Number(headers.get('content-length') ?? Number.NaN);
  if (!call.chunked && Number.isSafeInteger(length)) call.length = length;
  if (hasBody(method)) call.readBody = readBody;
  call.signal = outgoing === undefined ? raw.signal : leaving(outgoing);
  if (outgoing !== undefined) call.reservation = reserveUntilClosed(router, caller.teamId, outgoing);
  return await router.dispatch(caller, call);
}

function hasBody(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

/** Counts the bytes that a request and its answer hold until the answer is written, or its client has left. */
export function reserveUntilClosed(
  router: TeamModelRouter,
  teamId: string | null,
  outgoing: ServerResponse,
): MemoryReservation {
  const reservation = router.reserveMemory(teamId);
  if (isOver(outgoing)) reservation.release();
  else outgoing.on('close', () => reservation.release());
  return reservation;
}

/** Returns for whom `GET /models` lists: LiteLLM's filter `team_id` names a team, to the master key any one. */
function listedFor(principal: Principal, method: string, path: string, query: URLSearchParams): Caller {
  const given = query.get('team_id');
  if (given === null || method !== 'GET' || !/^(\/v1)?\/models$/.test(path)) return toCaller(principal);
  if (!principal.master) {
    teamOf(principal, given);
    return toCaller(principal);
  }
  return { teamId: given };
}

/** Whether it is what `leaving` aborts with: nobody waits for the answer, and nothing has gone wrong. */
export function isLeaving(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** Aborts when the client leaves before it has its answer, or when the server's time for open requests is over. */
export function leaving(outgoing: ServerResponse): CallSignal {
  const signal = new LightSignal();
  if (hasEnded(outgoing)) signal.abort(serverEnding());
  else outgoing.on(drainedEvent, () => signal.abort(serverEnding()));
  const left = () => {
    // The application may have answered in the meantime, while the provider is still waited for.
    if (!outgoing.writableFinished || signal.watched)
      signal.abort(new DOMException('The client left.', 'AbortError'));
  };
  // Who has left while the principal was looked up is not waited for.
  if (isOver(outgoing)) left();
  else outgoing.on('close', left);
  return signal;
}
