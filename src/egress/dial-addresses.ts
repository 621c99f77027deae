import type { LookupAddress } from 'node:dns';
import type { Socket } from 'node:net';

/** Milliseconds until the next address is tried beside one that has not answered. @see https://www.rfc-editor.org/rfc/rfc8305#section-5 */
const attemptDelayMs = 250;
/** Addresses of one name that are tried. */
const maxAttempts = 8;

type Outcome = (error: Error | null, socket: Socket | null) => void;

/** Opens a connection to one address, and returns its socket if there is one already. */
export type DialAddress = (address: string, callback: Outcome) => Socket | undefined;

/**
 * Connects to the addresses of a name: to the next one when the one before has failed, or after 250 ms beside it. The first connection
 * wins, and the others are closed. An address that is slow keeps its chance until the caller stops the dialling.
 *
 * @returns stops the dialling; `callback` is not called then
 */
export function dialAddresses(
  addresses: readonly LookupAddress[],
  dial: DialAddress,
  callback: Outcome,
): () => void {
  const left = byFamilyInTurn(addresses).slice(0, maxAttempts);
  const dialled = new Set<Socket>();
  let pending = 0;
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  let firstError: Error | null = null;

  const stop = (): void => {
    over = true;
    clearTimeout(timer);
    for (const socket of dialled) socket.destroy(new Error('another address was faster'));
  };
  const next = (): void => {
    clearTimeout(timer);
    const address = left.shift();
    if (address === undefined) return;
    if (left.length > 0) timer = setTimeout(next, attemptDelayMs);
    pending += 1;
    let begun: Socket | undefined;
    begun = dial(address.address, (error, socket) => {
      pending -= 1;
      if (begun !== undefined) dialled.delete(begun);
      if (over) socket?.destroy();
      else if (socket !== null) {
        stop();
        callback(null, socket);
      } else {
        firstError ??= error;
        if (left.length > 0) next();
        else if (pending === 0) callback(firstError, null);
      }
    });
    if (begun !== undefined && !over) dialled.add(begun);
  };
  next();
  return stop;
}

/** One family after the other, beginning with that of the first address. */
function byFamilyInTurn(addresses: readonly LookupAddress[]): LookupAddress[] {
  const first = addresses[0]?.family;
  const own = addresses.filter(({ family }) => family === first);
  const other = addresses.filter(({ family }) => family !== first);
  const ordered: LookupAddress[] = [];
  for (let at = 0; at < Math.max(own.length, other.length); at++) {
    for (const address of [own[at], other[at]]) if (address !== undefined) ordered.push(address);
  }
  return ordered;
}
