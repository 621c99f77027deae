/**
 * An opaque random version. It must not be a counter, because a key that is deleted and created again must not get an
 * old version.
 *
 * @example
 * ```ts
 * const stored = await storage.get('team/acme');
 * const version: Version | null = stored === undefined || stored === 'unchanged' ? null : stored.version;
 * ```
 */
export type Version = string;

/**
 * A value with its version, as `get` returns it.
 *
 * @example
 * ```ts
 * const stored: StoredValue | 'unchanged' | undefined = await storage.get('team/acme');
 * ```
 */
export interface StoredValue {
  value: string;
  version: Version;
}

/**
 * One row of a list.
 *
 * @example
 * ```ts
 * const { entries } = await storage.list('team/');
 * const keys = entries.map(({ key }: ListedEntry) => key);
 * ```
 */
export interface ListedEntry {
  key: string;
  /** Absent only with `keysOnly`. */
  value?: string;
  version: Version;
  /** Expiry in milliseconds since 1970. Absent if the row does not expire, and with `keysOnly`. */
  expiresAt?: number;
}

/**
 * One page of a list.
 *
 * @example
 * ```ts
 * const page: ListPage = await storage.list('team/', { limit: 100 });
 * const next = page.cursor === undefined ? undefined : await storage.list('team/', { cursor: page.cursor });
 * ```
 */
export interface ListPage {
  entries: ListedEntry[];
  /** Absent on the last page. */
  cursor?: string;
}

/**
 * Options of every storage operation.
 *
 * @example
 * ```ts
 * const options: OperationOptions = { signal: AbortSignal.timeout(1_000) };
 * await storage.get('team/acme', options);
 * ```
 */
export interface OperationOptions {
  signal?: AbortSignal;
}

/**
 * A change of one key by any process, or `reset` after notifications may have been lost.
 *
 * @example
 * ```ts
 * const keyOf = (event: StorageEvent) => ('key' in event ? event.key : undefined);
 * ```
 */
export type StorageEvent = { key: string } | { reset: true };

/**
 * A key-value store with conditional writes, which stores the router's records.
 *
 * Keys are well-formed strings of 1 to 4 096 characters without control characters. Values are strings of 0 bytes to
 * several MiB. An `undefined` result always means that the key is absent.
 *
 * @throws RouterError `storage_unavailable` for every failure, `corrupt_record` for a row that cannot be read
 *
 * @example
 * ```ts
 * const version = await storage.put('team:acme', '{}', null);
 * const stored = await storage.get('team:acme'); // { value: '{}', version }
 * ```
 */
export interface Storage {
  /** The widest scope in which `put` and `delete` are linearizable. */
  readonly atomicity: 'process' | 'host' | 'cluster';

  /**
   * Reads a value. Resolves to `undefined` if the key is absent, and to `'unchanged'` if its version still equals
   * `unless`.
   */
  get(
    key: string,
    options?: { unless?: Version } & OperationOptions,
  ): Promise<StoredValue | 'unchanged' | undefined>;

  /**
   * Writes if the stored version equals `expected` (`null`: if the key is absent). Resolves to the new version, or to
   * `undefined` on a conflict. A storage removes rows gradually after their `expiresAt`.
   */
  put(
    key: string,
    value: string,
    expected: Version | null,
    options?: { expiresAt?: number } & OperationOptions,
  ): Promise<Version | undefined>;

  /** Deletes if the stored version equals `expected`. Resolves to whether it deleted the key. */
  delete(key: string, expected: Version, options?: OperationOptions): Promise<boolean>;

  /**
   * Returns one page of the keys that begin with `prefix`. A full walk returns every key that is present throughout
   * it at least once. The order is not defined, and a key may be repeated.
   */
  list(
    prefix: string,
    options?: { cursor?: string; limit?: number; keysOnly?: boolean } & OperationOptions,
  ): Promise<ListPage>;

  /**
   * Emits changes by other processes, as a fast path. `reset` means that events may have been lost. Resolves to a
   * function that stops the watch.
   */
  watch?(listener: (event: StorageEvent) => void): Promise<() => Promise<void>>;

  /** Releases the resources that the storage opened. The storage cannot be used afterwards. */
  close(): Promise<void>;
}
