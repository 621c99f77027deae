import {
  backslash,
  closeBrace,
  closeBracket,
  colon,
  comma,
  openBrace,
  openBracket,
  quote,
} from './tokens.ts';

/** Depth of the deepest member that is kept, such as the `id` in `response.conversation`. */
const maxKeptDepth = 3;
const maxDepth = 512;
/** Bytes of a kept key or value with every character written as an escape. */
const maxTextBytes = 3_074;
const maxListSize = 16;

type Kept = { [key: string]: string | Kept | string[] };

/**
 * Reads a JSON object that arrives in pieces, and keeps the strings of few members. Memory is bounded for a text of any
 * length, and the work for a byte is constant. Does not check the text.
 */
export class MemberScanner {
  readonly #names: ReadonlySet<string>;
  readonly #text = Buffer.allocUnsafe(maxTextBytes);
  #size = 0;
  #inText = false;
  #escaped = false;
  #expectsKey = false;
  #depth = 0;
  /** Whether the container at each depth is an object. */
  #objects: boolean[] = [];
  /** The kept container at each depth; `undefined` if the path to it has another name. */
  #kept: (Kept | string[] | undefined)[] = [];
  #key: string | undefined;
  /** The object, as far as it has arrived. */
  value: Kept = {};
  /** The object is complete, or the text is not an object. */
  over = false;

  /** @param names of the members to keep; each name on the path to a member must be one of them */
  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  reset(): void {
    this.#size = 0;
    this.#inText = false;
    this.#escaped = false;
    this.#depth = 0;
    this.#objects = [];
    this.#kept = [];
    this.value = {};
    this.over = false;
  }

  push(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end && !this.over; at++) {
      const byte = bytes[at] as number;
      if (this.#inText) this.#readText(byte);
      else if (byte === quote) {
        this.#inText = true;
        this.#size = 0;
      } else if (byte === openBrace || byte === openBracket) this.#open(byte === openBrace);
      else if (byte === closeBrace || byte === closeBracket) this.#close();
      else if (byte === comma) this.#expectsKey = this.#objects[this.#depth] === true;
      else if (byte === colon) this.#expectsKey = false;
      else if (this.#depth === 0 && byte > 0x20 && byte < 0x7f) this.over = true;
    }
  }

  #readText(byte: number): void {
    if (byte === quote && !this.#escaped) {
      this.#inText = false;
      this.#endText();
      return;
    }
    this.#escaped = byte === backslash && !this.#escaped;
    if (this.#depth <= maxKeptDepth && this.#size < maxTextBytes) this.#text[this.#size++] = byte;
  }

  #endText(): void {
    if (this.#depth === 0) this.over = true;
    const container = this.#kept[this.#depth];
    if (container === undefined) return;
    const text = this.#size === maxTextBytes ? undefined : unescaped(this.#text.subarray(0, this.#size));
    if (this.#expectsKey) this.#key = text !== undefined && this.#names.has(text) ? text : undefined;
    else if (text !== undefined) this.#put(container, text);
  }

  #put(container: Kept | string[], value: string | Kept | string[]): void {
    if (!Array.isArray(container)) {
      if (this.#key !== undefined) container[this.#key] = value;
    } else if (typeof value === 'string' && container.length < maxListSize) container.push(value);
  }

  #open(object: boolean): void {
    const parent = this.#kept[this.#depth];
    const kept: Kept | string[] = object ? (this.#depth === 0 ? this.value : {}) : [];
    const isKept =
      this.#depth === 0
        ? object
        : this.#depth < maxKeptDepth &&
          parent !== undefined &&
          !Array.isArray(parent) &&
          this.#key !== undefined;
    if (isKept && this.#depth > 0 && parent !== undefined) this.#put(parent, kept);
    this.#depth++;
    this.over = this.#depth > maxDepth;
    this.#objects[this.#depth] = object;
    this.#kept[this.#depth] = isKept ? kept : undefined;
    this.#expectsKey = object;
  }

  #close(): void {
    this.#depth--;
    this.#expectsKey = false;
    if (this.#depth <= 0) this.over = true;
  }
}

function unescaped(text: Buffer): string | undefined {
  try {
    return JSON.parse(`"${text.toString('utf8')}"`) as string;
  } catch {
    return undefined;
  }
}
