import { mask } from './mask.ts';

/**
 * Replaces whatever gives itself away as a credential. Every error message and every log line goes through it.
 *
 * Each expression is linear: a match can begin only where its literal begins, and no run of its characters holds a
 * second beginning.
 */
export function redactCredentials(text: string): string {
  return text
    .replace(/(?<![\w-])sk-[\w-]{20,}/g, mask)
    .replace(/\b(Bearer|Basic) +[\w.~+/-]{16,}=*/gi, (_, scheme: string) => `${scheme} ...`)
    .replace(/\btmr1(\.[\w-]+){5}/g, 'tmr1...')
    .replace(/:\/\/[^\s/?#@"'\\]+@/g, '://...@');
}

/** A copy of plain data in which every text has been through `redactCredentials`. */
export function redactFields(value: unknown): unknown {
  if (typeof value === 'string') return redactCredentials(value);
  if (Array.isArray(value)) return value.map(redactFields);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, redactFields(field)]));
}
