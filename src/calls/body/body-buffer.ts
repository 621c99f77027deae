import type { MemoryReservation } from '../../memory-budget.ts';
import { asBuffer } from '../answer.ts';

/** Bytes of the pieces that a body of unknown length is collected in: as many as there are already, within these bounds. */
const minPieceBytes = 65_536;
const maxPieceBytes = 1_048_576;

/**
 * Collects the bytes of a body, and counts the memory that they take against a budget. A body whose length is known takes
 * exactly as much. Others are collected in separate pieces, because many tiny chunks would take many times their
 * bytes, and joined in the end.
 */
export class BodyBuffer {
  readonly #reservation: MemoryReservation;
  readonly #length: number;
  /** The only chunk so far. */
  #first: Uint8Array | undefined;
  /** All of them but the last are full. */
  readonly #pieces: Buffer[] = [];
  /** Bytes that the last piece has room for. */
  #room = 0;
  #size = 0;

  /** @param length length of the body in bytes, if known; announced immediately */
  constructor(reservation: MemoryReservation, length?: number) {
    this.#reservation = reservation;
    this.#length = length ?? 0;
    if (length !== undefined) reservation.announce(length);
  }

  get size(): number {
    return this.#size;
  }

  /** @throws RouterError `rate_limit_exceeded`, `overloaded` if the budget has no room for it */
  push(chunk: Uint8Array): void {
    const size = this.#size + chunk.byteLength;
    if (this.#size === 0) {
      // A body of a single chunk is not copied.
      this.#reservation.hold(chunk.byteLength);
      this.#first = chunk;
    } else {
      const first = this.#first;
      this.#first = undefined;
      if (first !== undefined) {
        this.#reservation.give(first.byteLength);
        this.#append(first);
      }
      this.#append(chunk);
    }
    this.#size = size;
  }

  /** All bytes that were pushed. */
  whole(): Buffer {
    const last = this.#pieces.at(-1);
    if (last === undefined) return asBuffer(this.#first ?? Buffer.alloc(0));
    const pieces = [...this.#pieces.slice(0, -1), last.subarray(0, last.length - this.#room)];
    const [only] = pieces;
    // The copy takes as much again, for the moment in which it is made: only one is made at a time.
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, this.#size);
  }

  #append(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.byteLength; ) {
      if (this.#room === 0) this.#grow(chunk.byteLength - at);
      const part = chunk.subarray(at, at + this.#room);
      const last = this.#pieces.at(-1);
      // Memory of a known length is not resident before it is written to.
      if (this.#known(last)) this.#reservation.hold(part.byteLength);
      last?.set(part, last.length - this.#room);
      this.#room -= part.byteLength;
      at += part.byteLength;
    }
  }

  #grow(missing: number): void {
    const known = this.#pieces.length === 0 && this.#length >= missing;
    const wanted = Math.min(Math.max(this.#size, minPieceBytes), maxPieceBytes);
    const bytes = known ? this.#length : wanted;
    if (!known) this.#reservation.hold(bytes);
    this.#pieces.push(Buffer.allocUnsafeSlow(bytes));
    this.#room = bytes;
  }

  #known(piece: Buffer | undefined): boolean {
    return this.#length > 0 && piece === this.#pieces[0];
  }
}
