import { RouterError } from '../../errors.ts';

const maxPathLength = 256;
/**
 * Matches a string with the colon after a key, or a token that opens, separates or closes. Numbers and literals
 * do not match.
 */
const token = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}[\],]/g;

/** An object or a list that has not ended. */
interface Holder {
  /** Path of the holder itself. */
  path: string;
  /** Keys so far; `undefined` for a list. */
  keys: Set<string> | undefined;
  /** Last key, or index of the item. */
  at: string | number;
}

/**
 * Rejects a JSON text with a duplicate key in an object, because parsers differ in which value they use.
 *
 * @param text valid JSON
 * @throws RouterError `invalid_request` that names the key by its path
 */
export function refuseDuplicateKeys(text: string): void {
  const holders: Holder[] = [];
  for (const [found, colon] of text.matchAll(token)) {
    const holder = holders.at(-1);
    if (found === '{' || found === '[')
      holders.push({ path: pathOf(holder), keys: found === '{' ? new Set() : undefined, at: 0 });
    else if (found === '}' || found === ']') holders.pop();
    else if (found === ',') {
      if (typeof holder?.at === 'number') holder.at += 1;
    } else if (colon !== undefined && holder?.keys !== undefined) {
      holder.at = JSON.parse(found.slice(0, -colon.length)) as string;
      if (holder.keys.has(holder.at)) throw twice(pathOf(holder));
      holder.keys.add(holder.at);
    }
  }
}

function pathOf(holder: Holder | undefined): string {
  if (holder === undefined) return '';
  const { path, at } = holder;
  const next = typeof at === 'number' ? `[${at}]` : `${path === '' ? '' : '.'}${at}`;
  return (path + next).slice(0, maxPathLength);
}

function twice(param: string): RouterError {
  return new RouterError('invalid_request', `${param}: must not appear twice in the body.`, { param });
}
