import type { Scan } from './secret-matcher.ts';

/** Takes the place of each byte of a secret in successful answers: as many as it had, so that lengths stay right. */
const coverByte = 0x2a;
/** What goes on for longer is no secret: the longest one in the longest form is shorter. */
export const maxHeldBytes = 131_072;

/** Bytes of a heartbeat's line. Base64 that goes on in the next line has longer lines. */
const maxCommentBytes = 60;
/** Bytes at the end of a heartbeat that may be the beginning of a secret. */
const maxTailBytes = 16;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const colon = 0x3a;
const empty: Buffer = Buffer.alloc(0);

/**
 * Covers secrets in an answer that comes in chunks. Holds back what may be the beginning of one, and nothing else. In a
 * stream of events a short comment line is not held back, because servers send it as a heartbeat.
 */
export class CoveredStream {
  readonly #cover: (bytes: Buffer) => Buffer;
  readonly #scan: (bytes: Buffer) => Scan;
  readonly #events: boolean;
  readonly #active: boolean;
  #held: Buffer = empty;
  /** What of it belongs to a secret that began before it. */
  #heldMarks: Uint8Array | undefined;
  /** How many of the held bytes were passed on, as the end of a comment. */
  #shown = 0;
  /** The first byte of the line that has not ended yet; `undefined` if it has none. */
  #lineStart: number | undefined;
  #lineSize = 0;
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
    const comment = this.#events && this.#endsComment(chunk);
    // What is held is read again only with half as much more, else small chunks would cost its length each. The colon
    // of a comment ends what may go on as a secret, so each comment costs its own length.
    if (!comment && this.#waitingSize * 2 < this.#held.length) return;
    const heldMarks = this.#heldMarks;
    const shown = this.#shown;
    const bytes = this.#take();
    const { marks, openFrom } = this.#scan(bytes);
    const end = Math.max(openFrom, bytes.length - maxHeldBytes);
    const all = joined(marks, heldMarks, bytes.length);
    const heartbeat = comment && bytes.length - end <= maxTailBytes;
    const passed = Math.max(shown, heartbeat ? bytes.length : end);
    this.#held = bytes.subarray(end);
    this.#heldMarks = all?.subarray(end);
    this.#shown = Math.max(0, passed - end);
    if (passed > shown) out.push(covered(bytes.subarray(shown, passed), all?.subarray(shown)));
  }

  /** Notes the line that the chunk leaves open. Returns whether the chunk ends with the end of a short comment. */
  #endsComment(chunk: Buffer): boolean {
    const last = chunk.length - 1;
    const ends = chunk[last] === lineFeed;
    const before = ends && last === 0 ? -1 : chunk.lastIndexOf(lineFeed, ends ? last - 1 : last);
    const start = (before === -1 ? this.#lineStart : undefined) ?? chunk[before + 1];
    const size = (before === -1 ? this.#lineSize : 0) + last - before;
    this.#lineStart = ends ? undefined : start;
    this.#lineSize = ends ? 0 : size;
    return ends && start === colon && size <= maxCommentBytes;
  }

  /** The answer, or an event, has ended: nothing can complete what is held. */
  flush(out: Uint8Array[]): void {
    const marks = this.#heldMarks;
    const shown = this.#shown;
    this.#lineStart = undefined;
    this.#lineSize = 0;
    const bytes = this.#take();
    if (bytes.length > shown) out.push(covered(this.#cover(bytes), marks).subarray(shown));
  }

  #take(): Buffer {
    const [only] = this.#waiting;
    const one = this.#held.length === 0 && this.#waiting.length === 1 ? only : undefined;
    const bytes = one ?? Buffer.concat([this.#held, ...this.#waiting]);
    this.#held = empty;
    this.#heldMarks = undefined;
    this.#shown = 0;
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
