import { RouterError } from '../../errors.ts';
import type { MemoryReservation } from '../../memory-budget.ts';
import type { UsageReport } from '../../metering/usage/usage-report.ts';
import { asBuffer } from '../answer.ts';
import type { EventApi } from '../endpoints/table.ts';
import { errorEvent } from './error-event.ts';
import { StreamEnding } from './events/stream-ending.ts';

/** Matches an error event. Text of a model escapes its quotation marks, and `null` is not an error. */
const failing =
  /"error" ?: ?[{"]|"(object|type)" ?: ?"error"|(^|[\r\n])(event: ?error|data: ?\{ ?"detail" ?:)/;

/** An event longer than this is passed on before it is whole. */
const maxHeldBytes = 1_048_576;
/** What is held beyond it counts among the bytes that the team's calls hold; without room there it is passed on. */
const freelyHeld = 65_536;
/** An event without its end counts as one up to this length, since clients take `data: [DONE]` without a blank line. */
const maxRestBytes = 16_384;
const lineFeed = 10;
const carriageReturn = 13;
const colon = 0x3a;
const closingBracket = 0x5d;
/** Of `data: [DONE]` and the line break before it. */
const doneLength = 13;
const empty: Buffer = Buffer.alloc(0);

export interface SseGuardOptions {
  api?: EventApi;
  expectedChoices?: number;
  reservation?: MemoryReservation | undefined;
  /** Whether bytes of content are counted, in case that the stream reports no usage. */
  countsContent?: boolean;
  /** Decides what passes of whole events, or of a part of one that is too long to be held. */
  screen?: ((run: Buffer) => Buffer) | undefined;
}

/**
 * Holds a server-sent event back until it is whole, so that an error never has to follow half of one, and knows at the
 * end whether the stream was complete. No event is parsed, and what is not cut by a chunk's border is not copied.
 * Events that tell of an error go through `redact`.
 */
export class SseGuard {
  #held: Buffer = empty;
  #heldSize = 0;
  /** The last byte of the chunk before. */
  #before = -1;
  /** An event was too long to be held: its beginning has been passed on. */
  #midEvent = false;
  readonly #api: EventApi;
  readonly #ending: StreamEnding;
  /** The last event so far is `[DONE]`. */
  saidDone = false;
  readonly #redact: (events: Buffer) => Buffer;
  readonly #screen: ((run: Buffer) => Buffer) | undefined;
  readonly #reservation: MemoryReservation | undefined;
  #reserved = 0;
  /** An event looked like an error. */
  #told = false;

  constructor(redact: (events: Buffer) => Buffer, options: SseGuardOptions = {}) {
    const { api = 'chat', expectedChoices = 1, reservation, screen, countsContent = false } = options;
    this.#redact = redact;
    this.#api = api;
    this.#reservation = reservation;
    this.#screen = screen;
    this.#ending = new StreamEnding(api, expectedChoices, countsContent);
  }

  /** Takes a chunk, and puts into `out` what may be passed on. */
  push(given: Uint8Array, out: Uint8Array[]): void {
    const chunk = asBuffer(given);
    if (chunk.length === 0) return;
    const end = eventEnd(chunk, this.#before);
    this.#before = chunk[chunk.length - 1] ?? -1;
    if (end > 0) {
      this.release(out);
      this.#pass(end === chunk.length ? chunk : chunk.subarray(0, end), out);
      this.#midEvent = false;
    }
    if (end < chunk.length) {
      this.#hold(chunk.subarray(end));
      if (this.#held[0] === colon && !this.#midEvent) this.#passComments(chunk, out);
    }
    if (this.#mayHold()) return;
    this.#midEvent = true;
    this.release(out);
  }

  /**
   * The stream has ended: passes on what is left, or the error that says that it is not all.
   *
   * @param judged whether a stream of events without its end is an error
   */
  end(out: Uint8Array[], judged = true): RouterError | undefined {
    if (!judged || this.isComplete() || !this.#hasEvents()) {
      this.release(out);
      return undefined;
    }
    const error = new RouterError('provider_unreachable', 'The stream ended before it was complete.');
    this.fail(error, out);
    return error;
  }

  /** What is held is the beginning of an event that never ended: a client could only stumble over it. */
  fail(error: RouterError, out: Uint8Array[]): void {
    if (this.hasFailed()) {
      // The provider has told its own error, perhaps without the blank line behind it.
      this.release(out);
      return;
    }
    if (this.#midEvent) out.push(Buffer.from('\n\n'));
    out.push(errorEvent(this.#api, error.toJSON().error, () => this.#ending.nextSequence()));
  }

  /** Bytes of the event that has not ended. */
  get held(): number {
    return this.#heldSize;
  }

  /** What has been passed on is a complete stream. */
  hasEnded(): boolean {
    return this.#ending.isComplete(empty);
  }

  isComplete(): boolean {
    return this.#ending.isComplete(this.#rest());
  }

  #hasEvents(): boolean {
    return this.#heldSize > maxRestBytes || this.#ending.hasEvents(this.#rest());
  }

  /** The provider has sent an error event. */
  hasFailed(): boolean {
    return this.#ending.hasFailed(this.#rest());
  }

  /** The body of the error that the provider sent as an event. Parses nothing if no event looks like one. */
  error(): Buffer | undefined {
    if (!this.#told) return undefined;
    this.hasFailed();
    return this.#ending.hasRecovered ? undefined : this.#ending.error;
  }

  usage(): UsageReport | undefined {
    return this.#ending.usage();
  }

  /** Bytes of content so far, if they are counted. */
  contentBytes(): number | undefined {
    return this.#ending.contentBytes(this.#rest());
  }

  #rest(): Buffer {
    return this.#heldSize > maxRestBytes ? empty : this.#held.subarray(0, this.#heldSize);
  }

  #mayHold(): boolean {
    if (this.#heldSize <= freelyHeld) return true;
    if (this.#heldSize > maxHeldBytes) return false;
    const lacking = this.#heldSize - this.#reserved;
    if (lacking > 0 && this.#reservation !== undefined)
      this.#reserved += this.#reservation.take(Math.max(lacking, freelyHeld));
    return this.#reservation === undefined || this.#reserved >= this.#heldSize;
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

  /** Passes on the comments before an event as soon as their lines have ended, because servers send them as heartbeats. */
  #passComments(chunk: Buffer, out: Uint8Array[]): void {
    if (!chunk.includes(lineFeed) && !chunk.includes(carriageReturn)) return;
    const held = this.#held.subarray(0, this.#heldSize);
    const end = commentsEnd(held);
    if (end === 0) return;
    this.#heldSize = end;
    this.release(out);
    if (end < held.length) this.#hold(held.subarray(end));
  }

  /** Passes on what is held. */
  release(out: Uint8Array[]): void {
    if (this.#heldSize === 0) return;
    const held = this.#held.subarray(0, this.#heldSize);
    this.#held = empty;
    this.#heldSize = 0;
    this.#reservation?.give(this.#reserved);
    this.#reserved = 0;
    this.#pass(held, out);
  }

  #pass(received: Buffer, out: Uint8Array[]): void {
    const given = this.#screen === undefined ? received : this.#screen(received);
    if (given.length === 0) return;
    // Without its first letter, the most frequent one: each would stop the search.
    const mayTell = given.includes('rror') || given.includes('etail"');
    const told = mayTell && failing.test(given.toString('latin1'));
    this.#told ||= told;
    const run = told ? this.#redact(given) : given;
    out.push(run);
    this.saidDone = endsInDone(run);
    this.#ending.note(run);
    if (this.saidDone) this.#ending.finish();
  }
}

/** Whether the last event is `[DONE]`. In what a model writes the line break before it is escaped. */
function endsInDone(run: Buffer): boolean {
  let end = run.length;
  while (run[end - 1] === lineFeed || run[end - 1] === carriageReturn) end--;
  if (run[end - 1] !== closingBracket || end === run.length) return false;
  const start = Math.max(0, end - doneLength);
  return /(^|[\r\n])data: ?\[DONE\]$/.test(run.toString('latin1', start, end));
}

/**
 * Returns the index after the last blank line, which ends an event; 0 without a blank line. Lines end in LF, CR
 * or CRLF.
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
  // `lastIndexOf` returns -1 without a match.
  if (end < 2) end = isBlankLine(before, chunk[0]) ? 1 : 0;
  const split = end > 0 && chunk[end - 1] === carriageReturn && chunk[end] === lineFeed;
  return split ? end + 1 : end;
}

/** The index after the comment lines that bytes begin with; a carriage return at their end may be half of a line's end. */
function commentsEnd(bytes: Buffer): number {
  let end = 0;
  for (let at = 0; bytes[end] === colon && at < bytes.length; at++) {
    if (bytes[at] === lineFeed) end = at + 1;
    else if (bytes[at] === carriageReturn && at + 1 < bytes.length) {
      if (bytes[at + 1] === lineFeed) at += 1;
      end = at + 1;
    }
  }
  return end;
}

function isBlankLine(before: number, first: number | undefined): boolean {
  if (before === lineFeed) return first === lineFeed || first === carriageReturn;
  return before === carriageReturn && first === carriageReturn;
}
