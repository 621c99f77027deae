/** One event of a stream, as a client dispatches it. */
export interface SseEvent {
  /** Value of its last `event` field; `''` if it has none. */
  type: string;
  /** Values of its `data` fields, joined by line feeds; `undefined` if it has none. */
  data: string | undefined;
  /** Index in the pushed bytes where it begins; 0 if that was in bytes pushed before. */
  start: number;
}

/** Stops the parser if it returns `true`: the rest of the pushed bytes is not read. */
export type SseVisitor = (event: SseEvent) => boolean | undefined;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const colon = 0x3a;
const byteOrderMark = Buffer.from('\ufeff');
const data = Buffer.from('data');
const eventName = Buffer.from('event');

/**
 * Parses server-sent events as bytes arrive. Work and memory are linear in the bytes. An event keeps at most `maxBytes` of
 * its data, and a line at most as many; what exceeds them is dropped.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export class SseParser {
  readonly #maxBytes: number;
  /** The line that has not ended yet: the first `#lineSize` bytes. */
  #line: Buffer = Buffer.alloc(0);
  #lineSize = 0;
  #firstLine = true;
  /** The last byte was a carriage return, so a line feed belongs to it. */
  #afterReturn = false;
  #type = '';
  #data: string[] = [];
  #dataSize = 0;
  /** The event has a field. */
  #begun = false;
  #start = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(bytes: Buffer, visit: SseVisitor): void {
    this.#start = 0;
    let start = 0;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte !== lineFeed && byte !== carriageReturn) continue;
      const second = byte === lineFeed && at === start && this.#lineSize === 0 && this.#afterReturn;
      this.#afterReturn = byte === carriageReturn;
      if (!second) {
        const begun = this.#begun;
        const lineStart = this.#lineSize === 0 ? start : 0;
        if (this.#endLine(bytes, start, at) && this.#dispatch(visit)) return;
        if (!begun && this.#begun) this.#start = lineStart;
      }
      start = at + 1;
    }
    if (start < bytes.length) {
      this.#afterReturn = false;
      this.#hold(bytes, start, bytes.length);
    }
  }

  /** Whether the bytes so far end within an event. A comment is not an event. */
  get midEvent(): boolean {
    return this.#begun || (this.#lineSize > 0 && this.#line[0] !== colon);
  }

  /** Returns whether the line is empty and ends an event that has a field. */
  #endLine(bytes: Buffer, start: number, end: number): boolean {
    if (this.#lineSize === 0) return this.#readLine(bytes, start, end);
    this.#hold(bytes, start, end);
    const ends = this.#readLine(this.#line, 0, this.#lineSize);
    this.#line = Buffer.alloc(0);
    this.#lineSize = 0;
    return ends;
  }

  #readLine(bytes: Buffer, from: number, end: number): boolean {
    let start = from;
    if (this.#firstLine) {
      this.#firstLine = false;
      if (startsWith(bytes, start, end, byteOrderMark)) start += byteOrderMark.length;
    }
    if (start === end) return this.#begun;
    if (startsWith(bytes, start, end, data)) this.#readData(bytes, start + data.length, end);
    else if (startsWith(bytes, start, end, eventName)) this.#readType(bytes, start + eventName.length, end);
    return false;
  }

  #readData(bytes: Buffer, nameEnd: number, end: number): void {
    const start = valueStart(bytes, nameEnd, end);
    if (start === undefined) return;
    this.#begun = true;
    const size = Math.min(end - start, this.#maxBytes - this.#dataSize);
    if (size < 0) return;
    // The line counts too, so that many empty ones are bounded.
    this.#dataSize += size + 1;
    this.#data.push(bytes.toString('utf8', start, start + size));
  }

  #readType(bytes: Buffer, nameEnd: number, end: number): void {
    const start = valueStart(bytes, nameEnd, end);
    if (start === undefined) return;
    this.#begun = true;
    this.#type = bytes.toString('utf8', start, Math.min(end, start + 256));
  }

  #dispatch(visit: SseVisitor): boolean | undefined {
    const text =
      this.#data.length === 0 ? undefined : this.#data.length === 1 ? this.#data[0] : this.#data.join('\n');
    const event = { type: this.#type, data: text, start: this.#start };
    this.#type = '';
    this.#data = [];
    this.#dataSize = 0;
    this.#begun = false;
    return visit(event);
  }

  /** Copies into a buffer that grows by doubling, because a provider may send byte after byte. */
  #hold(bytes: Buffer, start: number, end: number): void {
    const size = Math.min(this.#lineSize + end - start, this.#maxBytes + 8);
    if (size > this.#line.length) {
      const grown = Buffer.allocUnsafe(Math.max(size, 2 * this.#line.length, 256));
      this.#line.copy(grown, 0, 0, this.#lineSize);
      this.#line = grown;
    }
    bytes.copy(this.#line, this.#lineSize, start, start + size - this.#lineSize);
    this.#lineSize = size;
  }
}

/** Returns where a field's value begins after its name; `undefined` if the name continues. */
function valueStart(bytes: Buffer, nameEnd: number, end: number): number | undefined {
  if (nameEnd === end) return end;
  if (bytes[nameEnd] !== colon) return undefined;
  return bytes[nameEnd + 1] === 0x20 && nameEnd + 1 < end ? nameEnd + 2 : nameEnd + 1;
}

function startsWith(bytes: Buffer, start: number, end: number, prefix: Buffer): boolean {
  if (end - start < prefix.length) return false;
  for (let at = 0; at < prefix.length; at++) if (bytes[start + at] !== prefix[at]) return false;
  return true;
}
