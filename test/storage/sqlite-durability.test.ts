import { copyFileSync, statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SqliteFile } from '../../src/storage/sqlite/file.ts';
import { sqliteStorage } from '../../src/storage/sqlite/index.ts';
import { type ServeProcess, startCommand } from '../support/serve-process.ts';
import { eventually } from '../support/server-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();
const masterKey = 'm'.repeat(40);

/** The keys in a copy of the database file alone. */
async function keysInCopy(path: string): Promise<string[]> {
  const copy = newPath('copy.sqlite');
  copyFileSync(path, copy);
  const storage = sqliteStorage(copy);
  const { entries } = await storage.list('');
  await storage.close();
  return entries.map(({ key }) => key);
}

async function serving(data: string): Promise<{ started: ServeProcess; url: string }> {
  const environment = { TMR_MASTER_KEY: masterKey };
  const started = startCommand(['serve', '--port', '0', '--data', data], environment);
  return { started, url: await started.listening };
}

const newTeam = (url: string, team_id: string) =>
  fetch(`${url}/team/new`, {
    method: 'POST',
    headers: { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ team_id }),
  });

it('a copy of the file of a running gateway held nothing: it has the rows within seconds', async () => {
  const data = newPath('data');
  const { started, url } = await serving(data);
  expect((await newTeam(url, 'acme')).status).toBe(200);
  await eventually(async () => expect(await keysInCopy(`${data}/models.sqlite`)).toContain('team/acme'));
  started.child.kill('SIGKILL');
  await started.ended;
});

it('rows that a killed gateway left in the -wal file move into the file once it runs again', async () => {
  const data = newPath('data');
  const first = await serving(data);
  expect((await newTeam(first.url, 'acme')).status).toBe(200);
  first.started.child.kill('SIGKILL');
  await first.started.ended;
  const file = `${data}/models.sqlite`;
  expect(statSync(`${file}-wal`).size).toBeGreaterThan(0);
  const second = await serving(data);
  const headers = { authorization: `Bearer ${masterKey}` };
  expect((await fetch(`${second.url}/team/info?team_id=acme`, { headers })).status).toBe(200);
  await eventually(async () => expect(await keysInCopy(file)).toContain('team/acme'));
  second.started.child.kill('SIGKILL');
  await second.started.ended;
});

it('close moves the rows into the file, though another process has it open', async () => {
  const path = newPath();
  const other = new SqliteFile(path, 1_000);
  await other.read('PRAGMA data_version', []);
  const storage = sqliteStorage(path);
  await storage.put('key', 'value', null);
  expect(await keysInCopy(path)).toEqual([]);
  await storage.close();
  expect(await keysInCopy(path)).toEqual(['key']);
  await other.close();
});

it('a backup by VACUUM INTO is whole while the gateway writes', async () => {
  const path = newPath();
  const storage = sqliteStorage(path);
  await storage.put('before', 'value', null);
  const writing = Promise.all(
    Array.from({ length: 50 }, (_, index) => storage.put(`meanwhile/${index}`, 'value', null)),
  );
  const reader = new SqliteFile(path, 5_000);
  const backup = newPath('backup.sqlite');
  await reader.read(`VACUUM INTO '${backup}'`, []);
  await reader.close();
  await writing;
  await storage.close();
  expect(await keysInCopy(backup)).toContain('before');
});
