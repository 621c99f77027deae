import { mask } from './mask.ts';

/**
 * Replaces every substring that has the form of a credential. Error messages and log lines pass through this
 * function.
 *
 * Each expression runs in linear time: a match begins only at its literal, and no match contains that literal again.
 */
export function redactCredentials(text: string): string {
  return text
    .replace(/(?<![\w-])sk-[\w-]{20,}/g, mask)
    .replace(/\b(Bearer|Basic) +[\w.~+/-]{16,}=*/gi, (_, scheme: string) => `${scheme} ...`)
    .replace(/\btmr1(\.[\w-]+){5}/g, 'tmr1...')
    .replace(/:\/\/[^\s/?#@"'\\]+@/g, '://...@');
}

/** Returns a copy of plain data with `redactCredentials` applied to every string. */
export function redactFields(value: unknown): unknown {
  if (typeof value === 'string') return redactCredentials(value);
  if (Array.isArray(value)) return value.map(redactFields);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, redactFields(field)]));
}
