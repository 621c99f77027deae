/**
 * Parses an absolute URL; returns `undefined` if it is malformed.
 *
 * Does not use `URL.canParse`, because it is wrong in Node 20 after a few thousand calls: the optimized function refuses
 * a host with a character between U+0080 and U+00FF, such as `bücher.example`. `URL.parse` needs Node 22.
 */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
