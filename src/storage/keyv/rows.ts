import { RouterError } from '../../errors.ts';
import { unreadableRow } from '../checks.ts';

/** What is used of a Keyv 5 instance. */
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

/** One stored row. Milliseconds since 1970 in `expires`. */
export interface KeyvRow {
  nonce: string;
  value: string;
  expires?: number;
}

/** The rows of a Keyv store, with every failure told apart from an absent row. */
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
        'This Keyv store has no iterator, so its keys cannot be listed. Use a Map, or a store that Keyv can iterate.',
        { param: 'keyv' },
      );
    }
    this.#iterator = keyv.iterator;
    this.#keyv = keyv;
    this.store = keyv.store as KeyvStoreLike;
    keyv.throwOnErrors = true;
    // Some adapters have a switch of their own, and emit without throwing while it is off.
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
    // 0 is Keyv's word for "no time to live": a default of the instance would make documents vanish.
    const written = await this.#checked(() => this.#keyv.set(address, { ...row, key: address }, 0));
    if (!written) throw unavailable();
  }

  async remove(key: string): Promise<boolean> {
    return this.#checked(() => this.#keyv.delete(this.#address(key)));
  }

  /** Every live row whose key begins with `prefix`; `undefined` for one that cannot be read. */
  async *walk(prefix: string): AsyncGenerator<[key: string, row: KeyvRow | undefined]> {
    const errors = this.#storeErrors;
    try {
      for await (const item of this.#iterator(undefined)) {
        const [listedKey, stored] = item as [string, unknown];
        // Keyv's iterator loses parts of keys under some namespaces; the row knows its own.
        const address = addressIn(stored);
        if (address === undefined) {
          if (listedKey.startsWith(prefix)) yield [listedKey, undefined];
        } else if (address.startsWith(this.#address(prefix))) {
          const row = rowAt(address, stored);
          if (!row || !isExpired(row)) yield [address.slice(this.#address('').length), row];
        }
      }
    } catch (error) {
      throw asRouterError(error);
    }
    if (this.#storeErrors !== errors) throw unavailable();
  }

  /** Every row of the store in turn, of others too: the key of one of ours that has expired, else `undefined`. */
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

  /** With the namespace written out: Keyv leaves a key alone that already begins with it, and two keys would meet. */
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
    // Falsy: absent, or an outage that the adapter emitted and swallowed.
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
  // A store that compares keys without case would answer with another key's row.
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
