import type { Scan } from './secret-matcher.ts';

/** Takes the place of each byte of a secret in successful answers: as many as it had, so that lengths stay right. */
const coverByte = 0x2a;
/** What goes on for longer is no secret: the longest one in the longest form is shorter. */
export const maxHeldBytes = 131_072;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const empty: Buffer = Buffer.alloc(0);

/** Covers secrets in an answer that comes in chunks. Holds back what may be the beginning of one, and nothing else. */
export class CoveredStream {
  readonly #cover: (bytes: Buffer) => Buffer;
  readonly #scan: (bytes: Buffer) => Scan;
  readonly #events: boolean;
  readonly #active: boolean;
  #held: Buffer = empty;
  /** What of it belongs to a secret that began before it. */
  #heldMarks: Uint8Array | undefined;
  #waiting: Buffer[] = [];
  #waitingSize = 0;

  constructor(
    secrets: { cover: (bytes: Buffer) => Buffer; scan: (bytes: Buffer) => Scan },
    { events, active }: { events: boolean; active: boolean },
  ) {
    this.#cover = secrets.cover;
    this.#scan = secrets.scan;
    this.#events = events;
    this.#active = active;
  }

  /** Puts into `out` what may be passed on. */
  push(chunk: Buffer, out: Uint8Array[]): void {
    if (!this.#active || chunk.length === 0) {
      out.push(chunk);
      return;
    }
    this.#waiting.push(chunk);
    this.#waitingSize += chunk.length;
    if (this.#events && endsInBlankLine(chunk)) {
      this.flush(out);
      return;
    }
    // What is held is read again only with half as much more, else small chunks would cost its length each.
    if (this.#waitingSize * 2 < this.#held.length) return;
    const heldMarks = this.#heldMarks;
    const bytes = this.#take();
    const { marks, openFrom } = this.#scan(bytes);
    const end = Math.max(openFrom, bytes.length - maxHeldBytes);
    const all = joined(marks, heldMarks, bytes.length);
    this.#held = bytes.subarray(end);
    this.#heldMarks = all?.subarray(end);
    if (end > 0) out.push(covered(bytes.subarray(0, end), all));
  }

  /** The answer, or an event, has ended: nothing can complete what is held. */
  flush(out: Uint8Array[]): void {
    const marks = this.#heldMarks;
    const bytes = this.#take();
    if (bytes.length > 0) out.push(covered(this.#cover(bytes), marks));
  }

  #take(): Buffer {
    const [only] = this.#waiting;
    const one = this.#held.length === 0 && this.#waiting.length === 1 ? only : undefined;
    const bytes = one ?? Buffer.concat([this.#held, ...this.#waiting]);
    this.#held = empty;
    this.#heldMarks = undefined;
    this.#waiting = [];
    this.#waitingSize = 0;
    return bytes;
  }
}

/** A copy in which each marked byte is `*`; `bytes` itself if none is. */
export function covered(bytes: Buffer, marks: Uint8Array | undefined): Buffer {
  if (marks === undefined) return bytes;
  const copy = Buffer.from(bytes);
  const end = Math.min(copy.length, marks.length);
  for (let at = 0; at < end; at++) if (marks[at] !== 0) copy[at] = coverByte;
  return copy;
}

function joined(marks: Uint8Array | undefined, held: Uint8Array | undefined, length: number) {
  if (held === undefined || held.every((mark) => mark === 0)) return marks;
  const all = marks ?? new Uint8Array(length);
  for (const [at, mark] of held.entries()) all[at] ||= mark;
  return all;
}

function endsInBlankLine(chunk: Buffer): boolean {
  const last = chunk[chunk.length - 1];
  const before = chunk[chunk.length - 2];
  if (last !== lineFeed || before !== carriageReturn) return last === before && isLineEnd(last);
  return isLineEnd(chunk[chunk.length - 3]);
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === lineFeed || byte === carriageReturn;
}
