import { unreadableRow } from '../checks.ts';

/**
 * A value as a store of UTF-8 text keeps it. UTF-8 has no lone surrogates and PostgreSQL's text no U+0000, so a value
 * with one of them is kept as a JSON string; every other value is kept as it is, readable to whoever looks into the store.
 */
export function encodeText(value: string): string {
  return value.startsWith('"') || value.includes('\u0000') || !value.isWellFormed()
    ? JSON.stringify(value)
    : value;
}

/** @throws RouterError `corrupt_record` */
export function decodeText(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'string') return value;
  } catch {
    // The parser's message quotes the row.
  }
  throw unreadableRow();
}
