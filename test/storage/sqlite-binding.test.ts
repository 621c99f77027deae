import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();
const root = fileURLToPath(new URL('../..', import.meta.url));
const modules = join(root, 'node_modules');

/** What the storage of an installation answers whose `sqlite3` has been changed by `change`. */
async function answerWith(change: (sqlite3: string) => void): Promise<unknown> {
  const path = newPath('installation');
  mkdirSync(join(path, 'node_modules/@keyv'), { recursive: true });
  // A module is found by where it really is.
  const place = realpathSync(path);
  for (const name of ['src', 'package.json'])
    cpSync(join(root, name), join(place, name), { recursive: true });
  for (const name of ['keyv', 'bindings', 'file-uri-to-path', 'zod'])
    symlinkSync(join(modules, name), join(place, 'node_modules', name));
  cpSync(join(modules, '@keyv/sqlite'), join(place, 'node_modules/@keyv/sqlite'), { recursive: true });
  const sqlite3 = join(place, 'node_modules/sqlite3');
  for (const name of ['package.json', 'lib'])
    cpSync(join(modules, 'sqlite3', name), join(sqlite3, name), { recursive: true });
  change(sqlite3);
  const program = join(place, 'program.ts');
  const module = pathToFileURL(join(place, 'src/storage/sqlite/index.ts')).href;
  writeFileSync(
    program,
    `import { sqliteStorage } from '${module}';
     sqliteStorage(':memory:').get('key').then(
       () => process.send?.('opened'),
       ({ code, message }) => process.send?.({ code, message }),
     );`,
  );
  const child = fork(program, [], { execArgv: ['--import', 'tsx'] });
  const exited = once(child, 'exit');
  const [answer] = await once(child, 'message');
  // Node 20 ended the process for a rejection that nobody could handle.
  expect(await exited).toEqual([0, null]);
  return answer;
}

/** Where `npm install` puts what it has built. */
const binding = (sqlite3: string) => join(sqlite3, 'build/Release/node_sqlite3.node');

describe('SQLite without its native binding was told as a missing package', () => {
  it('opens with a binding, to compare', async () => {
    const answer = await answerWith((sqlite3) => {
      cpSync(binding(join(modules, 'sqlite3')), binding(sqlite3));
    });
    expect(answer).toBe('opened');
  }, 30_000);

  it('says that the install script did not run, and how to run it', async () => {
    const answer = await answerWith(() => {});
    expect(answer).toEqual({
      code: 'storage_unavailable',
      message: expect.stringMatching(/binding .*is missing.* npm rebuild sqlite3 --ignore-scripts=false/s),
    });
  }, 30_000);

  it.each([
    ['another platform', 'MZ this is a library of another platform'],
    ['a download that was cut off', ''],
  ])(
    'says that the binding does not load: %s',
    async (_, content) => {
      const answer = await answerWith((sqlite3) => {
        mkdirSync(join(sqlite3, 'build/Release'), { recursive: true });
        writeFileSync(binding(sqlite3), content);
      });
      expect(answer).toEqual({
        code: 'storage_unavailable',
        message: expect.stringMatching(
          /built for another Node version or another platform.* npm rebuild sqlite3/s,
        ),
      });
      expect(JSON.stringify(answer)).not.toContain('installation');
    },
    30_000,
  );

  it('says that packages are missing where they are', async () => {
    const answer = await answerWith((sqlite3) => rmSync(sqlite3, { recursive: true }));
    expect(answer).toEqual({
      code: 'storage_unavailable',
      message: 'sqliteStorage requires two more packages. Run npm install keyv @keyv/sqlite.',
    });
  }, 30_000);
});
