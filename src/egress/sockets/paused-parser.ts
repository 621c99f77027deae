import type { Socket } from 'node:net';

/** The members of undici's parser that are used here. */
interface Parser {
  paused: boolean;
  readonly ptr: number;
  readonly llhttp: { llhttp_resume(ptr: number): void };
  resume(): void;
}

/**
 * Lets a provider close its connection while the response is paused.
 *
 * undici 7 asserts in a socket listener that its parser is not paused at that time. That error cannot be caught, so
 * it ends the process (https://github.com/nodejs/undici/issues/5360, fixed in undici 8, which needs a newer Node).
 * Call this function before undici adds its listeners.
 */
export function letEndWhilePaused(socket: Socket): void {
  const unpause = () => {
    const parser = parserOf(socket);
    if (!parser?.paused) return;
    // The parser has no input left. This call completes a response with a length or with chunked encoding.
    parser.resume();
    // A response without a length pauses again because it lasts until the connection ends. After a reset the parser
    // stays paused, because that response is incomplete.
    if (parser.paused && !socket.destroyed) parser.llhttp.llhttp_resume(parser.ptr);
    parser.paused = false;
  };
  socket.on('end', unpause).on('error', unpause).on('close', unpause);
}

function parserOf(socket: Socket): Parser | null | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'parser');
  return symbol && (socket as unknown as Record<symbol, Parser | null>)[symbol];
}
