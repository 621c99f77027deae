import type { IncomingMessage } from 'node:http';
import type { Call } from '../calls/request.ts';
import type { NodeBindings } from './bindings.ts';

/** What is read of a request's headers, by names in lower case. */
export type HeaderReader = Call['headers'];

/** Node's own, where nobody stands between: a standard request's are made of them. */
export function headersOf(request: Request, { incoming, direct }: NodeBindings): HeaderReader {
  return direct === true && incoming !== undefined ? new NodeHeaders(incoming) : request.headers;
}

/** As a standard request reads them: what stands twice is joined, also where Node would keep the first one only. */
export class NodeHeaders implements HeaderReader {
  readonly #incoming: IncomingMessage;

  constructor(incoming: IncomingMessage) {
    this.#incoming = incoming;
  }

  get(name: string): string | null {
    if (name === 'authorization' || name === 'content-type') return this.#joined(name);
    const { headers } = this.#incoming;
    return Object.hasOwn(headers, name) ? String(headers[name]) : null;
  }

  #joined(name: string): string | null {
    const { rawHeaders } = this.#incoming;
    let found: string | null = null;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const given = rawHeaders[at] ?? '';
      if (given.length !== name.length || given.toLowerCase() !== name) continue;
      const value = rawHeaders[at + 1] ?? '';
      found = found === null ? value : `${found}, ${value}`;
    }
    return found;
  }
}
