import { deepEqual, equal, rejects } from 'node:assert/strict';
import { type Check, hasCode, insert, keysUnder, present } from './check.ts';

// Neighbours in this list are keys that some store or encoding confuses.
const names = [
  'a',
  'A',
  'a ',
  ' a',
  'a/',
  'a/b',
  'a/b/c',
  'ab',
  'team/a',
  'team/a/b',
  'Team/a',
  'straße',
  'STRASSE',
  'İ',
  'i̇',
  'caf\u00e9',
  'cafe\u0301',
  '%',
  '%%',
  '_',
  '*',
  '?',
  '[a]',
  '{a}',
  '\\',
  '\\%',
  "'",
  "''",
  '"',
  '`',
  '$1',
  ':',
  'keyv:a',
  'keyv:keyv:a',
  '::a',
  '..',
  '../a',
  '%2F',
  '+',
  '__proto__',
  'constructor',
  'toString',
  'null',
  'undefined',
  '0',
  '00',
  '1e3',
  '🙂',
  '🙃',
  '\ufffd',
  '\uffff',
  '\u{10ffff}',
  '\ud7ff',
  '\ue000',
  '\u200b',
  '漢字',
];

export const keyChecks: readonly Check[] = [
  {
    name: 'keys of unusual characters are distinct',
    async run({ storage, at }) {
      for (const name of names) await insert(storage, at(name), `value of ${name}`);
      for (const name of names) {
        equal((await present(storage, at(name))).value, `value of ${name}`);
        const under = names.filter((other) => other.startsWith(name));
        deepEqual(await keysUnder(storage, at(name)), under.map(at).sort(), `under the prefix ${name}`);
      }
      deepEqual(await keysUnder(storage, at(''), 7), names.map(at).sort());
      for (const [index, name] of names.entries()) {
        const { version } = await present(storage, at(name));
        equal(await storage.delete(at(name), version), true);
        const rest = names.slice(index + 1);
        if (index % 8 === 0) deepEqual(await keysUnder(storage, at('')), rest.map(at).sort());
      }
    },
  },
  {
    name: 'keys of 4 096 characters that differ only in the last one are distinct',
    async run({ storage, at }) {
      const long = (last: string): string => at('漢').padEnd(4096 - last.length, '漢') + last;
      const keys = [long('a'), long('b'), long('ab'), long('c').slice(0, -1)];
      for (const [index, key] of keys.entries()) await insert(storage, key, String(index));
      for (const [index, key] of keys.entries()) equal((await present(storage, key)).value, String(index));
      deepEqual(await keysUnder(storage, at('漢漢'), 1), [...keys].sort());
    },
  },
  {
    name: 'rejects a key that is empty, too long, malformed or has control characters',
    async run({ storage, at }) {
      const invalid = hasCode('invalid_request');
      for (const key of ['', at('a\u0000b'), at('\n'), at('\ud800'), at('x').padEnd(4097, 'x')]) {
        await rejects(storage.get(key), invalid);
        await rejects(storage.put(key, 'value', null), invalid);
        await rejects(storage.delete(key, 'version'), invalid);
      }
    },
  },
];
