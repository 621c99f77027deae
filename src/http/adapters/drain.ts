import type { Server, ServerResponse } from 'node:http';
import { RouterError } from '../../errors.ts';
import { endResponse } from '../messages/bindings.ts';

/** Milliseconds that answers which are ended at the deadline have to reach their clients. */
const lastBytesMs = 1_000;

/** The requests of a server that have not been answered to the end. */
export class OpenRequests {
  readonly #open = new Set<ServerResponse>();
  #waiting: (() => void)[] = [];
  #ended = false;

  /** Whether the time for open requests is over. */
  get ended(): boolean {
    return this.#ended;
  }

  opened(outgoing: ServerResponse): void {
    this.#open.add(outgoing);
    outgoing.on('close', () => this.#closed(outgoing));
  }

  /** Ends the calls of all open requests with `draining`. */
  end(): void {
    this.#ended = true;
    for (const outgoing of [...this.#open]) endResponse(outgoing);
  }

  /** Resolves when no request is open, or after `timeoutMs`. Returns whether none is open. */
  async none(timeoutMs: number): Promise<boolean> {
    if (this.#open.size === 0) return true;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
    return this.#open.size === 0;
  }

  #closed(outgoing: ServerResponse): void {
    this.#open.delete(outgoing);
    if (this.#open.size > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/**
 * Waits until no request is open, `timeoutMs` at most, ends the calls of those that are, and closes the server. Until the deadline
 * new requests are taken, because their clients do not know yet that the server is ending.
 */
export async function drain(server: Server, requests: OpenRequests, timeoutMs: number): Promise<void> {
  const idle = await requests.none(timeoutMs);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  if (!idle) {
    requests.end();
    await requests.none(lastBytesMs);
  }
  server.closeAllConnections();
  await closed;
}

/** The error of a request that a server refuses, or ends, because it is ending. */
export function serverEnding(): RouterError {
  return new RouterError('draining', 'The server is ending.');
}
