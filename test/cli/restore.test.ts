import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { SqliteFile } from '../../src/storage/sqlite/file.ts';
import { type ServeProcess, startCommand } from '../support/serve-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const newPath = temporaryFolder();
const masterKey = 'm'.repeat(40);
const headers = { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' };
const running: ServeProcess[] = [];

function serve(folder: string): ServeProcess {
  const data = join(folder, 'team-models');
  const started = startCommand(['serve', '--port', '0', '--data', data], { TMR_MASTER_KEY: masterKey });
  running.push(started);
  return started;
}

async function kill(started: ServeProcess): Promise<void> {
  started.child.kill('SIGKILL');
  await started.ended;
}

afterEach(async () => {
  for (const started of running.splice(0)) await kill(started);
});

/** Each team fills some pages of the file. */
async function newTeam(url: string, team_id: string): Promise<void> {
  const body = JSON.stringify({ team_id, metadata: { filler: 'x'.repeat(8_000) } });
  expect((await fetch(`${url}/team/new`, { method: 'POST', headers, body })).status).toBe(200);
}

async function teams(url: string): Promise<string[]> {
  const rows = (await (await fetch(`${url}/team/list`, { headers })).json()) as { team_id: string }[];
  return rows.map(({ team_id }) => team_id);
}

/** Makes a backup of one team, adds teams after it, and kills the gateway. Returns the folder of both. */
async function killedAfterBackup(): Promise<string> {
  const folder = newPath('restore');
  mkdirSync(folder);
  const started = serve(folder);
  const url = await started.listening;
  await newTeam(url, 'before');
  const file = new SqliteFile(join(folder, 'team-models/models.sqlite'), 5_000);
  await file.read(`VACUUM INTO '${join(folder, 'backup.sqlite')}'`, []);
  await file.close();
  for (let index = 0; index < 5; index++) await newTeam(url, `after-${index}`);
  await kill(started);
  return folder;
}

const models = (folder: string, suffix = '') => join(folder, `team-models/models.sqlite${suffix}`);

describe('restoring a backup of a SQLite file', () => {
  it('as docs/storage/choosing.md says it gives the rows of the backup after a gateway was killed', async () => {
    const folder = await killedAfterBackup();
    expect(statSync(models(folder, '-wal')).size).toBeGreaterThan(0);
    const page = readFileSync('docs/storage/choosing.md', 'utf8');
    const [, commands = ''] = /Restore a backup[\s\S]*?```sh\n([\s\S]*?)```/.exec(page) ?? [];
    expect(commands).toContain('cp backup.sqlite');
    execFileSync('sh', ['-e', '-c', commands], { cwd: folder });
    const url = await serve(folder).listening;
    expect(await teams(url)).toEqual(['before']);
    await newTeam(url, 'restored');
  });
});

describe('serve on a damaged SQLite file', () => {
  it('ends with one line, and does not listen', async () => {
    const folder = await killedAfterBackup();
    await kill(serve(folder));
    const damaged = readFileSync(join(folder, 'backup.sqlite'));
    damaged.fill(0xff, 4_096, damaged.length);
    execFileSync('rm', ['-f', models(folder, '-wal'), models(folder, '-shm')]);
    writeFileSync(models(folder), damaged);
    const started = serve(folder);
    expect(await started.ended).toBe(1);
    expect(started.output()).toBe(
      `${models(folder)}: The SQLite file is damaged (SQLITE_CORRUPT). Restore a backup: see docs/storage/choosing.md.\n`,
    );
  });

  it('ends with one line for a file that is no database', async () => {
    const folder = newPath('other');
    mkdirSync(join(folder, 'team-models'), { recursive: true });
    writeFileSync(
      join(folder, 'team-models/encryption-keys'),
      `k:${Buffer.alloc(32, 1).toString('base64')}\n`,
    );
    writeFileSync(models(folder), 'This is a letter, and no database. '.repeat(100));
    const started = serve(folder);
    expect(await started.ended).toBe(1);
    expect(started.output()).toBe(`${models(folder)}: The SQLite file is not a database (SQLITE_NOTADB).\n`);
  });
});
