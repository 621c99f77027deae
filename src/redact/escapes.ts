/** Replaces one run of non-ASCII bytes, because its length depends on the charset. */
const notAscii = 0x80;

const backslash = 0x5c;
const percent = 0x25;
const ampersand = 0x26;
const semicolon = 0x3b;
const numberSign = 0x23;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const [lowerU, upperU, lowerX] = [0x75, 0x55, 0x78];

/** Bytes of the longest escape after its own parts are decoded. It is an HTML entity name. */
export const maxEscapeBytes = 18;

/** HTML entity names of ASCII characters. Every other name is of a non-ASCII character. */
const namesOfAscii = `
  ! excl   " quot QUOT   # num   $ dollar   % percnt   & amp AMP   ' apos   ( lpar   ) rpar
  * ast midast   + plus   , comma   . period   / sol   : colon   ; semi   < lt LT   = equals   > gt GT   ? quest
  @ commat   [ lsqb lbrack   \\ bsol   ] rsqb rbrack   ^ Hat   _ lowbar UnderBar   \` grave DiacriticalGrave
  { lcub lbrace   | verbar vert VerticalLine   } rcub rbrace`;
const named = new Map<string, number>([
  ['Tab', 0x09],
  ['NewLine', 0x0a],
]);
for (const [, character = '', names = ''] of namesOfAscii.matchAll(/([!-/:-@[-`{-~])((?: \w+)+)/g))
  for (const name of names.trim().split(' ')) named.set(name, character.charCodeAt(0));

/** Maps a hexadecimal digit to its value plus 1, and every other byte to 0. */
export const hexDigit: Uint8Array = new Uint8Array(256);
for (const [value, digits] of [...'0123456789abcdef'].entries()) {
  hexDigit[digits.charCodeAt(0)] = value + 1;
  hexDigit[digits.toUpperCase().charCodeAt(0)] = value + 1;
}

/** A text with its escapes decoded. */
export interface Unescaped {
  bytes: Uint8Array;
  length: number;
  /** Start and end of each byte in the input. */
  from: Uint32Array;
  to: Uint32Array;
  /** 1 after a backslash, 2 after a backslash that was itself escaped, else 0. */
  escaped: Uint8Array;
  /** Start of a run of backslashes at the end of the input; -1 if the input does not end with one. */
  openRun: number;
  /** Whether the output differs from the input. */
  changed: boolean;
}

/**
 * Decodes the escapes of JSON, JavaScript, URLs and HTML, nested to any depth and mixed in any order. Drops
 * backslashes, because each level of JSON doubles them.
 *
 * Decodes each result again together with the bytes after it, so `%2541` becomes `A`. The time is linear, because
 * each decoding shortens the output by at least two bytes and each input byte lengthens it by at most one.
 */
export function decodeEscapes(input: Uint8Array): Unescaped {
  const bytes = new Uint8Array(input.length);
  const from = new Uint32Array(input.length);
  const to = new Uint32Array(input.length);
  const escaped = new Uint8Array(input.length);
  let length = 0;
  let openRun = -1;
  let runWasEscaped = false;
  let changed = false;
  // Output up to this length may complete an escape.
  let checkedTo = 0;
  for (let at = 0; at < input.length; at++) {
    let value = input[at] ?? 0;
    let start = at;
    for (;;) {
      if (value === backslash) {
        if (openRun < 0) openRun = start;
        runWasEscaped ||= start < at;
        changed = true;
        break;
      }
      const previous = length - 1;
      if (value >= notAscii) {
        changed = true;
        if (length > 0 && bytes[previous] === notAscii && openRun < 0) {
          to[previous] = at + 1;
          break;
        }
        value = notAscii;
      }
      bytes[length] = value;
      to[length] = at + 1;
      if (openRun < 0) {
        from[length] = start;
        escaped[length] = 0;
      } else {
        from[length] = openRun;
        escaped[length] = runWasEscaped ? 2 : 1;
        openRun = -1;
        runWasEscaped = false;
        checkedTo = length + maxEscapeBytes;
      }
      length++;
      if (value === percent || value === ampersand) checkedTo = length + maxEscapeBytes;
      else if (length > checkedTo) break;
      const size = escapeSize(bytes, escaped, length);
      if (size === 0) break;
      value = escapeValue(bytes, length - size, length);
      length -= size;
      start = from[length] ?? 0;
      // In `\u{5c}\u{75}` the decoded backslash belongs to the escape that follows it.
      if (escaped[length] === 2) openRun = start;
      changed = true;
    }
  }
  return { bytes, length, from, to, escaped, openRun, changed };
}

/** Returns the size of the escape that ends the output; 0 if the output ends with no escape. */
function escapeSize(bytes: Uint8Array, escaped: Uint8Array, length: number): number {
  const last = bytes[length - 1] ?? 0;
  if (hexDigit[last] !== 0) return hexSize(bytes, escaped, length);
  if (last === semicolon) return entitySize(bytes, length);
  if (last === closeBrace) return bracedSize(bytes, escaped, length);
  return 0;
}

/** Matches `%2b`, `\x2b`, `\u002b` and `\U0000002b`. */
function hexSize(bytes: Uint8Array, escaped: Uint8Array, length: number): number {
  if (length < 3 || hexDigit[bytes[length - 2] ?? 0] === 0) return 0;
  const mark = bytes[length - 3];
  if (mark === percent || (mark === lowerX && escaped[length - 3] !== 0)) return 3;
  if (length >= 5 && bytes[length - 5] === lowerU && escaped[length - 5] !== 0)
    return areHex(bytes, length - 4, length - 2) ? 5 : 0;
  if (length >= 9 && bytes[length - 9] === upperU && escaped[length - 9] !== 0)
    return areHex(bytes, length - 8, length - 2) ? 9 : 0;
  return 0;
}

function areHex(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (hexDigit[bytes[at] ?? 0] === 0) return false;
  return true;
}

function entitySize(bytes: Uint8Array, length: number): number {
  for (let size = 3; size <= maxEscapeBytes && size <= length; size++) {
    const byte = bytes[length - size] ?? 0;
    if (byte === ampersand) return size;
    if (!isNamePart(byte) && byte !== numberSign) return 0;
  }
  return 0;
}

function isNamePart(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a);
}

/** Matches `\u{1f600}`. */
function bracedSize(bytes: Uint8Array, escaped: Uint8Array, length: number): number {
  for (let size = 3; size <= 9 && size < length; size++) {
    const byte = bytes[length - size] ?? 0;
    if (byte === openBrace) {
      const at = length - size - 1;
      return size > 2 && bytes[at] === lowerU && escaped[at] !== 0 ? size + 1 : 0;
    }
    if (hexDigit[byte] === 0) return 0;
  }
  return 0;
}

function escapeValue(bytes: Uint8Array, start: number, end: number): number {
  if (bytes[start] !== ampersand) {
    const braced = bytes[start + 1] === openBrace;
    return inAscii(Number.parseInt(ascii(bytes, start + (braced ? 2 : 1), braced ? end - 1 : end), 16));
  }
  const name = ascii(bytes, start + 1, end - 1);
  if (!name.startsWith('#')) return named.get(name) ?? notAscii;
  const isHex = name[1] === 'x' || name[1] === 'X';
  return inAscii(isHex ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10));
}

function inAscii(code: number): number {
  return code >= 0 && code < notAscii ? code : notAscii;
}

function ascii(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at] ?? 0);
  return text;
}
