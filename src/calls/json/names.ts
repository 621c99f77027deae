import { backslash, stringAt } from './tokens.ts';

/** A key that the router knows, found by its bytes without making them a string. */
export interface KnownName {
  readonly text: string;
  readonly id: number;
  /** The name that has the same hash, if there is one. */
  readonly next: KnownName | undefined;
}

const maxNameBytes = 64;

const byHash = new Map<number, KnownName>();
const byText = new Map<string, KnownName>();

/** Returns the known name, and adds it on the first call. Called while modules load, never with a caller's input. */
export function knownName(text: string): KnownName {
  const known = byText.get(text);
  if (known !== undefined) return known;
  const hash = hashOf(text);
  const name: KnownName = { text, id: byText.size, next: byHash.get(hash) };
  byHash.set(hash, name);
  byText.set(text, name);
  return name;
}

/** Returns the known name between the quotation marks at `start` and `end - 1`. */
export function nameAt(bytes: Buffer, start: number, end: number, hash: number): KnownName | undefined {
  for (let name = byHash.get(hash); name !== undefined; name = name.next) {
    if (name.text.length === end - start - 2 && isAt(bytes, start + 1, name.text)) return name;
  }
  return undefined;
}

/** Returns the known name that is the string between the quotation marks at `start` and `end - 1`. */
export function nameIn(bytes: Buffer, start: number, end: number): KnownName | undefined {
  if (end - start - 2 > 6 * maxNameBytes) return undefined;
  let hash = 0;
  for (let at = start + 1; at < end - 1; at++) {
    const byte = bytes[at] as number;
    if (byte === backslash) return nameOf(stringAt(bytes, start, end) ?? '');
    hash = (Math.imul(hash, 31) + byte) | 0;
  }
  return nameAt(bytes, start, end, hash);
}

/** Returns the known name of a key that was written with escapes. */
export function nameOf(text: string): KnownName | undefined {
  return text.length > maxNameBytes ? undefined : byText.get(text);
}

/**
 * Returns the form in which two keys are equal that a lenient parser may take for one another. Go's encoding/json folds
 * case with U+212A as k and U+017F as s; others fold ligatures and full width, ignore invisible characters, or stop at NUL.
 */
export function foldedKey(key: string): string {
  if (/^[!-~]*$/.test(key)) return key.toLowerCase();
  const [shown = ''] = key.split('\u0000', 1);
  return shown
    .normalize('NFKC')
    .toUpperCase()
    .toLowerCase()
    .replace(/\p{C}|\p{Z}|\p{M}/gu, '');
}

function hashOf(text: string): number {
  let hash = 0;
  for (let at = 0; at < text.length; at++) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0;
  return hash;
}

function isAt(bytes: Buffer, start: number, text: string): boolean {
  for (let at = 0; at < text.length; at++) if (bytes[start + at] !== text.charCodeAt(at)) return false;
  return true;
}
