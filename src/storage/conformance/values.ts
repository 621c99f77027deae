import { deepEqual, equal, notEqual, rejects } from 'node:assert/strict';
import { type Check, hasCode, insert, keysUnder, present } from './check.ts';

const values: Record<string, string> = {
  'no bytes': '',
  'a byte': 'x',
  JSON: '{"nonce":"x","value":[1,":a"],"expires":0}',
  'the word null': 'null',
  'a leading colon': ':text',
  'leading colons': '::text',
  "Keyv's mark for binary": ':base64:aGVsbG8=',
  'control characters': 'a\u0000b\r\n\t\u001f\u007f\u2028',
  'quotes and backslashes': `'"\\"';--\\u0000`,
  'text of several bytes a character': 'ß 漢字 🙂 e\u0301',
  'a lone surrogate': 'a\ud800b',
  '1 MiB': 'x'.repeat(1024 * 1024),
  '1 MiB of several bytes a character': '🙂'.repeat(256 * 1024),
};

export const valueChecks: readonly Check[] = [
  {
    name: 'get returns undefined for an absent key, and the value of a present key',
    async run({ storage, at }) {
      equal(await storage.get(at('a')), undefined);
      const version = await insert(storage, at('a'), 'one');
      deepEqual(await storage.get(at('a')), { value: 'one', version });
      equal(await storage.get(at('b')), undefined);
    },
  },
  {
    name: 'put replaces the expected version only',
    async run({ storage, at }) {
      const first = await insert(storage, at('a'), 'one');
      const second = await storage.put(at('a'), 'two', first);
      notEqual(second, undefined);
      notEqual(second, first);
      equal(await storage.put(at('a'), 'three', first), undefined, 'a stale version was accepted');
      equal(await storage.put(at('a'), 'three', null), undefined, 'a present key was inserted again');
      equal(await storage.put(at('b'), 'three', first), undefined, 'an absent key was updated');
      equal(await storage.put(at('a'), 'three', 'no such version'), undefined);
      equal(await storage.put(at('a'), 'three', ''), undefined);
      deepEqual(await storage.get(at('a')), { value: 'two', version: second });
      equal(await storage.get(at('b')), undefined);
    },
  },
  {
    name: 'delete removes the expected version only',
    async run({ storage, at }) {
      const first = await insert(storage, at('a'), 'one');
      const second = (await storage.put(at('a'), 'two', first)) ?? '';
      equal(await storage.delete(at('a'), first), false, 'a stale version was accepted');
      equal(await storage.delete(at('b'), second), false, 'an absent key was deleted');
      equal((await present(storage, at('a'))).value, 'two');
      equal(await storage.delete(at('a'), second), true);
      equal(await storage.get(at('a')), undefined);
      equal(await storage.delete(at('a'), second), false, 'a key was deleted twice');
    },
  },
  {
    name: 'a version is never reused, neither for the same value nor after a delete',
    async run({ storage, at }) {
      const seen = new Set<string>();
      for (let round = 0; round < 20; round += 1) {
        const inserted = await insert(storage, at('a'), 'same');
        const updated = (await storage.put(at('a'), 'same', inserted)) ?? '';
        equal(await storage.put(at('a'), 'same', inserted), undefined);
        equal(await storage.delete(at('a'), updated), true);
        seen.add(inserted).add(updated);
      }
      equal(seen.size, 40);
    },
  },
  {
    name: "get answers 'unchanged' to the current version only",
    async run({ storage, at }) {
      const first = await insert(storage, at('a'), 'one');
      equal(await storage.get(at('a'), { unless: first }), 'unchanged');
      const second = (await storage.put(at('a'), 'two', first)) ?? '';
      deepEqual(await storage.get(at('a'), { unless: first }), { value: 'two', version: second });
      equal(await storage.get(at('a'), { unless: second }), 'unchanged');
      await storage.delete(at('a'), second);
      equal(await storage.get(at('a'), { unless: second }), undefined);
    },
  },
  ...Object.entries(values).map(
    ([name, value]): Check => ({
      name: `a value of ${name} comes back as it was`,
      async run({ storage, at }) {
        const version = await insert(storage, at('a'), value);
        equal((await present(storage, at('a'))).value === value, true);
        const { entries } = await storage.list(at('a'));
        equal(entries.length === 1 && entries[0]?.value === value, true, 'the listed value differs');
        const next = await storage.put(at('a'), `${value}!`, version);
        notEqual(next, undefined);
        equal((await present(storage, at('a'))).value === `${value}!`, true);
      },
    }),
  ),
  {
    name: 'an expired key is absent to every operation',
    async run({ storage, at }) {
      const past = { expiresAt: Date.now() - 1_000 };
      const version = (await storage.put(at('a'), 'one', null, past)) ?? '';
      notEqual(version, '');
      deepEqual(await keysUnder(storage, at('')), []);
      equal(await storage.put(at('a'), 'two', version), undefined);
      equal(await storage.delete(at('a'), version), false);
      equal(await storage.get(at('a')), undefined);
      equal(await storage.get(at('a'), { unless: version }), undefined);
      await insert(storage, at('a'), 'three');
      equal((await present(storage, at('a'))).value, 'three');
      await storage.put(at('b'), 'four', null, past);
      await insert(storage, at('b'), 'five');
      deepEqual(await keysUnder(storage, at('')), [at('a'), at('b')]);
    },
  },
  {
    name: 'list returns the expiry of a row',
    async run({ storage, at }) {
      const expiresAt = Date.now() + 3_600_000;
      await storage.put(at('ends'), 'one', null, { expiresAt });
      await storage.put(at('stays'), 'one', null);
      const { entries } = await storage.list(at(''));
      const found = new Map(entries.map((entry) => [entry.key, entry.expiresAt]));
      equal(found.get(at('stays')), undefined);
      // A storage may keep the remaining time, measured by a different clock.
      equal(Math.abs((found.get(at('ends')) ?? 0) - expiresAt) < 60_000, true);
    },
  },
  {
    name: 'a key expires at its expiresAt, and a put without expiresAt removes the expiry',
    async run({ storage, at }) {
      const soon = { expiresAt: Date.now() + 60 };
      const version = (await storage.put(at('a'), 'one', null, soon)) ?? '';
      await storage.put(at('b'), 'one', null, { expiresAt: Date.now() + 3_600_000 });
      const lifted = (await storage.put(at('c'), 'one', null, { expiresAt: Date.now() + 3_600_000 })) ?? '';
      await storage.put(at('c'), 'two', lifted);
      while ((await storage.get(at('a'), { unless: version })) !== undefined) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      equal(Date.now() >= soon.expiresAt, true, 'the key expired too early');
      deepEqual(await keysUnder(storage, at('')), [at('b'), at('c')]);
      const past = { expiresAt: Date.now() - 1 };
      const current = await present(storage, at('b'));
      await storage.put(at('b'), 'gone', current.version, past);
      deepEqual(await keysUnder(storage, at('')), [at('c')]);
    },
  },
  {
    name: "an aborted signal rejects with the signal's reason, and nothing is written",
    async run({ storage, at }) {
      const version = await insert(storage, at('a'), 'one');
      const reason = new Error('the caller went away');
      const signal = AbortSignal.abort(reason);
      const isReason = (error: unknown): boolean => error === reason;
      await rejects(storage.get(at('a'), { signal }), isReason);
      await rejects(storage.put(at('a'), 'two', version, { signal }), isReason);
      await rejects(storage.put(at('b'), 'two', null, { signal }), isReason);
      await rejects(storage.delete(at('a'), version, { signal }), isReason);
      await rejects(storage.list(at(''), { signal }), isReason);
      deepEqual(await storage.get(at('a')), { value: 'one', version });
      deepEqual(await keysUnder(storage, at('')), [at('a')]);
    },
  },
  {
    name: 'close can be called twice, and later operations fail with storage_unavailable',
    async run({ storage, at }) {
      const version = await insert(storage, at('a'), 'one');
      await storage.close();
      await storage.close();
      const unavailable = hasCode('storage_unavailable');
      await rejects(storage.get(at('a')), unavailable);
      await rejects(storage.put(at('a'), 'two', version), unavailable);
      await rejects(storage.delete(at('a'), version), unavailable);
      await rejects(storage.list(at('')), unavailable);
    },
  },
];
