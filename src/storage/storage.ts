/** Opaque and random, never a counter: a key that is deleted and made again must not get an old version back. */
export type Version = string;

export interface StoredValue {
  value: string;
  version: Version;
}

export interface ListedEntry {
  key: string;
  /** Absent only when `keysOnly` was asked for. */
  value?: string;
  version: Version;
  /** When the row expires, in milliseconds since 1970. Absent if it does not, or if `keysOnly` was asked for. */
  expiresAt?: number;
}

export interface ListPage {
  entries: ListedEntry[];
  /** Absent on the last page. */
  cursor?: string;
}

export interface OperationOptions {
  signal?: AbortSignal;
}

export type StorageEvent = { key: string } | { reset: true };

/**
 * Where the router keeps its documents: a key-value store with one conditional write.
 *
 * Keys are well-formed strings of 1 to 4 096 characters without control characters, values are strings of 0 bytes to several MiB.
 * Every failure throws `RouterError` `storage_unavailable` (or `corrupt_record`, where a stored row cannot be read):
 * an absent answer means that the key is absent, and nothing else.
 */
export interface Storage {
  /** The widest scope in which `put` and `delete` are linearizable. */
  readonly atomicity: 'process' | 'host' | 'cluster';

  /** `undefined` only if the key is absent; `'unchanged'` if its version is still `unless`. */
  get(
    key: string,
    options?: { unless?: Version } & OperationOptions,
  ): Promise<StoredValue | 'unchanged' | undefined>;

  /**
   * Writes if the stored version is `expected` (`null`: if the key is absent). The new version, or `undefined` on conflict.
   * A storage removes rows whose `expiresAt` has passed, bit by bit.
   */
  put(
    key: string,
    value: string,
    expected: Version | null,
    options?: { expiresAt?: number } & OperationOptions,
  ): Promise<Version | undefined>;

  /** Deletes if the stored version is `expected`; whether it did. */
  delete(key: string, expected: Version, options?: OperationOptions): Promise<boolean>;

  /**
   * One page of the keys that begin with `prefix`. Every key present throughout a full walk appears at least once;
   * order is not promised, repeats are allowed.
   */
  list(
    prefix: string,
    options?: { cursor?: string; limit?: number; keysOnly?: boolean } & OperationOptions,
  ): Promise<ListPage>;

  /** Tells of changes by others, as a fast path; `reset` means that events may have been missed. Resolves to the stop function. */
  watch?(listener: (event: StorageEvent) => void): Promise<() => Promise<void>>;

  /** Releases what the storage opened itself; the storage is of no use afterwards. */
  close(): Promise<void>;
}
