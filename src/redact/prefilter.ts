import { hexDigit } from './escapes.ts';

/** Bytes of a window of letters and digits. Only encoders that escape every character escape these. */
const minWindow = 6;
const maxWindow = 10;
/**
 * Bytes within which both windows must be. Encoders wrap at 60 characters or more, so a line break cuts only one
 * window.
 */
const reach = 40;
/** After this many false candidates the prefilter costs more than the full search. */
const maxCandidates = 8;
/** Maximum number of bytes that encode one character, with three levels of escapes. */
const maxFormBytes = 16;

const [percent, ampersand, backslash, zero] = [0x25, 0x26, 0x5c, 0x30];

/** Letters, digits, and the characters that begin or complete another escape. */
const significant = new Uint8Array(256);
for (let code = 0; code < 128; code++)
  if (/[\w%&#;\\]/.test(String.fromCharCode(code))) significant[code] = 1;

/**
 * Detects that a text contains no secret in any encoding, in a fraction of the time of a search. Skips most bytes,
 * because a byte pair that occurs in no anchor allows a jump of one anchor length (Wu and Manber).
 */
export class Prefilter {
  readonly #shifts: Uint8Array;
  readonly #anchors = new Map<number, Buffer[]>();
  readonly #length: number;

  /** Maximum distance in bytes from the start of a secret to the end of its anchors, in the longest encoding. */
  readonly reach: number;

  /** Returns `null` if a secret has too few consecutive letters and digits. */
  static of(secrets: readonly string[]): Prefilter | null {
    const anchors: string[] = [];
    let reach = 0;
    for (const secret of secrets) {
      const windows = windowsOf(secret);
      const ownAnchors = windows && anchorsOf(windows.map(({ window }) => window));
      if (ownAnchors === undefined) return null;
      anchors.push(...ownAnchors);
      for (const { window, at } of windows ?? []) reach = Math.max(reach, at + window.length);
    }
    return new Prefilter(anchors, reach * maxFormBytes);
  }

  private constructor(anchors: readonly string[], reach: number) {
    this.reach = reach;
    this.#length = anchors.reduce((shortest, { length }) => Math.min(shortest, length), maxWindow);
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

  /** Returns `false` if the bytes certainly contain no secret. */
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

/**
 * Returns strings of which at least one occurs in every text that contains the secret with unescaped letters and
 * digits.
 */
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
  const candidates: Window[] = [];
  for (const { 0: run, index } of secret.matchAll(/[A-Za-z0-9]{6,}/g)) {
    // A run of at least two windows' length yields two windows.
    const half = run.length >= 2 * minWindow ? Math.min(maxWindow, run.length >> 1) : run.length;
    for (let at = 0; at + minWindow <= run.length; at += half)
      candidates.push({ window: run.slice(at, at + Math.min(half, maxWindow)), at: index + at });
  }
  const windows = candidates.filter(({ window }) => window.length >= minWindow);
  for (const [index, first] of windows.entries()) {
    const second = windows[index + 1];
    if (second !== undefined && second.at + maxWindow - first.at <= reach) return [first, second];
  }
  return undefined;
}

/**
 * Returns the base64 characters that depend on the window alone, up to a character that differs between the
 * alphabets.
 */
function base64Anchor(window: string, before: number): string | undefined {
  const text = Buffer.concat([Buffer.alloc(before), Buffer.from(window)]).toString('base64');
  const decided = text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + window.length) * 8) / 6));
  const runs = decided.split(/[+/]/).sort((left, right) => right.length - left.length);
  const longest = runs[0] ?? '';
  return longest.length >= minWindow ? longest : undefined;
}

/** Returns whether the text escapes a letter, a digit or the beginning of another escape. */
function hasEscapedLetters(bytes: Buffer): boolean {
  // Most texts contain no escape, and native searches are faster than one loop in JavaScript.
  let at = Math.min(indexOf(bytes, percent), indexOf(bytes, ampersand), indexOfUnicodeEscape(bytes));
  for (; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === percent && isSignificant(hexAt(bytes, at + 1))) return true;
    if (byte === ampersand && isEntity(bytes, at)) return true;
    if (byte === backslash && isUnicodeEscape(bytes, at)) return true;
  }
  return false;
}

/** Searches for the backslash first, because a search for one byte costs a fraction of a search for two. */
function indexOfUnicodeEscape(bytes: Buffer): number {
  const at = indexOf(bytes, backslash);
  return at === bytes.length ? at : indexOf(bytes, '\\u', at);
}

/** Returns the length if the text does not contain `sought`. */
function indexOf(bytes: Buffer, sought: number | string, from = 0): number {
  const at = bytes.indexOf(sought, from, 'latin1');
  return at < 0 ? bytes.length : at;
}

/** Returns whether `\u0073` or `\u{73}` encodes a letter, a digit or the beginning of another escape. */
function isUnicodeEscape(bytes: Buffer, at: number): boolean {
  if (bytes[at + 1] !== 0x75) return false;
  if (bytes[at + 2] === 0x7b) return true;
  return bytes[at + 2] === zero && bytes[at + 3] === zero && isSignificant(hexAt(bytes, at + 4));
}

/**
 * Returns whether `&#115;`, `&amp;#115;` or `&percnt;73` begins here: a number, or a name that may begin another
 * escape.
 */
function isEntity(bytes: Buffer, at: number): boolean {
  if (bytes[at + 1] === 0x23) return true;
  for (let next = at + 1; next < at + 9; next++) if (bytes[next] === 0x3b) return true;
  return false;
}

/** Returns the value of two hexadecimal digits; 0 if the bytes are not two digits. */
function hexAt(bytes: Buffer, at: number): number {
  const high = hexDigit[bytes[at] ?? 0] ?? 0;
  const low = hexDigit[bytes[at + 1] ?? 0] ?? 0;
  return high === 0 || low === 0 ? 0 : (high - 1) * 16 + low - 1;
}

function isSignificant(code: number): boolean {
  return significant[code] === 1;
}
