import { RouterError } from '../errors.ts';

export const quote = 0x22;
export const colon = 0x3a;
export const comma = 0x2c;
export const openBrace = 0x7b;
export const closeBrace = 0x7d;
export const openBracket = 0x5b;
const closeBracket = 0x5d;
const backslash = 0x5c;

/** A native search costs more than so many steps. */
const shortString = 64;

/** The index of the first byte from `from` on that is no white space of JSON's. */
export function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  for (;;) {
    if (!isSpace(bytes[at])) return at;
    at++;
  }
}

/** The index after a string that begins at `start`. Long texts are jumped over. */
export function stringEnd(bytes: Buffer, start: number): number {
  if (bytes[start] !== quote) throw unreadable();
  let at = start + 1;
  for (const near = Math.min(at + shortString, bytes.length); at < near; at++) {
    const byte = bytes[at];
    if (byte === quote) return at + 1;
    if (byte === backslash) at++;
  }
  for (;;) {
    at = bytes.indexOf(quote, at);
    if (at === -1) throw unreadable();
    let before = at - 1;
    while (bytes[before] === backslash) before--;
    at++;
    // An even number of backslashes escape each other, not the quotation mark.
    if ((at - before) % 2 === 0) return at;
  }
}

/** The index after the value that begins at `start`. What is below its top level is only counted. */
export function valueEnd(bytes: Buffer, start: number): number {
  const first = bytes[start];
  if (first === quote) return stringEnd(bytes, start);
  if (first === openBrace || first === openBracket) return nestedEnd(bytes, start);
  let at = start;
  while (at < bytes.length && !endsScalar(bytes[at])) at++;
  if (!/^(true|false|null|-?[0-9][-+.0-9eE]*)$/.test(bytes.toString('latin1', start, at))) throw unreadable();
  return at;
}

/** The text of a string that lies there with its quotation marks; `undefined` if it is none. */
export function stringAt(bytes: Buffer, start: number, end: number): string | undefined {
  // Nearly every one: nothing in it is escaped, and nothing would have to be.
  if (isPlain(bytes, start + 1, end - 1)) return bytes.toString('latin1', start + 1, end - 1);
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) as string;
  } catch {
    return undefined;
  }
}

export function unreadable(): RouterError {
  return new RouterError('invalid_request', 'The body is not a JSON object that can be read.');
}

function nestedEnd(bytes: Buffer, start: number): number {
  const closing: number[] = [];
  for (let at = start; at < bytes.length; ) {
    const byte = bytes[at];
    if (byte === quote) {
      at = stringEnd(bytes, at);
      continue;
    }
    if (byte === openBrace) closing.push(closeBrace);
    else if (byte === openBracket) closing.push(closeBracket);
    else if (byte === closeBrace || byte === closeBracket) {
      if (closing.pop() !== byte) throw unreadable();
      if (closing.length === 0) return at + 1;
    }
    at++;
  }
  throw unreadable();
}

function endsScalar(byte: number | undefined): boolean {
  return byte === comma || byte === closeBrace || byte === closeBracket || isSpace(byte);
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isPlain(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x20 || byte > 0x7e || byte === backslash) return false;
  }
  return true;
}
