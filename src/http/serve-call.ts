import type { Answer } from '../calls/answer.ts';
import type { Call } from '../calls/call.ts';
import { takesRawBody } from '../calls/endpoints/unknown.ts';
import type { Caller } from '../calls/routing/resolve.ts';
import type { TeamModelRouter } from '../router.ts';
import type { Principal } from '../teams/principal.ts';
import { type Permission, permitted } from './auth/permissions.ts';
import { teamOf, toCaller } from './auth/principal.ts';
import type { NodeBindings } from './messages/bindings.ts';
import { type CallBody, checkCallBody, checkUnread } from './messages/body.ts';
import type { BodyReading } from './messages/incoming-body.ts';
import type { HeaderReader } from './messages/request-headers.ts';
import type { Responder } from './messages/responder.ts';
import { abortOnClose, releaseOnClose } from './messages/response-close.ts';
import type { StallWatch } from './messages/stall-watch.ts';

/**
 * One OpenAI call as the gateway received it: from Node's request on the fast path, or from a standard request
 * through Hono.
 */
export interface CallSource {
  method: string;
  /** Percent-encoded as it was sent, without the base path of the gateway. */
  path: string;
  query: URLSearchParams;
  headers: HeaderReader;
  bindings: NodeBindings;
  permission: Permission;
  /** Aborts the call if `bindings` has no response whose client could disconnect. */
  signal?: AbortSignal;
  authenticate(): Principal | Promise<Principal>;
  /**
   * Checks that no other code has consumed the body.
   *
   * @throws RouterError `invalid_request` if it kept nothing
   */
  checkNotTaken(): void;
  readBody(reading: BodyReading): CallBody | Promise<Uint8Array | undefined>;
  /** Returns the headers that middleware has set on the response. */
  extraHeaders?(): Record<string, string> | undefined;
}

/** Limits for reading bodies. */
export interface BodyBounds {
  /** Maximum bytes of a call's body. */
  bodyLimit: number;
  stalls: StallWatch;
}

export type ServeCall = (source: CallSource) => Promise<Response>;

/** Shared empty query, which most calls have. */
export const noQuery: URLSearchParams = new URLSearchParams();

/** Creates the function that serves every OpenAI call. It authenticates, dispatches, and writes the response. */
export function createServeCall(
  router: TeamModelRouter,
  responder: Responder,
  bounds: BodyBounds,
): ServeCall {
  const dispatch = async (source: CallSource): Promise<Answer> => {
    const principal = permitted(await source.authenticate(), source.permission);
    if (hasBody(source.method)) source.checkNotTaken();
    const caller = callerFor(principal, source);
    return router.dispatch(
      caller,
      toCall(source, bounds, () => router.reserveMemory(caller.teamId)),
    );
  };
  return (source) => responder.respond(source.bindings, () => dispatch(source), source.extraHeaders);
}

function toCall(
  source: CallSource,
  { bodyLimit, stalls }: BodyBounds,
  reserve: () => NonNullable<Call['reservation']>,
): Call {
  const { method, path, query, headers, bindings, signal } = source;
  const call: Call = { method, path, query, headers, chunked: headers.get('transfer-encoding') !== null };
  const length = Number(headers.get('content-length') ?? Number.NaN);
  if (!call.chunked && Number.isSafeInteger(length)) call.length = length;
  if (hasBody(method)) {
    const takesRaw = (mediaType: string) => takesRawBody(method, path, mediaType);
    call.readBody = async (limit, reservation) => {
      checkUnread(headers, takesRaw);
      const body = await source.readBody({ limit: Math.min(limit, bodyLimit), reservation, stalls });
      return checkCallBody(body, headers, takesRaw);
    };
  }
  const { outgoing } = bindings;
  if (outgoing !== undefined) {
    call.signal = abortOnClose(outgoing);
    call.reservation = reserve();
    releaseOnClose(call.reservation, outgoing);
  } else if (signal !== undefined) call.signal = signal;
  return call;
}

function hasBody(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

/** Applies LiteLLM's filter `team_id` of `GET /models`. With the master key it may name any team. */
function callerFor(principal: Principal, { method, path, query }: CallSource): Caller {
  const requested = query.get('team_id');
  if (requested === null || method !== 'GET' || !/^(\/v1)?\/models$/.test(path)) return toCaller(principal);
  if (principal.master) return { teamId: requested };
  teamOf(principal, requested);
  return toCaller(principal);
}
