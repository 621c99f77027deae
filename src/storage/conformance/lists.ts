import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import type { Storage } from '../storage.ts';
import { type Check, hasCode, insert, keysUnder, present, walk } from './check.ts';

const numbered = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => String(index).padStart(4, '0'));

export const listChecks: readonly Check[] = [
  {
    name: 'list returns exactly the keys that begin with the prefix',
    async run({ storage, at }) {
      const names = ['team/a', 'team/a/b', 'team/ab', 'team/b', 'Team/a', 'tea', 'team0'];
      for (const name of names) await insert(storage, at(name), name);
      const under = async (prefix: string): Promise<string[]> =>
        (await keysUnder(storage, at(prefix))).map((key) => key.slice(at('').length));
      deepEqual(await under('team/a'), ['team/a', 'team/a/b', 'team/ab']);
      deepEqual(await under('team/a/'), ['team/a/b']);
      deepEqual(await under('team/'), ['team/a', 'team/a/b', 'team/ab', 'team/b']);
      deepEqual(await under('T'), ['Team/a']);
      deepEqual(await under('nothing'), []);
      deepEqual(await under(''), [...names].sort());
    },
  },
  {
    name: 'list treats wildcards in a prefix literally',
    async run({ storage, at }) {
      const names = [
        'a%b',
        'a_b',
        'a*b',
        'a?b',
        'a[b',
        'a\\b',
        'axb',
        "a'b",
        'a🙂b',
        'a\uffffb',
        'a\u{10ffff}b',
      ];
      for (const name of names) await insert(storage, at(name), name);
      for (const name of names) {
        deepEqual(await keysUnder(storage, at(name.slice(0, -1))), [at(name)]);
      }
    },
  },
  {
    name: 'list returns all keys in pages of at most limit entries',
    async run({ storage, at }) {
      const keys = numbered(23).map(at);
      for (const key of keys) await insert(storage, key, key);
      for (const limit of [1, 5, 22, 23, 24, 500]) deepEqual(await keysUnder(storage, at(''), limit), keys);
      const first = await storage.list(at(''), { limit: 5 });
      ok(first.entries.length <= 5);
      notEqual(first.cursor, undefined);
      const whole = await storage.list(at(''));
      deepEqual(whole.entries.map((entry) => entry.key).sort(), keys);
      equal(whole.cursor, undefined);
      for (const limit of [0, -1, 1.5, Number.NaN]) {
        await rejects(storage.list(at(''), { limit }), hasCode('invalid_request'));
      }
    },
  },
  {
    name: 'list returns the value and the version of each entry, and no value with keysOnly',
    async run({ storage, at }) {
      const names = numbered(9);
      for (const name of names) await insert(storage, at(name), `value of ${name}`);
      const full = await walk(storage, at(''), { limit: 4 });
      const bare = await walk(storage, at(''), { limit: 4, keysOnly: true });
      equal(bare.length >= names.length, true);
      for (const name of names) {
        const { value, version } = await present(storage, at(name));
        deepEqual(
          full.find((entry) => entry.key === at(name)),
          { key: at(name), value, version },
        );
        deepEqual(
          bare.find((entry) => entry.key === at(name)),
          { key: at(name), version },
        );
      }
    },
  },
  {
    name: 'list continues after a key that was deleted between two pages',
    async run({ storage, at }) {
      const keys = numbered(10).map(at);
      for (const key of keys) await insert(storage, key, 'value');
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await storage.list(at(''), { limit: 3, ...(cursor === undefined ? {} : { cursor }) });
        for (const entry of page.entries) {
          seen.push(entry.key);
          equal(await storage.delete(entry.key, entry.version), true);
        }
        cursor = page.cursor;
      } while (cursor !== undefined);
      deepEqual(seen.sort(), keys);
    },
  },
  {
    name: 'list returns every key that is present throughout a walk with concurrent writes',
    async run({ storage, at }) {
      const lasting = numbered(60).map((name) => at(`lasting/${name}`));
      for (const key of lasting) {
        // Inserted before the lasting key and then deleted, so that a walk which counts rows would skip the lasting
        // key.
        await insert(storage, `${key}-0`, 'passing');
        await insert(storage, key, 'value');
      }
      let walking = true;
      const writers = [0, 1].map((writer) => churn(storage, at, lasting, writer, () => walking));
      try {
        for (let round = 0; round < 5; round += 1) {
          const listed = new Set(await keysUnder(storage, at('lasting/'), 7));
          deepEqual(
            lasting.filter((key) => !listed.has(key)),
            [],
          );
        }
      } finally {
        walking = false;
        await Promise.all(writers);
      }
    },
  },
];

/** Inserts and deletes keys between the lasting ones, and updates the lasting ones, while `going` returns true. */
async function churn(
  storage: Storage,
  at: (name: string) => string,
  lasting: readonly string[],
  writer: number,
  going: () => boolean,
): Promise<void> {
  for (let turn = 0; going(); turn += 1) {
    const index = (turn * 7) % lasting.length;
    const passing = at(`lasting/${String(index).padStart(4, '0')}-${writer}`);
    const found = await storage.get(passing);
    if (found && found !== 'unchanged') await storage.delete(passing, found.version);
    else await storage.put(passing, 'passing', null);
    const key = lasting[index] ?? '';
    const row = await present(storage, key);
    await storage.put(key, `${row.value.slice(0, 5)}${turn}`, row.version);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
