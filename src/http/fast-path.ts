import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Principal } from '../teams/principal.ts';
import type { FastPath } from './messages/bindings.ts';
import { checkIncomingNotTaken, readIncoming } from './messages/body.ts';
import { type HeaderReader, NodeHeaders } from './messages/request-headers.ts';
import { callRoutes } from './routes/calls.ts';
import { noQuery, type ServeCall } from './serve-call.ts';

export interface FastPathOptions {
  /** The base path of the gateway. */
  basePath: string | undefined;
  bodyLimit: number;
  authenticateKey: (headers: HeaderReader) => Principal | Promise<Principal>;
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
export function createFastPath(serveCall: ServeCall, options: FastPathOptions): FastPath {
  const { authenticateKey } = options;
  const limit = Math.min(options.bodyLimit, maxBodyBytes);
  const paths = fixedPaths(options.basePath ?? '');

  const serve = async (
    path: string,
    headers: HeaderReader,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ) => {
    await serveCall({
      method: 'POST',
      path,
      query: noQuery,
      headers,
      bindings: { incoming, outgoing, direct: true },
      permission: 'calls',
      authenticate: () => authenticateKey(headers),
      checkNotTaken: () => checkIncomingNotTaken(incoming),
      readBody: (reading) => readIncoming(incoming, reading),
    });
    if (!incoming.complete) endLater(incoming, outgoing);
  };

  return (incoming, outgoing) => {
    const path = incoming.method === 'POST' ? paths.get(incoming.url) : undefined;
    if (path === undefined) return undefined;
    const headers = new NodeHeaders(incoming);
    if (!isFastPathRequest(headers, limit)) return undefined;
    return serve(path, headers, incoming, outgoing).catch(() => void outgoing.destroy());
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
