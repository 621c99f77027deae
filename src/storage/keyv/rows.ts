import { RouterError } from '../../errors.ts';
import { unreadableRow } from '../checks.ts';

/** The members of a Keyv 5 instance that the storage uses. */
export interface KeyvLike {
  readonly store: unknown;
  readonly namespace: string | undefined;
  readonly useKeyPrefix: boolean;
  throwOnErrors: boolean;
  readonly iterator?: (argument: undefined) => AsyncIterable<unknown>;
  get(key: string): Promise<unknown>;
  set(key: string, value: unknown, ttl?: number): Promise<boolean>;
  delete(key: string): Promise<boolean>;
}

interface KeyvStoreLike {
  throwOnErrors?: boolean;
  opts?: { dialect?: unknown; db?: unknown };
  on?(event: 'error', listener: () => void): unknown;
  off?(event: 'error', listener: () => void): unknown;
}

/** A stored row. `expires` is in milliseconds since 1970. */
export interface KeyvRow {
  nonce: string;
  value: string;
  expires?: number;
}

/** Walks of one listing, before the store counts as unavailable. */
const maxWalks = 8;

/** Reads and writes the rows of a Keyv store. Distinguishes every failure from an absent row. */
export class KeyvRows {
  readonly store: KeyvStoreLike;
  readonly #keyv: KeyvLike;
  readonly #iterator: NonNullable<KeyvLike['iterator']>;
  #storeErrors = 0;
  readonly #countError = (): void => {
    this.#storeErrors += 1;
  };

  constructor(keyv: KeyvLike) {
    if (!keyv.iterator) {
      throw new RouterError(
        'invalid_request',
        'keyv: must have an iterator, because the storage lists its keys. Use a Map or a store that Keyv can iterate.',
        { param: 'keyv' },
      );
    }
    this.#iterator = keyv.iterator;
    this.#keyv = keyv;
    this.store = keyv.store as KeyvStoreLike;
    keyv.throwOnErrors = true;
    // Some adapters have a separate switch and only emit errors while it is off.
    if ('throwOnErrors' in this.store) this.store.throwOnErrors = true;
    this.store.on?.('error', this.#countError);
  }

  /** Whether no other process can reach the store. */
  get inMemory(): boolean {
    const { opts } = this.store;
    return this.store instanceof Map || (opts?.dialect === 'sqlite' && opts.db === ':memory:');
  }

  async read(key: string): Promise<KeyvRow | undefined> {
    const address = this.#address(key);
    const stored = await this.#checked(() => this.#keyv.get(address));
    if (stored === undefined || stored === null) return undefined;
    const row = rowAt(address, stored);
    if (!row) throw unreadableRow();
    return isExpired(row) ? undefined : row;
  }

  async write(key: string, row: KeyvRow): Promise<void> {
    const address = this.#address(key);
    // A TTL of 0 disables Keyv's default TTL, which would delete records.
    const written = await this.#checked(() => this.#keyv.set(address, { ...row, key: address }, 0));
    if (!written) throw unavailable();
  }

  async remove(key: string): Promise<boolean> {
    return this.#checked(() => this.#keyv.delete(this.#address(key)));
  }

  /**
   * Yields every live row whose key begins with `prefix`, some of them more than once; `undefined` for a row that cannot
   * be read. Keyv's iterator throws a TypeError if another user of the store deletes a row between the listing of its key
   * and the reading of its value, so the walk begins again then.
   */
  async *walk(prefix: string): AsyncGenerator<[key: string, row: KeyvRow | undefined]> {
    const errors = this.#storeErrors;
    for (let walks = 1; ; walks++) {
      try {
        yield* this.#walkOnce(prefix);
        break;
      } catch (error) {
        if (!(error instanceof TypeError) || walks === maxWalks) throw asRouterError(error);
      }
    }
    if (this.#storeErrors !== errors) throw unavailable();
  }

  async *#walkOnce(prefix: string): AsyncGenerator<[key: string, row: KeyvRow | undefined]> {
    for await (const item of this.#iterator(undefined)) {
      const [listedKey, stored] = item as [string, unknown];
      // The key is read from the row, because Keyv's iterator truncates keys under some namespaces.
      const address = addressIn(stored);
      if (address === undefined) {
        if (listedKey.startsWith(prefix)) yield [listedKey, undefined];
      } else if (address.startsWith(this.#address(prefix))) {
        const row = rowAt(address, stored);
        if (!row || !isExpired(row)) yield [address.slice(this.#address('').length), row];
      }
    }
  }

  /**
   * Yields once per row of the store, including rows of other users: the key of an expired row of this storage, else
   * `undefined`.
   */
  async *expired(): AsyncGenerator<string | undefined> {
    for await (const item of this.#iterator(undefined)) {
      const [, stored] = item as [string, unknown];
      const address = addressIn(stored);
      const ours = address?.startsWith(this.#address('')) ? address : undefined;
      const row = ours === undefined ? undefined : rowAt(ours, stored);
      yield row && isExpired(row) ? ours?.slice(this.#address('').length) : undefined;
    }
  }

  release(): void {
    this.store.off?.('error', this.#countError);
  }

  /**
   * Returns the key with the namespace prefix. Keyv does not prefix a key that already begins with the namespace, so
   * two keys could share a row.
   */
  #address(key: string): string {
    const { namespace, useKeyPrefix } = this.#keyv;
    return useKeyPrefix && namespace ? `${namespace}:${key}` : key;
  }

  async #checked<Result>(operation: () => Promise<Result>): Promise<Result> {
    const errors = this.#storeErrors;
    let result: Result;
    try {
      result = await operation();
    } catch (error) {
      throw asRouterError(error);
    }
    // The row is absent, or the adapter emitted an error without throwing it.
    if (!result && this.#storeErrors !== errors) throw unavailable();
    return result;
  }
}

function addressIn(stored: unknown): string | undefined {
  const { key } = Object(stored) as { key?: unknown };
  return typeof key === 'string' ? key : undefined;
}

function rowAt(address: string, stored: unknown): KeyvRow | undefined {
  const { nonce, value, expires } = Object(stored) as { [field in keyof KeyvRow]?: unknown };
  // A case-insensitive store would return the row of another key.
  if (addressIn(stored) !== address || typeof nonce !== 'string' || typeof value !== 'string')
    return undefined;
  if (expires === undefined || expires === null) return { nonce, value };
  return typeof expires === 'number' ? { nonce, value, expires } : undefined;
}

function isExpired(row: KeyvRow): boolean {
  return row.expires !== undefined && row.expires <= Date.now();
}

function asRouterError(error: unknown): RouterError {
  if (RouterError.isInstance(error)) return error;
  return error instanceof SyntaxError ? unreadableRow() : unavailable(error);
}

function unavailable(cause?: unknown): RouterError {
  const options = cause === undefined ? {} : { cause };
  return new RouterError('storage_unavailable', 'The Keyv store failed.', options);
}
