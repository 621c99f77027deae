import type { Scan } from './secret-matcher.ts';

/** Replaces each byte of a secret in a successful response, so the length of the response does not change. */
const coverByte = 0x2a;
/** Limit in bytes on an open match. The longest encoded form of a secret is shorter. */
export const maxHeldBytes = 131_072;

/** Bytes of a heartbeat line. Lines of wrapped base64 are longer. */
const maxCommentBytes = 60;
/** Bytes at the end of a heartbeat that may begin a secret. */
const maxTailBytes = 16;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const colon = 0x3a;
const empty: Buffer = Buffer.alloc(0);

/**
 * Replaces secrets in a response that arrives in chunks. Holds back only bytes that may begin a secret. Does not hold
 * back a short comment line of an event stream, because servers send such lines as heartbeats.
 */
export class CoveredStream {
  readonly #cover: (bytes: Buffer) => Buffer;
  readonly #scan: (bytes: Buffer) => Scan;
  readonly #events: boolean;
  readonly #active: boolean;
  #held: Buffer = empty;
  /** Marks of the held bytes that belong to a secret which began before them. */
  #heldMarks: Uint8Array | undefined;
  /** Number of held bytes that were already passed on as the end of a comment. */
  #shown = 0;
  /** First byte of the unfinished line; `undefined` if that line is empty. */
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

  /** Appends to `out` the bytes that may be passed on. */
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
    // Held bytes are scanned again only after half as many more have arrived, because a scan per small chunk would be
    // quadratic. A comment is scanned immediately. Its colon ends any open match, so the scan costs the comment's
    // length.
    if (!comment && this.#waitingSize * 2 < this.#held.length) return;
    const heldMarks = this.#heldMarks;
    const shown = this.#shown;
    const bytes = this.#take();
    const { marks, openFrom } = this.#scan(bytes);
    const end = Math.max(openFrom, bytes.length - maxHeldBytes);
    const all = mergedMarks(marks, heldMarks, bytes.length);
    const heartbeat = comment && bytes.length - end <= maxTailBytes;
    const passed = Math.max(shown, heartbeat ? bytes.length : end);
    this.#held = bytes.subarray(end);
    this.#heldMarks = all?.subarray(end);
    this.#shown = Math.max(0, passed - end);
    if (passed > shown) out.push(covered(bytes.subarray(shown, passed), all?.subarray(shown)));
  }

  /** Records the unfinished line of the chunk. Returns whether the chunk ends with a complete short comment line. */
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

  /** Passes on the held bytes after the response, or an event of it, has ended. */
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
    const single = this.#held.length === 0 && this.#waiting.length === 1 ? only : undefined;
    const bytes = single ?? Buffer.concat([this.#held, ...this.#waiting]);
    this.#held = empty;
    this.#heldMarks = undefined;
    this.#shown = 0;
    this.#waiting = [];
    this.#waitingSize = 0;
    return bytes;
  }
}

/** Returns a copy in which each marked byte is `*`. Returns `bytes` itself if no byte is marked. */
export function covered(bytes: Buffer, marks: Uint8Array | undefined): Buffer {
  if (marks === undefined) return bytes;
  const copy = Buffer.from(bytes);
  const end = Math.min(copy.length, marks.length);
  for (let at = 0; at < end; at++) if (marks[at] !== 0) copy[at] = coverByte;
  return copy;
}

function mergedMarks(marks: Uint8Array | undefined, held: Uint8Array | undefined, length: number) {
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
