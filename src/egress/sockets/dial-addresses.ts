import type { LookupAddress } from 'node:dns';
import type { Socket } from 'node:net';

/** Milliseconds until the next address is tried in parallel. @see https://www.rfc-editor.org/rfc/rfc8305#section-5 */
const attemptDelayMs = 250;
/** Maximum number of addresses of one name that are tried. */
const maxAttempts = 8;

type Outcome = (error: Error | null, socket: Socket | null) => void;

/** Opens a connection to one address. Returns its socket if the socket exists already. */
export type DialAddress = (address: string, callback: Outcome) => Socket | undefined;

/**
 * Connects to the first reachable address of a name (Happy Eyeballs).
 *
 * Dials the next address after a failure, or in parallel after 250 ms. Uses the first connection and closes the
 * others. A slow address may still win until the caller cancels the dialling.
 *
 * @returns a function that cancels the dialling; `callback` is not called afterwards
 */
export function dialAddresses(
  addresses: readonly LookupAddress[],
  dial: DialAddress,
  callback: Outcome,
): () => void {
  const remaining = byFamilyInTurn(addresses).slice(0, maxAttempts);
  const dialled = new Set<Socket>();
  let pending = 0;
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  let firstError: Error | null = null;

  const stop = (): void => {
    over = true;
    clearTimeout(timer);
    for (const socket of dialled) socket.destroy(new Error('another address connected first'));
  };
  const next = (): void => {
    clearTimeout(timer);
    const address = remaining.shift();
    if (address === undefined) return;
    if (remaining.length > 0) timer = setTimeout(next, attemptDelayMs);
    pending += 1;
    let socketOfAttempt: Socket | undefined;
    socketOfAttempt = dial(address.address, (error, socket) => {
      pending -= 1;
      if (socketOfAttempt !== undefined) dialled.delete(socketOfAttempt);
      if (over) socket?.destroy();
      else if (socket !== null) {
        stop();
        callback(null, socket);
      } else {
        firstError ??= error;
        if (remaining.length > 0) next();
        else if (pending === 0) callback(firstError, null);
      }
    });
    if (socketOfAttempt !== undefined && !over) dialled.add(socketOfAttempt);
  };
  next();
  return stop;
}

/** Alternates between the address families, beginning with the family of the first address. */
function byFamilyInTurn(addresses: readonly LookupAddress[]): LookupAddress[] {
  const first = addresses[0]?.family;
  const sameFamily = addresses.filter(({ family }) => family === first);
  const otherFamily = addresses.filter(({ family }) => family !== first);
  const ordered: LookupAddress[] = [];
  for (let at = 0; at < Math.max(sameFamily.length, otherFamily.length); at++) {
    for (const address of [sameFamily[at], otherFamily[at]]) if (address !== undefined) ordered.push(address);
  }
  return ordered;
}
