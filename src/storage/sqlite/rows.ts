import { unreadableRow } from '../checks.ts';
import type { StoredValue, Version } from '../storage.ts';
import { versionLength } from '../support/version.ts';

/*
 * A row's text has the format of Keyv's serialiser, so that a plain Keyv reads `value` and honours `expires`. The order
 * of the fields is fixed, so that SQL finds the nonce and the expiry at fixed positions:
 *
 *   {"nonce":"<22 characters>","expires":<milliseconds>,"value":"..."}
 */
const headStart = '{"nonce":"';
const headLength = headStart.length + versionLength;
const expiresField = '","expires":';
const expiresStart = headLength + expiresField.length;

/** SQL: whether a row has the version whose `headOf` is bound. */
export const hasHead = `substr(value, 1, ${headLength}) = ?`;

/**
 * SQL: whether a row has expired at the bound instant. CAST reads the digits up to the comma. IS also lists a row
 * without a value, which is then refused as unreadable; `=` would skip it.
 */
export const hasExpired =
  `(substr(value, ${headLength + 1}, ${expiresField.length}) IS '${expiresField}' ` +
  `AND CAST(substr(value, ${expiresStart + 1}, 17) AS INTEGER) <= ?)`;

/** SQL: the beginning of the row, enough for `versionOf`. */
export const headColumn = `substr(value, 1, ${headLength + 1}) AS head`;

export function headOf(version: Version): string {
  return headStart + version;
}

export function encodeRow(version: Version, value: string, expires: number | undefined): string {
  const expiry = expires === undefined ? '",' : `${expiresField}${expires},`;
  // Keyv removes one leading colon from every string that it reads.
  const text = JSON.stringify(value.startsWith(':') ? `:${value}` : value);
  return `${headOf(version)}${expiry}"value":${text}}`;
}

/**
 * Decodes a whole row.
 *
 * @throws RouterError `corrupt_record`
 */
export function decodeListed(text: unknown): StoredValue & { expiresAt?: number } {
  const stored = decodeRow(text);
  const expires = /^,"expires":(\d{1,16}),/.exec(String(text).slice(headLength + 1, headLength + 32))?.[1];
  return expires === undefined ? stored : { ...stored, expiresAt: Number(expires) };
}

export function decodeRow(text: unknown): StoredValue {
  const version = versionOf(text);
  let row: { value?: unknown };
  try {
    row = JSON.parse(text as string) as { value?: unknown };
  } catch {
    throw unreadableRow();
  }
  if (typeof row.value !== 'string') throw unreadableRow();
  return { value: row.value.startsWith(':') ? row.value.slice(1) : row.value, version };
}

/** Returns the version in a row's text or in its `headColumn`. */
export function versionOf(text: unknown): Version {
  const whole = typeof text === 'string' && text.startsWith(headStart) && text[headLength] === '"';
  if (!whole) throw unreadableRow();
  return text.slice(headStart.length, headLength);
}
