import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from '../calls/answer.ts';
import type { Call } from '../calls/call.ts';
import type { TeamModelRouter } from '../router.ts';
import type { Principal } from '../teams/principal.ts';
import { permitted } from './auth/permissions.ts';
import { toCaller } from './auth/principal.ts';
import type { FastPath, NodeBindings } from './messages/bindings.ts';
import { checkCallBody, checkIncomingNotTaken, readIncoming } from './messages/body.ts';
import { reply } from './messages/reply.ts';
import { type HeaderReader, NodeHeaders } from './messages/request-headers.ts';
import { type BodyBounds, callRoutes, leaving, noQuery, reserveUntilClosed } from './routes/calls.ts';

export interface FastPathOptions extends BodyBounds {
  /** What the gateway's paths stand under. */
  basePath: string | undefined;
  authenticateKey: (headers: HeaderReader) => Principal | Promise<Principal>;
  failed: (error: unknown, bindings?: NodeBindings) => Answer;
}

/** Bytes of a body from which on the way there is no part of what a call costs. */
const maxBodyBytes = 1_048_576;
/** Milliseconds that the rest of a body may take whose call is answered. */
const maxRestMs = 500;

/**
 * The way of nearly every call: a POST of JSON to a path without parameters, in Node, by a key. A standard request and
 * response, and the search for a route, would be a tenth of what such a call costs. It is answered as any other; whatever
 * is not plainly one of these goes through Hono.
 */
export function createFastPath(router: TeamModelRouter, options: FastPathOptions): FastPath {
  const { bodyLimit, stalls, authenticateKey, failed } = options;
  const limit = Math.min(bodyLimit, maxBodyBytes);
  const paths = fixedPaths(options.basePath ?? '');

  const call = async (
    path: string,
    headers: HeaderReader,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ) => {
    const node = { outgoing, direct: true };
    try {
      const given = authenticateKey(headers);
      const principal = permitted(given instanceof Promise ? await given : given, 'calls');
      checkIncomingNotTaken(incoming);
      const caller = toCaller(principal);
      const request: Call = {
        method: 'POST',
        path,
        query: noQuery,
        headers,
        readBody(most, counted) {
          const read = readIncoming(incoming, {
            limit: Math.min(most, bodyLimit),
            reservation: counted,
            stalls,
          });
          return read instanceof Promise
            ? read.then((body) => checkCallBody(body, headers))
            : checkCallBody(read, headers);
        },
        signal: leaving(outgoing),
        reservation: reserveUntilClosed(router, caller.teamId, outgoing),
      };
      const replied = reply(await router.dispatch(caller, request), node);
      if (replied instanceof Promise) await replied;
    } catch (error) {
      await reply(failed(error, { incoming }), node);
    }
    if (!incoming.complete) endLater(incoming, outgoing);
  };

  return (incoming, outgoing) => {
    const path = incoming.method === 'POST' ? paths.get(incoming.url) : undefined;
    if (path === undefined) return undefined;
    const headers = new NodeHeaders(incoming);
    if (!isFastPathRequest(headers, limit)) return undefined;
    return call(path, headers, incoming, outgoing).catch(() => void outgoing.destroy());
  };
}

/** By how they are sent; none under a base path that URLs could be spelt differently for. */
function fixedPaths(basePath: string): ReadonlyMap<string | undefined, string> {
  const paths = new Map<string, string>();
  const under = basePath.replace(/\/$/, '');
  if (/\/[/.]|\/$/.test(under)) return paths;
  for (const route of callRoutes) {
    if (route.method !== 'POST' || route.permission !== 'calls') continue;
    for (const path of route.paths) if (!path.includes('{')) paths.set(under + path, path);
  }
  return paths;
}

/** Short JSON, for a host that a URL can be made of. */
function isFastPathRequest(headers: HeaderReader, limit: number): boolean {
  const length = headers.get('content-length');
  return (
    headers.get('content-type') === 'application/json' &&
    length !== null &&
    Number(length) <= limit &&
    /^[\w.-]+(:[0-5]?\d{1,4})?$/.test(headers.get('host') ?? '')
  );
}

/** A caller that was refused before its body was there may go on sending it, at whatever pace; but not for long. */
function endLater(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const end = () => {
    if (!incoming.complete) incoming.socket.destroySoon();
  };
  const endSoon = () => setTimeout(end, maxRestMs).unref();
  // Behind the answers to requests that were sent before it, which must not be cut.
  if (outgoing.closed) endSoon();
  else outgoing.once('close', endSoon);
}
