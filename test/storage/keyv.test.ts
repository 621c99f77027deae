import { EventEmitter } from 'node:events';
import { KeyvSqlite } from '@keyv/sqlite';
import Keyv from 'keyv';
import { expect, test } from 'vitest';
import { keyvStorage } from '../../src/storage/keyv/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();

/** A store as Keyv's adapters are, over a Map, that can be made to fail in their various ways. */
class FlakyStore extends EventEmitter {
  namespace: string | undefined;
  opts = { dialect: 'redis', url: 'redis://127.0.0.1' };
  failing: 'no' | 'throws' | 'emits' | 'hangs' = 'no';
  readonly rows = new Map<string, unknown>();
  release = (): void => {};

  get(key: string) {
    return this.#answer(() => this.rows.get(key));
  }
  set(key: string, value: unknown) {
    return this.#answer(() => this.rows.set(key, value) && undefined);
  }
  delete(key: string) {
    return this.#answer(() => this.rows.delete(key));
  }
  async clear() {
    throw new Error('clear must never be called');
  }
  async *iterator() {
    await this.#answer(() => undefined);
    yield* this.rows;
  }
  async #answer<Result>(operation: () => Result): Promise<Result | undefined> {
    if (this.failing === 'throws') throw new Error('connection refused');
    if (this.failing === 'emits') {
      this.emit('error', new Error('connection refused'));
      return undefined;
    }
    if (this.failing === 'hangs') {
      await new Promise<void>((resolve) => {
        this.release = resolve;
      });
    }
    return operation();
  }
}

test.each(['throws', 'emits', 'hangs'] as const)(
  'an outage in which the store %s is storage_unavailable, never an absent key',
  async (failing) => {
    const store = new FlakyStore();
    const storage = keyvStorage(new Keyv({ store }), { singleProcess: true, timeoutMs: 30 });
    const version = (await storage.put('key', 'value', null)) ?? '';
    store.failing = failing;
    const unavailable = { code: 'storage_unavailable' };
    await expect(storage.get('key')).rejects.toMatchObject(unavailable);
    await expect(storage.get('absent')).rejects.toMatchObject(unavailable);
    await expect(storage.list('')).rejects.toMatchObject(unavailable);
    store.release();
    await expect(storage.put('other', 'value', null)).rejects.toMatchObject(unavailable);
    store.release();
    await expect(storage.delete('key', version)).rejects.toMatchObject(unavailable);
    store.failing = 'no';
    store.release();
    expect(await storage.get('key')).toEqual({ value: 'value', version });
    expect(await storage.put('other', 'value', null)).toEqual(expect.any(String));
  },
);

test('an abandoned write is not applied after the next write', async () => {
  const store = new FlakyStore();
  const storage = keyvStorage(new Keyv({ store }), { singleProcess: true, timeoutMs: 30 });
  store.failing = 'hangs';
  await expect(storage.put('key', 'late', null)).rejects.toMatchObject({ code: 'storage_unavailable' });
  store.failing = 'no';
  store.release();
  expect(await storage.put('key', 'next', null)).toEqual(expect.any(String));
  expect(await storage.get('key')).toMatchObject({ value: 'next' });
});

test('a store that other processes can reach is refused, unless this process is said to be the only one', async () => {
  const shared = () => new Keyv({ store: new FlakyStore() });
  const file = new KeyvSqlite(`sqlite://${newPath()}`);
  const refused = expect.objectContaining({
    code: 'invalid_request',
    message: expect.stringMatching(/redisStorage, postgresStorage or sqliteStorage/),
  });
  expect(() => keyvStorage(shared())).toThrow(refused);
  expect(() => keyvStorage(new Keyv({ store: file }))).toThrow(refused);
  expect(() => keyvStorage(shared(), { singleProcess: true })).not.toThrow();
  expect(() => keyvStorage(new Keyv())).not.toThrow();
  expect(() => keyvStorage(new Keyv({ store: new KeyvSqlite('sqlite://:memory:') }))).not.toThrow();
  // Its file goes with the folder: not while it is being opened.
  await file.query('SELECT 1');
  await file.close();
});

test('a store whose keys cannot be listed is refused', () => {
  const { get, set, delete: remove, clear } = new Map();
  const keyv = new Keyv({ store: { get, set, delete: remove, clear } });
  expect(() => keyvStorage(keyv, { singleProcess: true })).toThrow(/must have an iterator/);
});

test.each([
  ['the default namespace', {}],
  ['a namespace with a colon', { namespace: 'app:models' }],
  ['no namespace', { namespace: undefined }],
  ['no prefix', { useKeyPrefix: false }],
  ['a time to live', { ttl: 1 }],
  ['no serialiser', { serialize: undefined, deserialize: undefined }],
])('keys and values come back under a Keyv with %s', async (_, options) => {
  const store = new Map();
  await new Keyv({ store, namespace: 'keyv-of-others' }).set('team/a', 'not ours');
  const keyv = new Keyv({ store, ...options } as ConstructorParameters<typeof Keyv>[0]);
  const storage = keyvStorage(keyv);
  const keys = ['a', 'keyv:a', 'a:b', 'app:models:a'];
  for (const key of keys) expect(await storage.put(key, `:${key}`, null)).toEqual(expect.any(String));
  const later = Date.now() + 2;
  while (Date.now() < later) await new Promise((resolve) => setImmediate(resolve));
  for (const key of keys) expect(await storage.get(key)).toMatchObject({ value: `:${key}` });
  expect((await storage.list('a')).entries.map((entry) => entry.key)).toEqual(['a', 'a:b', 'app:models:a']);
});

test('a row that cannot be read is corrupt_record', async () => {
  for (const text of [
    'canary',
    '{"value":"canary"}',
    '{"value":{"key":"keyv:key","nonce":1,"value":"canary"}}',
  ]) {
    const store = new Map();
    const storage = keyvStorage(new Keyv({ store }));
    await storage.put('key', 'value', null);
    store.set('keyv:key', text);
    await expect(storage.get('key')).rejects.toMatchObject({ code: 'corrupt_record' });
    await expect(storage.put('key', 'over it', null)).rejects.toMatchObject({ code: 'corrupt_record' });
    await expect(storage.list('key')).rejects.toMatchObject({ code: 'corrupt_record' });
  }
});

test('listed nothing if another user deleted a row meanwhile: walks the store again', async () => {
  const keyv = new Keyv();
  const storage = keyvStorage(keyv, { singleProcess: true });
  await storage.put('team/a', 'one', null);
  const { iterator } = keyv;
  let walks = 0;
  keyv.iterator = async function* (argument) {
    for await (const item of iterator?.(argument) ?? []) {
      yield item;
      if (++walks < 3) throw new TypeError("Cannot read properties of undefined (reading 'expires')");
    }
  };
  const other = keyvStorage(keyv, { singleProcess: true });
  expect((await other.list('team/')).entries.map(({ key }) => key)).toEqual(['team/a']);
  expect(walks).toBe(3);
});
