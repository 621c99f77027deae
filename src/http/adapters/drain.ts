import type { Server, ServerResponse } from 'node:http';
import { RouterError } from '../../errors.ts';
import { endResponse } from '../messages/bindings.ts';

/** Milliseconds in which responses that end at the deadline may reach their clients. */
const lastBytesMs = 1_000;

/** Counts the requests of a server whose responses are not complete. */
export class OpenRequests {
  readonly #open = new Set<ServerResponse>();
  #waiting: (() => void)[] = [];
  #ended = false;

  /** Whether the deadline for open requests has passed. */
  get ended(): boolean {
    return this.#ended;
  }

  opened(outgoing: ServerResponse): void {
    this.#open.add(outgoing);
    outgoing.on('close', () => this.#closed(outgoing));
  }

  /** Aborts the calls of all open requests with `draining`. */
  end(): void {
    this.#ended = true;
    for (const outgoing of [...this.#open]) endResponse(outgoing);
  }

  /** Waits until no request is open, at most `timeoutMs`. Returns whether all requests have ended. */
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
 * Shuts a server down gracefully. Waits until no request is open, at most `timeoutMs`, aborts the calls that
 * are still open, and closes the server. Accepts new requests until the deadline, because their clients do not
 * know yet that the server is shutting down.
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

/** Returns the error of a request that a server rejects or aborts because it is shutting down. */
export function serverEnding(): RouterError {
  return new RouterError('draining', 'The server is shutting down. Retry.');
}
