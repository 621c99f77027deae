import type { Unescaped } from './escapes.ts';

/** What a run of encoded characters stands for, read from one of its first characters on. */
export interface DecodedRun {
  bytes: Uint8Array;
  /** The places of the characters, in the unescaped text. */
  places: Uint32Array;
  /** Which of the characters is the first one that was read. */
  first: number;
  /** Bits of a character. */
  bits: number;
  /** Nothing follows the run yet, so that it may go on. */
  open: boolean;
}

const outside = 0xff;
const skipped = 0xfe;

const base64Value = new Uint8Array(256).fill(outside);
const hexValue = new Uint8Array(256).fill(outside);
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
for (const [value, letter] of [...`${letters}+/`].entries()) base64Value[letter.charCodeAt(0)] = value;
for (const [value, letter] of [...`${letters}-_`].entries()) base64Value[letter.charCodeAt(0)] = value;
for (const [value, digit] of [...'0123456789abcdef'].entries()) {
  hexValue[digit.charCodeAt(0)] = value;
  hexValue[digit.toUpperCase().charCodeAt(0)] = value;
}
// Encoders that wrap lines do it inside of a run.
for (const lineBreak of ['\r', '\n']) base64Value[lineBreak.charCodeAt(0)] = skipped;

interface Encoding {
  values: Uint8Array;
  bits: number;
  /** A secret can begin in each of so many characters: 24 bits are four of base64, 8 bits are two of hex. */
  beginnings: number;
}

const base64: Encoding = { values: base64Value, bits: 6, beginnings: 4 };
const hex: Encoding = { values: hexValue, bits: 4, beginnings: 2 };

/**
 * Decodes every run of base64 (both alphabets, wrapped or not) and of hexadecimal digits, once for each character
 * that a secret could begin in.
 *
 * @param shortest bytes of the shortest secret; runs that could not hold it are left out, unless they are at the end
 */
export function forEachEncodedRun(text: Unescaped, shortest: number, found: (run: DecodedRun) => void): void {
  // A character at either end may hold bits of its neighbours.
  const least = Math.floor((shortest * 8) / base64.bits);
  forEachRun(text, base64, 0, text.length, (start, end, count) => {
    const open = end === text.length;
    if (count < least && !open) return;
    decodeRun(text, base64, { start, end, count, open }, found);
    // Every digit is a letter of base64, so no other run holds them.
    forEachRun(text, hex, start, end, (hexStart, hexEnd, hexCount) => {
      const hexOpen = hexEnd === text.length;
      if (hexCount < 2 * shortest && !hexOpen) return;
      decodeRun(text, hex, { start: hexStart, end: hexEnd, count: hexCount, open: hexOpen }, found);
    });
  });
}

function forEachRun(
  text: Unescaped,
  { values }: Encoding,
  first: number,
  end: number,
  found: (start: number, end: number, count: number) => void,
): void {
  const { bytes, escaped } = text;
  let start = 0;
  let count = 0;
  for (let place = first; place < end; place++) {
    const value = values[bytes[place] ?? 0] ?? outside;
    if (value < skipped) {
      if (escaped[place] !== 0 && isBreak(text, values, place)) continue;
      if (count === 0) start = place;
      count++;
    } else if (value === outside && count > 0) {
      found(start, place, count);
      count = 0;
    }
  }
  if (count > 0) found(start, end, count);
}

/** A line break in a run of base64, as it is or as JSON writes it. */
function isBreak({ bytes, escaped }: Unescaped, values: Uint8Array, place: number): boolean {
  const byte = bytes[place] ?? 0;
  if (values[byte] === skipped) return true;
  return escaped[place] !== 0 && values === base64Value && (byte === 0x6e || byte === 0x72);
}

function decodeRun(
  text: Unescaped,
  { values, bits, beginnings }: Encoding,
  { start, end, count, open }: { start: number; end: number; count: number; open: boolean },
  found: (run: DecodedRun) => void,
): void {
  const digits = new Uint8Array(count);
  const places = new Uint32Array(count);
  let at = 0;
  for (let place = start; place < end; place++) {
    if (isBreak(text, values, place)) continue;
    digits[at] = values[text.bytes[place] ?? 0] ?? 0;
    places[at++] = place;
  }
  for (let first = 0; first < beginnings && first < count; first++)
    found({ bytes: decoded(digits, first, bits), places, first, bits, open });
}

function decoded(digits: Uint8Array, first: number, bits: number): Uint8Array {
  const bytes = new Uint8Array(Math.floor(((digits.length - first) * bits) / 8));
  let buffer = 0;
  let held = 0;
  let at = 0;
  for (let index = first; index < digits.length; index++) {
    buffer = ((buffer << bits) | (digits[index] ?? 0)) & 0xffff;
    held += bits;
    if (held >= 8) {
      held -= 8;
      bytes[at++] = (buffer >> held) & 0xff;
    }
  }
  return bytes;
}
