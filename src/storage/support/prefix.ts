const largestCodePoint = 0x10ffff;

/**
 * The least text above every text that begins with `prefix`, in the order of UTF-8 bytes, which is SQLite's and that of
 * PostgreSQL's collation "C"; `undefined` if there is none.
 */
export function endOfPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  while (points.at(-1) === largestCodePoint) points.pop();
  const last = points.pop();
  if (last === undefined) return undefined;
  // The surrogates are no characters of their own.
  points.push(last === 0xd7ff ? 0xe000 : last + 1);
  return String.fromCodePoint(...points);
}
