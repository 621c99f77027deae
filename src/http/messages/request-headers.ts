import type { IncomingMessage } from 'node:http';
import type { Call } from '../../calls/call.ts';
import type { NodeBindings } from './bindings.ts';

/** What is read of a request's headers, by names in lower case. */
export type HeaderReader = Call['headers'];

/** Node's own, where nobody stands between: a standard request's are made of them. */
export function headersOf(request: Request, { incoming, direct }: NodeBindings): HeaderReader {
  return direct === true && incoming !== undefined ? new NodeHeaders(incoming) : request.headers;
}

/**
 * As a standard request reads them: what stands twice is joined, also where Node would keep the first one only. Looked
 * for where they came in: Node's own object of them costs more than all that is asked of it.
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
