import { RouterError } from '../errors.ts';

const maxKeyBytes = 4096;
const defaultLimit = 100;
const maxLimit = 1000;

// A lone surrogate and any other become the same U+FFFD in UTF-8, so two keys would meet in one row.
const unfit = /[\p{Cc}\p{Cs}]/u;

/** Throws `invalid_request` unless the port's rule for keys holds. */
export function checkKey(key: string): void {
  if (key.length === 0 || key.length > maxKeyBytes || unfit.test(key)) {
    throw new RouterError(
      'invalid_request',
      `A storage key is 1 to ${maxKeyBytes} characters of well-formed text without control characters.`,
      { param: 'key' },
    );
  }
}

/** As `checkKey`, but a prefix may be empty. */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix);
}

/** The number of entries a page may hold: 100 unless asked otherwise, never over 1 000. */
export function pageLimit(limit: number = defaultLimit): number {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new RouterError('invalid_request', 'limit must be a whole number above 0.', { param: 'limit' });
  }
  return Math.min(limit, maxLimit);
}

/** The instant in whole milliseconds since 1970. */
export function checkExpiry(expiresAt: number | undefined): number | undefined {
  if (expiresAt === undefined) return undefined;
  const instant = Math.ceil(expiresAt);
  if (!Number.isSafeInteger(instant)) {
    throw new RouterError('invalid_request', 'expiresAt must be a time in milliseconds since 1970.', {
      param: 'expiresAt',
    });
  }
  return instant;
}

/** The error for a cursor that this listing cannot have given out. */
export function unknownCursor(): RouterError {
  return new RouterError('invalid_request', 'The cursor does not belong to this listing.', {
    param: 'cursor',
  });
}

/** The error for every operation after `close`. */
export function storageClosed(): RouterError {
  return new RouterError('storage_unavailable', 'The storage is closed.');
}

/** The error for a row that is there but cannot be understood. Without a cause: a parser's message quotes the row. */
export function unreadableRow(): RouterError {
  return new RouterError('corrupt_record', 'A stored record cannot be read.');
}
