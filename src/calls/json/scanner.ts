import { RouterError } from '../../errors.ts';
import {
  backslash,
  closeBrace,
  closeBracket,
  colon,
  comma,
  malformedBody,
  openBrace,
  openBracket,
  quote,
} from './tokens.ts';

/** Receives what the scanner finds. Spans are byte offsets: `start` is the first byte, `end` the one after the last. */
export interface JsonHandler {
  /** `hash` is that of the bytes if `plain`: at most 64 of them, each one of a to z, 0 to 9 and `_`. */
  key(start: number, end: number, hash: number, plain: boolean): void;
  open(object: boolean, at: number): void;
  close(empty: boolean, end: number): void;
  text(start: number, end: number): void;
  /** A number or a literal that is the whole text, or a member of an object. Those in arrays are not reported. */
  scalar(start: number, end: number): void;
}

/** Levels of objects and arrays in one another. Deeper bodies are refused; OpenAI's own calls need about 20. */
export const maxJsonDepth = 512;

/** A native search costs more than comparing this many bytes. No known name is longer. */
const nearBytes = 64;
const maxScalarBytes = 1_024;

/** What the grammar allows next: up to `valueOrEnd` a value, up to `key` a string. */
const value = 0;
const valueOrEnd = 1;
const keyOrEnd = 2;
const key = 3;
const afterKey = 4;
const afterValue = 5;

/**
 * Reads a JSON text once, without recursion and without building what it reads. Checks the structure: brackets, commas,
 * colons. Does not check escapes within strings, nor the spelling of numbers below the top level. `run` can stop after
 * any number of bytes and continue later. The work for a byte is constant.
 */
export class JsonScanner {
  readonly #bytes: Buffer;
  readonly #handler: JsonHandler;
  readonly #maxDepth: number;
  /** Whether the container at each depth is an object. */
  readonly #objects: boolean[] = [];
  #at = 0;
  #expected = value;
  /** Where the string begins in which the last run stopped; -1: in none. */
  #stringStart = -1;
  #depth = 0;
  /** The nearest quotation mark and backslash from the last search on: each byte is searched at most once. */
  #quoteAt = -1;
  #backslashAt = -1;

  constructor(bytes: Buffer, handler: JsonHandler, maxDepth: number = maxJsonDepth) {
    this.#bytes = bytes;
    this.#handler = handler;
    this.#maxDepth = maxDepth;
  }

  /**
   * Reads up to about `limit`, and returns whether the text has ended.
   *
   * @throws RouterError `invalid_request` if the text is malformed or nested too deeply
   */
  run(limit: number): boolean {
    const bytes = this.#bytes;
    const objects = this.#objects;
    const handler = this.#handler;
    const stop = Math.min(limit, bytes.length);
    if (this.#stringStart !== -1) this.#string(this.#stringStart, this.#at, limit);
    let at = this.#at;
    let expected = this.#expected;
    while (at < stop) {
      const byte = bytes[at] as number;
      if (byte === quote) {
        const isKey = expected === key || expected === keyOrEnd;
        if (expected > key) throw malformedBody(bytes, at);
        const start = at++;
        let hash = 0;
        let plain = true;
        let next = 0;
        const near = Math.min(at + nearBytes, bytes.length);
        if (isKey) {
          for (; at < near; at++) {
            next = bytes[at] as number;
            if (next === quote || next === backslash) break;
            if (next < 0x30 || next > 0x7a || (next > 0x39 && next < 0x5f) || next === 0x60) plain = false;
            hash = (Math.imul(hash, 31) + next) | 0;
          }
        } else {
          for (; at < near; at++) {
            next = bytes[at] as number;
            if (next === quote || next === backslash) break;
          }
        }
        if (next !== quote) {
          this.#expected = expected;
          this.#string(start, at, limit);
          at = this.#at;
          expected = this.#expected;
        } else if (isKey) {
          expected = afterKey;
          handler.key(start, ++at, hash, plain);
        } else {
          expected = afterValue;
          handler.text(start, ++at);
        }
      } else if (byte === comma) {
        if (expected !== afterValue || this.#depth === 0) throw malformedBody(bytes, at);
        expected = objects[this.#depth] === true ? key : value;
        at++;
      } else if (byte === colon) {
        if (expected !== afterKey) throw malformedBody(bytes, at);
        expected = value;
        at++;
      } else if (byte === openBrace || byte === openBracket) {
        if (expected > valueOrEnd) throw malformedBody(bytes, at);
        const object = byte === openBrace;
        this.#deeper(object);
        expected = object ? keyOrEnd : valueOrEnd;
        handler.open(object, at++);
      } else if (byte === closeBrace || byte === closeBracket) {
        const object = byte === closeBrace;
        const empty = expected === (object ? keyOrEnd : valueOrEnd);
        if (!empty && expected !== afterValue) throw malformedBody(bytes, at);
        if (this.#depth === 0 || objects[this.#depth] !== object) throw malformedBody(bytes, at);
        this.#depth--;
        expected = afterValue;
        handler.close(empty, ++at);
      } else if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) at++;
      else {
        if (expected > valueOrEnd) throw malformedBody(bytes, at);
        const start = at;
        at = scalarEnd(bytes, start);
        expected = afterValue;
        if (this.#depth === 0 || objects[this.#depth] === true) handler.scalar(start, at);
      }
    }
    this.#at = at;
    this.#expected = expected;
    if (at < bytes.length) return false;
    if (this.#depth > 0 || expected !== afterValue || this.#stringStart !== -1)
      throw malformedBody(bytes, at);
    return true;
  }

  #deeper(object: boolean): void {
    if (this.#depth === this.#maxDepth) {
      const message = `The body has more than ${this.#maxDepth} levels of objects and arrays.`;
      throw new RouterError('invalid_request', message);
    }
    this.#objects[++this.#depth] = object;
  }

  /** Reads on in the string that begins at `start`, from `from`; sets `#stringStart` if the limit comes first. */
  #string(start: number, from: number, limit: number): void {
    const bytes = this.#bytes;
    const { length } = bytes;
    const expected = this.#expected;
    let at = from;
    for (;;) {
      for (const near = Math.min(at + nearBytes, length); at < near; at++) {
        const byte = bytes[at];
        if (byte === backslash) at++;
        else if (byte === quote) {
          this.#at = at + 1;
          this.#stringStart = -1;
          if (expected === key || expected === keyOrEnd) {
            this.#expected = afterKey;
            this.#handler.key(start, at + 1, 0, false);
          } else {
            this.#expected = afterValue;
            this.#handler.text(start, at + 1);
          }
          return;
        }
      }
      if (at >= length) throw malformedBody(bytes, at);
      if (at >= limit) break;
      if (this.#quoteAt < at) this.#quoteAt = indexFrom(bytes, quote, at);
      if (this.#backslashAt < at) this.#backslashAt = indexFrom(bytes, backslash, at);
      at = Math.min(this.#quoteAt, this.#backslashAt);
    }
    this.#at = at;
    this.#stringStart = start;
  }
}

function scalarEnd(bytes: Buffer, start: number): number {
  let at = start;
  const end = Math.min(start + maxScalarBytes, bytes.length);
  while (at < end && isScalarByte(bytes[at] as number)) at++;
  if (at === start || at === start + maxScalarBytes) throw malformedBody(bytes, at);
  return at;
}

function indexFrom(bytes: Buffer, byte: number, from: number): number {
  const at = bytes.indexOf(byte, from);
  return at === -1 ? bytes.length : at;
}

/** Of numbers, `true`, `false`, `null`, and of the `NaN` and `Infinity` that Python writes. Comments have none of these. */
function isScalarByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    byte === 0x2d ||
    byte === 0x2b ||
    byte === 0x2e
  );
}
