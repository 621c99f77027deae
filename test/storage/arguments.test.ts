import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { KeyvSqlite } from '@keyv/sqlite';
import Keyv from 'keyv';
import pg from 'pg';
import { createClient, createCluster } from 'redis';
import {
  copyStorage,
  generateEncryptionKey,
  isRouterError,
  memoryStorage,
  TeamModelRouter,
} from 'team-model-router';
import { keyvStorage } from 'team-model-router/storage/keyv';
import { postgresStorage } from 'team-model-router/storage/postgres';
import { redisStorage } from 'team-model-router/storage/redis';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

// What a storage is made of, as it is passed by mistake. None of these opens a connection.

const newPath = temporaryFolder();
const password = 'pa55word-of-ours';
const pool = () => new pg.Pool({ host: '127.0.0.1', port: 1 });
const client = () => createClient({ url: 'redis://127.0.0.1:1' });

async function told(make: () => unknown): Promise<{ param: string | null; message: string }> {
  try {
    await make();
  } catch (error) {
    if (!isRouterError(error)) throw error;
    expect(error.code).toBe('invalid_request');
    expect(error.message).not.toContain(password);
    return { param: error.param ?? null, message: error.message };
  }
  return expect.unreachable('it was taken');
}

const anything = [undefined, null, '', 7, true, {}, [], () => {}, Symbol('x')];

describe.each<[string, string, (given: never, options?: never) => unknown, RegExp, unknown[]]>([
  [
    'redisStorage',
    'client',
    redisStorage,
    /createClient\(\{ url \}\)\.connect\(\)/,
    [
      `redis://:${password}@127.0.0.1:1`,
      new URL(`redis://:${password}@127.0.0.1:1`),
      { url: `redis://:${password}@127.0.0.1:1` },
      createClient,
      createCluster({ rootNodes: [{ url: 'redis://127.0.0.1:1' }] }),
      // As ioredis has it.
      { sendCommand() {}, on() {}, off() {}, duplicate() {}, defineCommand() {} },
    ],
  ],
  [
    'postgresStorage',
    'pool',
    postgresStorage,
    /new pg\.Pool\(\{ connectionString/,
    [
      `postgres://us:${password}@127.0.0.1:1/x`,
      new URL(`postgres://us:${password}@127.0.0.1:1/x`),
      { connectionString: `postgres://us:${password}@127.0.0.1:1/x` },
      pg.Pool,
      new pg.Client({ host: '127.0.0.1', port: 1 }),
    ],
  ],
  [
    'keyvStorage',
    'keyv',
    keyvStorage,
    /new Keyv\(store\)/,
    [
      'sqlite://models.sqlite',
      `redis://:${password}@127.0.0.1:1`,
      new Map(),
      Keyv,
      new KeyvSqlite('sqlite://:memory:'),
    ],
  ],
  [
    'sqliteStorage',
    'path',
    sqliteStorage,
    /'models\.sqlite', or ':memory:'/,
    [
      ' ',
      'sqlite://',
      'sqlite:',
      `postgres://us:${password}@127.0.0.1:1/x`,
      'redis://127.0.0.1:1',
      'https://example.com/models.sqlite',
      'file:models.sqlite?mode=ro',
      'file:///models.sqlite?mode=ro',
      'a\0b',
      new URL('https://example.com/models.sqlite'),
      { path: 'models.sqlite' },
      Buffer.from('models.sqlite'),
    ],
  ],
])('%s', (_, param, make, says, wrong) => {
  it('says what to pass in place of something else', async () => {
    for (const given of [...anything, ...wrong]) {
      const { param: named, message } = await told(() => make(given as never));
      expect(named).toBe(param);
      expect(message).toMatch(says);
    }
  });

  it('says that an await is missing', async () => {
    if (param === 'path') return;
    const { param: named, message } = await told(() => make(Promise.resolve({}) as never));
    expect({ named, message }).toMatchObject({
      named: param,
      message: expect.stringContaining('Write await before it.'),
    });
  });
});

it('the options of a storage are named if they are at fault', async () => {
  const keyv = () => new Keyv();
  const makers: [(options: never) => unknown, string[]][] = [
    [(options) => redisStorage(client() as never, options), ['timeoutMs', 'prefix']],
    [(options) => postgresStorage(pool(), options), ['timeoutMs', 'table', 'schema']],
    [(options) => keyvStorage(keyv(), options), ['timeoutMs', 'singleProcess']],
    [(options) => sqliteStorage(':memory:', options), ['timeoutMs', 'watchIntervalMs']],
  ];
  for (const [make, names] of makers) {
    for (const name of names) {
      for (const value of [{}, -1, Number.NaN, ['x'], '']) {
        const { param } = await told(() => make({ [name]: value } as never));
        expect(param).toBe(name);
      }
      expect(() => make({ [name]: undefined } as never)).not.toThrow();
      expect(() => make({ [name]: null } as never)).not.toThrow();
    }
    expect((await told(() => make({ timeout: 5 } as never))).message).toContain('Known: ');
    expect((await told(() => make({ toString: 5 } as never))).param).toBe('toString');
    expect((await told(() => make('timeoutMs' as never))).param).toBe('options');
    expect(() => make(undefined as never)).not.toThrow();
    expect(() => make(null as never)).not.toThrow();
  }
});

it('a SQLite file is named by a path, with or without sqlite:, and by a file: URL', async () => {
  const folder = newPath();
  mkdirSync(folder);
  const file = join(folder, 'models.sqlite');
  const names = [file, `sqlite:${file}`, `sqlite://${file}`, pathToFileURL(file).href, pathToFileURL(file)];
  for (const [at, name] of names.entries()) {
    const storage = sqliteStorage(name as string);
    if (at === 0) await storage.put('key', 'value', null);
    expect(await storage.get('key')).toMatchObject({ value: 'value' });
    await storage.close();
  }
  expect(existsSync(file)).toBe(true);
});

it('a router and a copy say which storage they need', async () => {
  const encryptionKeys = [generateEncryptionKey()];
  const wrong: [unknown, RegExp][] = [
    [
      `redis://:${password}@127.0.0.1:1`,
      /not an address. Pass sqliteStorage\('models.sqlite'\), redisStorage\(client\)/,
    ],
    ['models.sqlite', /not an address/],
    [undefined, /must be a storage, such as memoryStorage\(\)/],
    [new Keyv(), /keyvStorage\(keyv\)/],
    [client(), /redisStorage\(client\)/],
    [memoryStorage, /Call it/],
    [Promise.resolve(memoryStorage()), /Write await before it/],
  ];
  for (const [storage, says] of wrong) {
    const { param, message } = await told(() => new TeamModelRouter({ storage, encryptionKeys } as never));
    expect({ param, message }).toEqual({ param: 'storage', message: expect.stringMatching(says) });
  }
  expect((await told(() => copyStorage('models.sqlite' as never, memoryStorage()))).param).toBe('from');
  expect((await told(() => copyStorage(memoryStorage(), undefined as never))).param).toBe('to');
});
