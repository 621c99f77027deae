import type { Unescaped } from './escapes.ts';

/** Bytes decoded from a run of encoded characters, starting at one of its first characters. */
export interface DecodedRun {
  bytes: Uint8Array;
  /** Indexes of the characters in the unescaped text. */
  places: Uint32Array;
  /** Index in `places` of the first decoded character. */
  first: number;
  /** Bits per character. */
  bits: number;
  /** Whether the run reaches the end of the text, so that the next chunk may continue it. */
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
// Encoders that wrap lines put line breaks inside a run.
for (const lineBreak of ['\r', '\n']) base64Value[lineBreak.charCodeAt(0)] = skipped;

interface Encoding {
  values: Uint8Array;
  bits: number;
  /**
   * Number of characters at which a secret can begin: 24 bits are four characters of base64, 8 bits are two of hex.
   */
  beginnings: number;
}

const base64: Encoding = { values: base64Value, bits: 6, beginnings: 4 };
const hex: Encoding = { values: hexValue, bits: 4, beginnings: 2 };

/**
 * Decodes every run of base64 (both alphabets, wrapped or not) and of hexadecimal digits. Decodes a run once for each
 * character at which a secret could begin.
 *
 * @param shortest bytes of the shortest secret. A shorter run is skipped, except at the end of the text.
 */
export function forEachEncodedRun(text: Unescaped, shortest: number, onRun: (run: DecodedRun) => void): void {
  // The first and the last character may share bits with their neighbours.
  const minCount = Math.floor((shortest * 8) / base64.bits);
  forEachRun(text, base64, 0, text.length, (start, end, count) => {
    const open = end === text.length;
    if (count < minCount && !open) return;
    decodeRun(text, base64, { start, end, count, open }, onRun);
    // Every hexadecimal digit is also a base64 character, so hexadecimal runs occur only inside base64 runs.
    forEachRun(text, hex, start, end, (hexStart, hexEnd, hexCount) => {
      const hexOpen = hexEnd === text.length;
      if (hexCount < 2 * shortest && !hexOpen) return;
      decodeRun(text, hex, { start: hexStart, end: hexEnd, count: hexCount, open: hexOpen }, onRun);
    });
  });
}

function forEachRun(
  text: Unescaped,
  { values }: Encoding,
  first: number,
  end: number,
  onRun: (start: number, end: number, count: number) => void,
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
      onRun(start, place, count);
      count = 0;
    }
  }
  if (count > 0) onRun(start, end, count);
}

/** Returns whether the character is a line break in a base64 run, raw or escaped as in JSON. */
function isBreak({ bytes, escaped }: Unescaped, values: Uint8Array, place: number): boolean {
  const byte = bytes[place] ?? 0;
  if (values[byte] === skipped) return true;
  return escaped[place] !== 0 && values === base64Value && (byte === 0x6e || byte === 0x72);
}

function decodeRun(
  text: Unescaped,
  { values, bits, beginnings }: Encoding,
  { start, end, count, open }: { start: number; end: number; count: number; open: boolean },
  onRun: (run: DecodedRun) => void,
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
    onRun({ bytes: decoded(digits, first, bits), places, first, bits, open });
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
