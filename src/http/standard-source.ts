import type { NodeBindings } from './messages/bindings.ts';
import { checkNotTaken, readCallBody } from './messages/body.ts';
import { headersOf } from './messages/request-headers.ts';
import { type CallSource, noQuery } from './serve-call.ts';

type StandardPart = Pick<
  CallSource,
  'query' | 'headers' | 'bindings' | 'signal' | 'checkNotTaken' | 'readBody'
>;

/** Returns the source of a call in a standard request. */
export function standardSource(request: Request, bindings: NodeBindings): StandardPart {
  const headers = headersOf(request, bindings);
  const { url } = request;
  const queryStart = url.indexOf('?');
  return {
    query: queryStart === -1 ? noQuery : new URLSearchParams(url.slice(queryStart + 1)),
    headers,
    bindings,
    // Reading the signal makes @hono/node-server build the whole request.
    ...(bindings.outgoing === undefined ? { signal: request.signal } : {}),
    checkNotTaken: () => checkNotTaken(request, bindings),
    readBody: (reading) => readCallBody(request, headers, bindings, reading),
  };
}
