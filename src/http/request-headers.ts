import type { IncomingMessage } from 'node:http';
import type { Call } from '../calls/request.ts';
import type { NodeBindings } from './bindings.ts';

/** What is read of a request's headers, by names in lower case. */
export type HeaderReader = Call['headers'];

/** Node's own, where nobody stands between: a standard request's are made of them. */
export function headersOf(request: Request, { incoming, direct }: NodeBindings): HeaderReader {
  return direct === true && incoming !== undefined ? new NodeHeaders(incoming) : request.headers;
}

/**
 * As a standard request reads them: what stands twice is joined, also where Node would keep the first one only. Read in
 * one pass: Node's own object of them costs more than all that is asked of it.
 */
export class NodeHeaders implements HeaderReader {
  readonly #values = new Map<string, string>();

  constructor({ rawHeaders }: IncomingMessage) {
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      const name = String(rawHeaders[at]).toLowerCase();
      const value = String(rawHeaders[at + 1]);
      const before = this.#values.get(name);
      this.#values.set(name, before === undefined ? value : `${before}, ${value}`);
    }
  }

  get(name: string): string | null {
    return this.#values.get(name) ?? null;
  }
}
