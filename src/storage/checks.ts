import { RouterError } from '../errors.ts';

const maxKeyBytes = 4096;
const defaultLimit = 100;
const maxLimit = 1000;

// UTF-8 encodes every lone surrogate as U+FFFD, so two such keys would share one row.
const unfit = /[\p{Cc}\p{Cs}]/u;

/**
 * Checks a key against the rules of `Storage`.
 *
 * @throws RouterError `invalid_request`
 */
export function checkKey(key: string): void {
  if (key.length === 0 || key.length > maxKeyBytes || unfit.test(key)) {
    throw new RouterError(
      'invalid_request',
      `key: must be 1 to ${maxKeyBytes} characters of well-formed text without control characters.`,
      { param: 'key' },
    );
  }
}

/**
 * Checks a prefix like a key, but allows an empty prefix.
 *
 * @throws RouterError `invalid_request`
 */
export function checkPrefix(prefix: string): void {
  if (prefix !== '') checkKey(prefix);
}

/**
 * Returns the number of entries of a page: 100 by default, at most 1 000.
 *
 * @throws RouterError `invalid_request`
 */
export function pageLimit(limit: number = defaultLimit): number {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new RouterError('invalid_request', 'limit: must be a positive integer.', { param: 'limit' });
  }
  return Math.min(limit, maxLimit);
}

/**
 * Returns an expiry rounded up to whole milliseconds since 1970.
 *
 * @throws RouterError `invalid_request`
 */
export function checkExpiry(expiresAt: number | undefined): number | undefined {
  if (expiresAt === undefined) return undefined;
  const instant = Math.ceil(expiresAt);
  if (!Number.isSafeInteger(instant)) {
    throw new RouterError('invalid_request', 'expiresAt: must be a time in milliseconds since 1970.', {
      param: 'expiresAt',
    });
  }
  return instant;
}

/** Creates the error for a cursor that does not belong to the listing. */
export function unknownCursor(): RouterError {
  return new RouterError(
    'invalid_request',
    'cursor: not found in this listing. Start again without a cursor.',
    {
      param: 'cursor',
    },
  );
}

/** Creates the error for every operation after `close`. */
export function storageClosed(): RouterError {
  return new RouterError('storage_unavailable', 'The storage is closed.');
}

/** Creates the error for a malformed row. Has no cause, because a parser's message quotes the row. */
export function unreadableRow(): RouterError {
  return new RouterError('corrupt_record', 'A stored record cannot be read.');
}
