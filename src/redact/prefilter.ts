import { hexDigit } from './escapes.ts';

/** A window of letters and digits: no encoder escapes them, except one that escapes everything. */
const minWindow = 6;
const maxWindow = 10;
/** Encoders wrap lines after 60 characters or more, so a line break cuts at most one of two windows this close together. */
const reach = 40;
/** After so many places that only look like a secret, reading on costs more than the search itself. */
const maxCandidates = 8;
/** Bytes that one character takes at most, three levels of escapes deep. */
const maxFormBytes = 16;

const [percent, ampersand, backslash, zero] = [0x25, 0x26, 0x5c, 0x30];

/** Letters, digits, and what begins or makes another escape. */
const telling = new Uint8Array(256);
for (let code = 0; code < 128; code++) if (/[\w%&#;\\]/.test(String.fromCharCode(code))) telling[code] = 1;

/**
 * Tells in a fraction of the time of a search that some bytes hold none of the secrets, in any form. Most bytes are not
 * even looked at, because a pair of bytes that is in no anchor lets it skip the length of one (Wu and Manber).
 */
export class Prefilter {
  readonly #shifts: Uint8Array;
  readonly #anchors = new Map<number, Buffer[]>();
  readonly #length: number;

  /** Bytes from a secret's first one to the end of its anchors, in the longest form. */
  readonly reach: number;

  /** `null` if a secret has too few letters and digits in a row. */
  static of(secrets: readonly string[]): Prefilter | null {
    const anchors: string[] = [];
    let reach = 0;
    for (const secret of secrets) {
      const windows = windowsOf(secret);
      const own = windows && anchorsOf(windows.map(({ window }) => window));
      if (own === undefined) return null;
      anchors.push(...own);
      for (const { window, at } of windows ?? []) reach = Math.max(reach, at + window.length);
    }
    return new Prefilter(anchors, reach * maxFormBytes);
  }

  private constructor(anchors: readonly string[], reach: number) {
    this.reach = reach;
    this.#length = anchors.reduce((least, { length }) => Math.min(least, length), maxWindow);
    let size = 2048;
    while (size < 65_536 && size < 256 * anchors.length) size *= 2;
    this.#shifts = new Uint8Array(size).fill(this.#length - 1);
    for (const anchor of anchors) {
      const bytes = Buffer.from(anchor.slice(0, this.#length));
      for (let at = 1; at < bytes.length; at++) {
        const pair = this.#pair(bytes, at);
        this.#shifts[pair] = Math.min(this.#shifts[pair] ?? 0, bytes.length - 1 - at);
      }
      const last = this.#pair(bytes, bytes.length - 1);
      this.#anchors.set(last, [...(this.#anchors.get(last) ?? []), bytes]);
    }
  }

  /** `false`: the bytes hold no secret. */
  mayHold(bytes: Buffer): boolean {
    let candidates = 0;
    for (let at = this.#length - 1; at < bytes.length; ) {
      const shift = this.#shifts[this.#pair(bytes, at)] ?? 0;
      if (shift > 0) {
        at += shift;
        continue;
      }
      if (++candidates > maxCandidates || this.#isAnchor(bytes, at)) return true;
      at++;
    }
    return hasEscapedLetters(bytes);
  }

  #pair(bytes: Buffer, at: number): number {
    return (((bytes[at - 1] ?? 0) << 5) ^ (bytes[at] ?? 0)) & (this.#shifts.length - 1);
  }

  #isAnchor(bytes: Buffer, last: number): boolean {
    const start = last + 1 - this.#length;
    const anchors = this.#anchors.get(this.#pair(bytes, last)) ?? [];
    return anchors.some((anchor) => anchor.every((byte, at) => bytes[start + at] === byte));
  }
}

interface Window {
  window: string;
  at: number;
}

/** One of them is in every text that holds the secret without escaping its letters and digits. */
function anchorsOf([first = '', second = '']: readonly string[]): string[] | undefined {
  const hex = Buffer.from(first).toString('hex').slice(0, maxWindow);
  const anchors = [first, hex, hex.toUpperCase()];
  for (const window of [first, second]) {
    for (const before of [0, 1, 2]) {
      const anchor = base64Anchor(window, before);
      if (anchor === undefined) return undefined;
      anchors.push(anchor);
    }
  }
  return anchors;
}

function windowsOf(secret: string): Window[] | undefined {
  const found: Window[] = [];
  for (const { 0: run, index } of secret.matchAll(/[A-Za-z0-9]{6,}/g)) {
    // A run that is long enough for two gives two.
    const half = run.length >= 2 * minWindow ? Math.min(maxWindow, run.length >> 1) : run.length;
    for (let at = 0; at + minWindow <= run.length; at += half)
      found.push({ window: run.slice(at, at + Math.min(half, maxWindow)), at: index + at });
  }
  const windows = found.filter(({ window }) => window.length >= minWindow);
  for (const [index, first] of windows.entries()) {
    const second = windows[index + 1];
    if (second !== undefined && second.at + maxWindow - first.at <= reach) return [first, second];
  }
  return undefined;
}

/** The characters that the window alone decides, up to one that two alphabets write differently. */
function base64Anchor(window: string, before: number): string | undefined {
  const text = Buffer.concat([Buffer.alloc(before), Buffer.from(window)]).toString('base64');
  const decided = text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + window.length) * 8) / 6));
  const runs = decided.split(/[+/]/).sort((left, right) => right.length - left.length);
  const longest = runs[0] ?? '';
  return longest.length >= minWindow ? longest : undefined;
}

/** Whether a letter, a digit or the beginning of another escape is written as an escape. */
function hasEscapedLetters(bytes: Buffer): boolean {
  // Most texts have none of them, and a native search of each is faster than one loop.
  let at = Math.min(indexOf(bytes, percent), indexOf(bytes, ampersand), indexOfUnicodeEscape(bytes));
  for (; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === percent && isTelling(hexAt(bytes, at + 1))) return true;
    if (byte === ampersand && isEntity(bytes, at)) return true;
    if (byte === backslash && isUnicodeEscape(bytes, at)) return true;
  }
  return false;
}

/** A search for one byte costs a fraction of one for two. */
function indexOfUnicodeEscape(bytes: Buffer): number {
  const at = indexOf(bytes, backslash);
  return at === bytes.length ? at : indexOf(bytes, '\\u', at);
}

/** The length if there is none. */
function indexOf(bytes: Buffer, sought: number | string, from = 0): number {
  const at = bytes.indexOf(sought, from, 'latin1');
  return at < 0 ? bytes.length : at;
}

/** `\u0073`, `\u{73}`: of a letter, or of what begins another escape. */
function isUnicodeEscape(bytes: Buffer, at: number): boolean {
  if (bytes[at + 1] !== 0x75) return false;
  if (bytes[at + 2] === 0x7b) return true;
  return bytes[at + 2] === zero && bytes[at + 3] === zero && isTelling(hexAt(bytes, at + 4));
}

/** `&#115;`, `&amp;#115;`, `&percnt;73`: a number, or a name that may begin another escape. */
function isEntity(bytes: Buffer, at: number): boolean {
  if (bytes[at + 1] === 0x23) return true;
  for (let next = at + 1; next < at + 9; next++) if (bytes[next] === 0x3b) return true;
  return false;
}

/** The value of two hexadecimal digits; 0 if they are none. */
function hexAt(bytes: Buffer, at: number): number {
  const high = hexDigit[bytes[at] ?? 0] ?? 0;
  const low = hexDigit[bytes[at + 1] ?? 0] ?? 0;
  return high === 0 || low === 0 ? 0 : (high - 1) * 16 + low - 1;
}

function isTelling(code: number): boolean {
  return telling[code] === 1;
}
