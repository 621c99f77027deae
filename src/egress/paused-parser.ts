import type { Socket } from 'node:net';

/** What is used of undici's parser of one connection. */
interface Parser {
  paused: boolean;
  readonly ptr: number;
  readonly llhttp: { llhttp_resume(ptr: number): void };
  resume(): void;
}

/**
 * Lets a provider close its connection while the answer is held back. undici 7 asserts in a listener of the socket that
 * its parser is not paused then: nobody can catch that error, and it ends the process
 * (https://github.com/nodejs/undici/issues/5360, mended in undici 8, which needs a newer Node). To be called before undici
 * adds its own listeners.
 */
export function letEndWhilePaused(socket: Socket): void {
  const unpause = () => {
    const parser = parserOf(socket);
    if (!parser?.paused) return;
    // Nothing is left to parse: this tells that the answer is over, if it had a length or chunks.
    parser.resume();
    // It pauses again if the answer lasts until the connection ends. After a reset it stays paused: that is no whole answer.
    if (parser.paused && !socket.destroyed) parser.llhttp.llhttp_resume(parser.ptr);
    parser.paused = false;
  };
  socket.on('end', unpause).on('error', unpause).on('close', unpause);
}

function parserOf(socket: Socket): Parser | null | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'parser');
  return symbol && (socket as unknown as Record<symbol, Parser | null>)[symbol];
}
