import { RouterError } from '../../errors.ts';

export const quote = 0x22;
export const colon = 0x3a;
export const comma = 0x2c;
export const openBrace = 0x7b;
export const closeBrace = 0x7d;
export const openBracket = 0x5b;
export const closeBracket = 0x5d;
export const backslash = 0x5c;

/** Returns the text of a JSON string with its quotation marks at `start` and `end - 1`; `undefined` if it is malformed. */
export function stringAt(bytes: Buffer, start: number, end: number): string | undefined {
  // Nothing in it is escaped, and nothing would have to be.
  if (isPlain(bytes, start + 1, end - 1)) return bytes.toString('latin1', start + 1, end - 1);
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) as string;
  } catch {
    return undefined;
  }
}

export function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Whether the bytes of a span are these ASCII characters. */
export function isLiteral(bytes: Buffer, start: number, end: number, literal: string): boolean {
  if (end - start !== literal.length) return false;
  for (let at = 0; at < literal.length; at++) if (bytes[start + at] !== literal.charCodeAt(at)) return false;
  return true;
}

/** Returns the error for a body that is not JSON. With `at` the message has the position, and never a part of the text. */
export function malformedBody(bytes?: Buffer, at?: number): RouterError {
  const where = bytes === undefined || at === undefined ? '' : `: ${faultAt(bytes, at)} at byte ${at}`;
  return new RouterError('invalid_request', `The body is not a JSON object that can be read${where}.`);
}

const maxSpacesBack = 1_024;

function faultAt(bytes: Buffer, at: number): string {
  const byte = bytes[at];
  if (byte === undefined) return 'the text ends too early';
  if (byte === closeBrace || byte === closeBracket) {
    let before = at - 1;
    while (at - before < maxSpacesBack && (bytes[before] ?? 0x21) <= 0x20) before--;
    if (bytes[before] === comma) return `a comma before "${byte === closeBrace ? '}' : ']'}"`;
  }
  if (byte === 0x27) return 'a single quote in place of a double quote';
  if (byte === 0x2f || byte === 0x23) return 'a comment';
  if (byte === 0xef && at === 0) return 'a byte order mark';
  return 'an unexpected character';
}

function isPlain(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x20 || byte > 0x7e || byte === backslash) return false;
  }
  return true;
}

/** Position of a top-level value, and the key before it. */
export type MemberSpan = readonly [start: number, end: number, keyStart: number];
