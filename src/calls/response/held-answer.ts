import type { BufferedPrefix, ResponseBody } from '../../egress/response-body.ts';
import type { MemoryReservation } from '../../memory-budget.ts';

/** Bytes for which room is made first, where the provider does not say how many there are. */
const firstRoom = 65_536;

/**
 * Reads an answer whole, unless it has more than `limit` bytes or the budget has no room for it: then what has come so
 * far, and the rest is still to come. A paid answer is never refused; without room it passes through as it comes.
 *
 * @param announced what the provider says that the answer has; NaN if it does not
 */
export function readHeld(
  body: ResponseBody,
  limit: number,
  announced: number,
  reservation: MemoryReservation | undefined,
): BufferedPrefix | Promise<BufferedPrefix> {
  if (reservation === undefined) return body.upTo(limit);
  const wanted = Math.min(announced >= 0 ? announced : firstRoom, limit);
  const room = reservation.take(wanted);
  const read = body.upTo(room);
  if (!(read instanceof Promise)) {
    reservation.give(room - read.size);
    return read;
  }
  return readOn(body, limit, room, read, reservation);
}

async function readOn(
  body: ResponseBody,
  limit: number,
  room: number,
  read: Promise<BufferedPrefix>,
  reservation: MemoryReservation,
): Promise<BufferedPrefix> {
  const first = await read;
  if (first.complete || room === 0 || first.size > limit) {
    reservation.give(room - Math.min(first.size, room));
    return first;
  }
  const more = reservation.take(limit - room);
  const rest = await body.upTo(room + more - first.size);
  const size = first.size + rest.size;
  reservation.give(room + more - Math.min(size, room + more));
  return { chunks: [...first.chunks, ...rest.chunks], size, complete: rest.complete };
}
