import type { Server, ServerResponse } from 'node:http';

/** Counts the requests of a server that have not been answered to the end. */
export class OpenRequests {
  #count = 0;
  #waiting: (() => void)[] = [];

  opened(outgoing: ServerResponse): void {
    this.#count += 1;
    outgoing.on('close', this.#ended);
  }

  /** Resolves as soon as none is open. */
  async none(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Once for each: what is closed is not closed again. */
  readonly #ended = (): void => {
    this.#count -= 1;
    if (this.#count > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  };
}

/**
 * Waits until no request is open, `timeoutMs` at most, and closes the server. Until then new ones are taken: whoever
 * sends them has not heard yet that the server is ending.
 */
export async function drain(server: Server, requests: OpenRequests, timeoutMs: number): Promise<void> {
  let deadline: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    deadline = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([requests.none(), late]);
  clearTimeout(deadline);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
