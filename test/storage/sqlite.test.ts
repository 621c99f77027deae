import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { KeyvSqlite } from '@keyv/sqlite';
import Keyv from 'keyv';
import { expect, test } from 'vitest';
import { RouterError } from '../../src/errors.ts';
import { SqliteFile } from '../../src/storage/sqlite/file.ts';
import { sqliteStorage } from '../../src/storage/sqlite/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();

async function failureOf(operation: Promise<unknown>): Promise<RouterError> {
  const error = await operation.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!RouterError.isInstance(error)) throw new Error(`not a RouterError: ${inspect(error)}`);
  return error;
}

/** Everything of the error that could be printed, which must not give the path away. */
function printed(error: RouterError): string {
  return `${JSON.stringify(error)} ${error.message} ${inspect(error.cause, { showHidden: true, depth: Infinity })}`;
}

test('a plain Keyv over the same file reads the values', async () => {
  const path = newPath();
  const storage = sqliteStorage(path);
  const values = ['{"a":1}', '', ':colon', '::colons', ':base64:aGVsbG8=', '🙂 "quoted"\n'];
  for (const value of values) await storage.put(`key/${value.length}${value}`.trim(), value, null);
  await storage.put('key/later', 'later', null, { expiresAt: Date.now() + 60_000 });
  await storage.put('key/earlier', 'earlier', null, { expiresAt: Date.now() - 60_000 });
  await storage.close();

  const store = new KeyvSqlite(`sqlite://${path}`);
  const keyv = new Keyv({ store });
  for (const value of values) expect(await keyv.get(`key/${value.length}${value}`.trim())).toBe(value);
  expect(await keyv.get('key/later')).toBe('later');
  expect(await keyv.get('key/earlier')).toBeUndefined();
  await store.close();
}, 20_000);

test('a new file and its companion files are readable only by their owner', async () => {
  const path = newPath();
  const storage = sqliteStorage(path);
  await storage.put('key', 'value', null);
  for (const suffix of ['', '-wal', '-shm']) {
    expect((statSync(path + suffix).mode & 0o777).toString(8), suffix).toBe('600');
  }
  await storage.close();
});

test('the file is in WAL mode, and its connection syncs every commit', async () => {
  const path = newPath();
  const file = new SqliteFile(path, 1_000);
  expect(await file.read('PRAGMA journal_mode', [])).toEqual([{ journal_mode: 'wal' }]);
  expect(await file.read('PRAGMA synchronous', [])).toEqual([{ synchronous: 2 }]);
  await file.close();
});

test('a value of a file survives closing and opening, under the same version', async () => {
  const path = newPath();
  const first = sqliteStorage(path);
  const version = await first.put('key', 'value', null);
  await first.close();
  const second = sqliteStorage(`sqlite://${path}`);
  expect(await second.get('key')).toEqual({ value: 'value', version });
  await second.close();
});

test.each([
  ['a directory', 'EISDIR', (path: string) => mkdirSync(path)],
  ['not a database', 'SQLITE_NOTADB', (path: string) => writeFileSync(path, 'not a database '.repeat(100))],
  ['in a directory that does not exist', 'ENOENT', () => {}],
])('a file that is %s is storage_unavailable, without its path', async (what, code, prepare) => {
  const path = newPath('secret-place');
  prepare(path);
  const storage = sqliteStorage(what.startsWith('in ') ? join(path, 'models.sqlite') : path);
  const operations = [
    storage.get('key'),
    storage.put('key', 'value', null),
    storage.list(''),
    storage.delete('key', 'v'),
  ];
  for (const operation of operations) {
    const error = await failureOf(operation);
    expect(error).toMatchObject({ code: 'storage_unavailable', message: expect.stringContaining(code) });
    expect(printed(error)).not.toContain('secret-place');
  }
  await storage.close();
});

test('a file that could not be opened is opened once it can be', async () => {
  const folder = newPath('folder');
  const storage = sqliteStorage(join(folder, 'models.sqlite'));
  expect((await failureOf(storage.get('key'))).code).toBe('storage_unavailable');
  mkdirSync(folder);
  expect(await storage.put('key', 'value', null)).toEqual(expect.any(String));
  await storage.close();
});

test('a locked file is storage_unavailable to concurrent writers, and still readable', async () => {
  const path = newPath();
  const storage = sqliteStorage(path, { timeoutMs: 300 });
  const version = await storage.put('key', 'value', null);
  const other = new KeyvSqlite(`sqlite://${path}`);
  await other.query('BEGIN IMMEDIATE');
  const writes = Array.from({ length: 50 }, (_, index) => storage.put(`other/${index}`, 'value', null));
  for (const error of await Promise.all(writes.map(failureOf))) {
    expect(error).toMatchObject({ code: 'storage_unavailable', message: expect.stringContaining('locked') });
  }
  expect(await storage.get('key')).toEqual({ value: 'value', version });
  await other.query('ROLLBACK');
  expect(await storage.put('key', 'next', version ?? null)).toEqual(expect.any(String));
  await other.close();
  await storage.close();
});

test('a damaged file is storage_unavailable, never an absent key', async () => {
  const path = newPath();
  const storage = sqliteStorage(path);
  for (let index = 0; index < 50; index += 1) await storage.put(`key/${index}`, 'x'.repeat(2_000), null);
  await storage.close();
  const bytes = readFileSync(path);
  bytes.fill(0xff, 4096);
  writeFileSync(path, bytes);
  const damaged = sqliteStorage(path);
  expect((await failureOf(damaged.get('key/7'))).code).toBe('storage_unavailable');
  expect((await failureOf(damaged.list('key/'))).code).toBe('storage_unavailable');
  await damaged.close();
});

test.each([
  ['is no JSON', 'canary'],
  ['is cut off', '{"nonce":"0123456789012345678901","value":"canary'],
  ['has no nonce', '{"value":"canary"}'],
  ['has no value', '{"nonce":"0123456789012345678901","canary":1}'],
  ['is null', null],
])('a row that %s is corrupt_record, and is not quoted', async (_, text) => {
  const path = newPath();
  const storage = sqliteStorage(path);
  await storage.put('key', 'value', null);
  const other = new KeyvSqlite(`sqlite://${path}`);
  await other.query('UPDATE keyv SET value = ?', text);
  await other.close();
  for (const operation of [storage.get('key'), storage.list('k')]) {
    const error = await failureOf(operation);
    expect(error.code).toBe('corrupt_record');
    expect(printed(error)).not.toContain('canary');
  }
  expect(await storage.put('key', 'over it', null)).toBeUndefined();
  await storage.close();
});

test('watch is silent about its own writes, and can be stopped after close', async () => {
  const path = newPath();
  const storage = sqliteStorage(path, { watchIntervalMs: 1 });
  const other = sqliteStorage(path);
  const events: unknown[] = [];
  let tell = (): void => {};
  const stop = await storage.watch?.((event) => {
    events.push(event);
    tell();
  });
  for (let index = 0; index < 20; index += 1) await storage.put(`own/${index}`, 'value', null);
  expect(events).toEqual([]);
  const told = new Promise<void>((resolve) => {
    tell = resolve;
  });
  await other.put('theirs', 'value', null);
  await told;
  expect(events).toEqual([{ reset: true }]);
  await storage.close();
  await stop?.();
  await other.close();
});

test('an empty path is refused: SQLite would keep the data in a temporary file', () => {
  expect(() => sqliteStorage('')).toThrow(RouterError);
});

test('without @keyv/sqlite the error says what to install', async () => {
  const folder = newPath('elsewhere');
  cpSync(new URL('../../src/storage', import.meta.url), join(folder, 'storage'), { recursive: true });
  for (const file of ['errors.ts', 'redact'])
    cpSync(new URL(`../../src/${file}`, import.meta.url), join(folder, file), { recursive: true });
  const program = join(folder, 'program.ts');
  const module = pathToFileURL(join(folder, 'storage/sqlite/index.ts')).href;
  writeFileSync(
    program,
    `import { sqliteStorage } from '${module}';
     sqliteStorage(':memory:').get('key').catch((error) => process.send?.({ code: error.code, message: error.message }));`,
  );
  const [answer] = await once(startChild(program), 'message');
  expect(answer).toEqual({
    code: 'storage_unavailable',
    message: expect.stringContaining('npm install keyv @keyv/sqlite'),
  });
}, 20_000);

test('two processes that increment one counter in one file lose nothing', async () => {
  const path = newPath();
  const turns = 200;
  const program = fileURLToPath(new URL('counter-child.ts', import.meta.url));
  const children = [startChild(program, path, String(turns)), startChild(program, path, String(turns))];
  await Promise.all(children.map((child) => once(child, 'message')));
  const answers = children.map((child) => once(child, 'message'));
  for (const child of children) child.send('go');
  const conflicts = (await Promise.all(answers)).map(
    ([answer]) => (answer as { conflicts: number }).conflicts,
  );
  expect(conflicts.reduce((sum, count) => sum + count)).toBeGreaterThan(0);
  const storage = sqliteStorage(path);
  expect(await storage.get('counter')).toMatchObject({ value: String(2 * turns) });
  await storage.close();
}, 25_000);

function startChild(program: string, ...programArguments: string[]): ChildProcess {
  return fork(program, programArguments, { execArgv: ['--import', 'tsx'] });
}
