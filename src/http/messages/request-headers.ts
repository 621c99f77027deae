import type { IncomingMessage } from 'node:http';
import type { Call } from '../../calls/call.ts';
import type { NodeBindings } from './bindings.ts';

/** Reads a request's headers, by names in lower case. */
export type HeaderReader = Call['headers'];

/**
 * Returns Node's own headers if no middleware could have changed them, because building a standard request's
 * headers costs more.
 */
export function headersOf(request: Request, { incoming, direct }: NodeBindings): HeaderReader {
  return direct === true && incoming !== undefined ? new NodeHeaders(incoming) : request.headers;
}

/**
 * Reads headers with the semantics of a standard request: joins repeated headers, even where Node would keep
 * only the first. Searches `rawHeaders`, because building Node's header object costs more than the few reads of
 * a call.
 */
export class NodeHeaders implements HeaderReader {
  readonly #raw: readonly string[];

  constructor({ rawHeaders }: IncomingMessage) {
    this.#raw = rawHeaders;
  }

  get(name: string): string | null {
    const raw = this.#raw;
    let found: string | null = null;
    for (let at = 0; at < raw.length; at += 2) {
      const given = raw[at] ?? '';
      if (given.length !== name.length || given.toLowerCase() !== name) continue;
      const value = raw[at + 1] ?? '';
      found = found === null ? value : `${found}, ${value}`;
    }
    return found;
  }
}
