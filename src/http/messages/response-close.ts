import type { ServerResponse } from 'node:http';
import { type CallSignal, LightSignal } from '../../calls/abort/call-signal.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import { serverEnding } from '../adapters/drain.ts';
import { drainedEvent, hasEnded } from './bindings.ts';
import { isOver } from './reader.ts';

/**
 * Aborts if the client disconnects before its response is complete, or if the server's graceful shutdown ends.
 */
export function abortOnClose(outgoing: ServerResponse): CallSignal {
  const signal = new LightSignal();
  if (hasEnded(outgoing)) signal.abort(serverEnding());
  else outgoing.on(drainedEvent, () => signal.abort(serverEnding()));
  const closed = () => {
    // The application may have responded meanwhile, while the provider's response is pending.
    if (!outgoing.writableFinished || signal.watched)
      signal.abort(new DOMException('The client disconnected.', 'AbortError'));
  };
  // The client may have disconnected while its key was verified.
  if (isOver(outgoing)) closed();
  else outgoing.on('close', closed);
  return signal;
}

/**
 * Returns whether `error` is the reason of `abortOnClose` for a client disconnect, which is not an error of the
 * gateway.
 */
export function isClientDisconnect(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** Releases the reservation when the response is written or its client has disconnected. */
export function releaseOnClose(reservation: MemoryReservation, outgoing: ServerResponse): void {
  if (isOver(outgoing)) reservation.release();
  else outgoing.on('close', () => reservation.release());
}
