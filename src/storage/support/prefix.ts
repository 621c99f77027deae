const largestCodePoint = 0x10ffff;

/**
 * Returns the smallest text above every text that begins with `prefix`; `undefined` if no such text exists. The order
 * is that of UTF-8 bytes, which SQLite and PostgreSQL's collation "C" use.
 */
export function endOfPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  while (points.at(-1) === largestCodePoint) points.pop();
  const last = points.pop();
  if (last === undefined) return undefined;
  // Surrogates are not code points of their text, so they are skipped.
  points.push(last === 0xd7ff ? 0xe000 : last + 1);
  return String.fromCodePoint(...points);
}
