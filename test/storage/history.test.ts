import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Storage, Version } from '../../src/storage/storage.ts';
import { newRoom } from '../support/connections.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { adapters } from './adapters.ts';

interface Step {
  action: 'put' | 'put expired' | 'delete' | 'get' | 'list';
  key: string;
  value: string;
  expected: 'current' | 'absent' | 'stale';
  limit: number;
}

const keys = ['a', 'A', 'a/b', 'a%', 'a_', '__proto__', 'ключ', '🙂'];

const step: fc.Arbitrary<Step> = fc.record({
  action: fc.constantFrom('put', 'put', 'put', 'put expired', 'delete', 'get', 'list'),
  key: fc.constantFrom(...keys),
  value: fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.constant(':')),
  expected: fc.constantFrom('current', 'current', 'absent', 'stale'),
  limit: fc.integer({ min: 1, max: 9 }),
});

/** What a storage is: a Map, and a version for each write. */
class Model {
  readonly #room: string;
  readonly #rows = new Map<string, { value: string; version: Version }>();
  readonly #stale = new Map<string, Version>();

  constructor(room: string) {
    this.#room = room;
  }

  #expected(key: string, expected: Step['expected']): Version | null {
    if (expected === 'absent') return null;
    if (expected === 'stale') return this.#stale.get(key) ?? 'never given';
    return this.#rows.get(key)?.version ?? null;
  }

  async run(storage: Storage, step: Step): Promise<void> {
    const { action, value, limit } = step;
    const key = `${this.#room}/${step.key}`;
    const row = this.#rows.get(key);
    const expected = this.#expected(key, step.expected);
    const matches = (row?.version ?? null) === expected;
    if (action === 'get') {
      expect(await storage.get(key)).toEqual(row);
      if (row) expect(await storage.get(key, { unless: row.version })).toBe('unchanged');
    } else if (action === 'list') {
      expect(await this.#listed(storage, key, limit)).toEqual(this.#under(key));
    } else if (action === 'delete') {
      const deleted = await storage.delete(key, expected ?? 'never given');
      expect(deleted).toBe(row !== undefined && matches);
      if (deleted) this.#forget(key);
    } else {
      const expired = action === 'put expired';
      const version = await storage.put(key, value, expected, expired ? { expiresAt: 1 } : {});
      expect(version !== undefined).toBe(matches);
      if (version === undefined) return;
      this.#forget(key);
      if (expired) this.#stale.set(key, version);
      else this.#rows.set(key, { value, version });
    }
  }

  #forget(key: string): void {
    const row = this.#rows.get(key);
    if (row) this.#stale.set(key, row.version);
    this.#rows.delete(key);
  }

  #under(prefix: string): Map<string, unknown> {
    return new Map([...this.#rows].filter(([key]) => key.startsWith(prefix)));
  }

  async #listed(storage: Storage, prefix: string, limit: number): Promise<Map<string, unknown>> {
    const found = new Map<string, unknown>();
    let cursor: string | undefined;
    do {
      const page = await storage.list(prefix, { limit, ...(cursor === undefined ? {} : { cursor }) });
      for (const { key, value, version } of page.entries) found.set(key, { value, version });
      cursor = page.cursor;
    } while (cursor !== undefined);
    return found;
  }
}

const slow = ['keyv over a SQLite file', 'keyv over @keyv/redis', 'sqlite', 'postgres'];

for (const { name, create } of adapters(temporaryFolder())) {
  test(`any history of operations leaves ${name} as it would a Map`, async () => {
    const storage = await create();
    try {
      const history = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const model = new Model(newRoom());
        for (const step of steps) await model.run(storage, step);
      });
      await fc.assert(history, { numRuns: slow.includes(name) ? 40 : 200 });
    } finally {
      await storage.close();
    }
  });
}
