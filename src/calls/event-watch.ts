import { RouterError } from '../errors.ts';
import { asBuffer } from './answer.ts';

/**
 * What ends a stream properly. None of it can stand inside of the text that a model writes: there a line break and a
 * quotation mark are escaped.
 */
const ending =
  /(^|[\r\n])data: ?\[DONE\]|"finish_reason": ?"|"type": ?"(response\.(completed|failed|incomplete)|image_generation\.completed|image_edit\.completed|transcript\.text\.done|speech\.audio\.done)"|(^|[\r\n])(data: ?\{ ?"error"|event: ?error)/;

/** An event that tells of an error; in what a model writes the quotation marks are escaped, and `null` is none. */
const failing = /"error" ?: ?[{"]|(^|[\r\n])event: ?error/;

/** An event longer than this is passed on before it is whole. */
const longestHeld = 1_048_576;
/** Of what was passed on, so much is remembered, to be looked at once: at the end. */
const rememberedBytes = 32_768;
const rememberedRuns = 64;
/** In so many of them the end and the usage nearly always stand: to look through all costs more than a stream's beginning. */
const lastRuns = 8;

const lineFeed = 10;
const carriageReturn = 13;

/**
 * Holds a server-sent event back until it is whole, so that an error never has to follow half of one, and knows at the
 * end whether the stream was complete. No event is parsed, and what is not cut by a chunk's border is not copied.
 * Events that tell of an error go through `redact`.
 */
export class EventWatch {
  #held: Buffer = Buffer.alloc(0);
  #heldSize = 0;
  /** The last byte of the chunk before. */
  #before = -1;
  /** An event was too long to be held: its beginning has been passed on. */
  #midEvent = false;
  #complete = false;
  readonly #runs: Buffer[] = [];
  #runsSize = 0;
  #tail: string | undefined;
  readonly #redact: (events: Buffer) => Buffer;

  constructor(redact: (events: Buffer) => Buffer) {
    this.#redact = redact;
  }

  /** Takes a chunk, and puts into `out` what may be passed on. */
  push(given: Uint8Array, out: Uint8Array[]): void {
    const chunk = asBuffer(given);
    if (chunk.length === 0) return;
    this.#tail = undefined;
    const end = eventEnd(chunk, this.#before);
    this.#before = chunk[chunk.length - 1] ?? -1;
    if (end > 0) {
      this.#release(out);
      this.#pass(end === chunk.length ? chunk : chunk.subarray(0, end), out);
      this.#midEvent = false;
    }
    if (end < chunk.length) this.#hold(chunk.subarray(end));
    if (this.#heldSize <= longestHeld) return;
    // Looked at now: its beginning, which says what it is, will be forgotten.
    this.#complete ||= ending.test(this.#heldText());
    this.#midEvent = true;
    this.#release(out);
  }

  /** The stream has ended: passes on what is left, or the error that says that it is not all. */
  end(out: Uint8Array[]): RouterError | undefined {
    this.#complete ||= ending.test(this.tail()) || ending.test(this.#textOf(this.#runs));
    if (this.#complete) {
      this.#release(out);
      return undefined;
    }
    const error = new RouterError('provider_unreachable', 'The stream ended before it was complete.');
    this.fail(error, out);
    return error;
  }

  /** What is held is the beginning of an event that never ended: a client could only stumble over it. */
  fail(error: RouterError, out: Uint8Array[]): void {
    const apart = this.#midEvent ? '\n\n' : '';
    out.push(Buffer.from(`${apart}data: ${JSON.stringify(error.toJSON())}\n\n`));
  }

  /** The last of what came, in which the end and the usage are looked for. */
  tail(): string {
    this.#tail ??= this.#textOf(this.#runs.slice(-lastRuns));
    return this.#tail;
  }

  /** Run by run: to join the bytes first takes memory that is not V8's own, and so dearer. */
  #textOf(runs: readonly Buffer[]): string {
    return runs.map((run) => run.toString('latin1')).join('') + this.#heldText();
  }

  #heldText(): string {
    return this.#held.toString('latin1', 0, this.#heldSize);
  }

  /** Copied into a buffer that grows by doubling: a provider may send byte after byte. */
  #hold(bytes: Buffer): void {
    const size = this.#heldSize + bytes.length;
    if (size > this.#held.length) {
      const grown = Buffer.allocUnsafe(Math.max(size, 2 * this.#held.length, 1_024));
      this.#held.copy(grown, 0, 0, this.#heldSize);
      this.#held = grown;
    }
    bytes.copy(this.#held, this.#heldSize);
    this.#heldSize = size;
  }

  #release(out: Uint8Array[]): void {
    if (this.#heldSize === 0) return;
    const held = this.#held.subarray(0, this.#heldSize);
    this.#held = Buffer.alloc(0);
    this.#heldSize = 0;
    this.#pass(held, out);
  }

  #pass(given: Buffer, out: Uint8Array[]): void {
    const told = given.includes('error') && failing.test(given.toString('latin1'));
    const run = told ? this.#redact(given) : given;
    out.push(run);
    this.#runs.push(run);
    this.#runsSize += run.length;
    while (this.#remembersMore(run)) this.#runsSize -= this.#runs.shift()?.length ?? 0;
  }

  /** Whether enough is left without the oldest, of what came before the newest: that may be long, and the end stand before it. */
  #remembersMore(newest: Buffer): boolean {
    const left = this.#runsSize - (this.#runs[0]?.length ?? 0) - newest.length;
    return left >= rememberedBytes || this.#runs.length > rememberedRuns;
  }
}

/**
 * The index after the last blank line, which ends an event; 0 if there is none. Lines end in LF, CR or CRLF.
 *
 * @param before the byte before the chunk
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
function eventEnd(chunk: Buffer, before: number): number {
  const last = chunk.length - 1;
  // Nearly every chunk.
  if (chunk[last] === lineFeed && (last > 0 ? chunk[last - 1] : before) === lineFeed) return chunk.length;
  let end = 0;
  for (const pair of ['\n\n', '\n\r', '\r\r'])
    end = Math.max(end, chunk.lastIndexOf(pair, undefined, 'latin1') + 2);
  // `lastIndexOf` answers -1 if there is none.
  if (end < 2) end = isBlankLine(before, chunk[0]) ? 1 : 0;
  const split = end > 0 && chunk[end - 1] === carriageReturn && chunk[end] === lineFeed;
  return split ? end + 1 : end;
}

function isBlankLine(before: number, first: number | undefined): boolean {
  if (before === lineFeed) return first === lineFeed || first === carriageReturn;
  return before === carriageReturn && first === carriageReturn;
}
