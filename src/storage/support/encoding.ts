import { unreadableRow } from '../checks.ts';

/**
 * Encodes a value for a store of UTF-8 text. UTF-8 cannot encode lone surrogates, and PostgreSQL's text cannot
 * contain U+0000. Such values are stored as JSON strings, and every other value unchanged.
 */
export function encodeText(value: string): string {
  return value.startsWith('"') || value.includes('\u0000') || !value.isWellFormed()
    ? JSON.stringify(value)
    : value;
}

/**
 * Decodes a stored value.
 *
 * @throws RouterError `corrupt_record`
 */
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
