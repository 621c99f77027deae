/** Stands for one run of what is not ASCII: charsets and misreadings differ in how many bytes it has. */
const notAscii = 0x80;

const backslash = 0x5c;
const percent = 0x25;
const ampersand = 0x26;
const semicolon = 0x3b;
const numberSign = 0x23;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const [lowerU, upperU, lowerX] = [0x75, 0x55, 0x78];

/** Bytes that the longest escape has, once its own parts are decoded: a name of HTML. */
export const maxEscapeBytes = 18;

/** Of HTML's names those for ASCII. Every other name is for a character beyond it. */
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

/** The value of a hexadecimal digit, plus 1; 0 for every other byte. */
export const hexDigit: Uint8Array = new Uint8Array(256);
for (const [value, digits] of [...'0123456789abcdef'].entries()) {
  hexDigit[digits.charCodeAt(0)] = value + 1;
  hexDigit[digits.toUpperCase().charCodeAt(0)] = value + 1;
}

/** A text without its escapes. */
export interface Unescaped {
  bytes: Uint8Array;
  length: number;
  /** Where each byte begins and ends in what was read. */
  from: Uint32Array;
  to: Uint32Array;
  /** 1 after a backslash, 2 after one that was an escape itself, else 0. */
  escaped: Uint8Array;
  /** Where a run of backslashes at the end begins; -1 if there is none. */
  openRun: number;
  /** Whether anything was decoded or left out. */
  changed: boolean;
}

/**
 * Reads JSON's, JavaScript's, URLs' and HTML's escapes, nested to any depth and mixed in any way. Backslashes are left
 * out, because each level of JSON doubles them.
 *
 * What is decoded is read again with what follows, so `%2541` becomes `A`. That is linear, because each decoding makes
 * the result at least two bytes shorter, and each byte of the input makes it at most one byte longer.
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
  // Up to this length what was appended may complete an escape.
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
      // `\u{5c}\u{75}`: the backslash that was an escape belongs to what the next escape stands for.
      if (escaped[length] === 2) openRun = start;
      changed = true;
    }
  }
  return { bytes, length, from, to, escaped, openRun, changed };
}

/** How many bytes at the end are an escape; 0 if they are none. */
function escapeSize(bytes: Uint8Array, escaped: Uint8Array, length: number): number {
  const last = bytes[length - 1] ?? 0;
  if (hexDigit[last] !== 0) return hexSize(bytes, escaped, length);
  if (last === semicolon) return entitySize(bytes, length);
  if (last === closeBrace) return bracedSize(bytes, escaped, length);
  return 0;
}

/** `%2b`, `\x2b`, `\u002b`, `\U0000002b` */
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

/** `\u{1f600}` */
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
