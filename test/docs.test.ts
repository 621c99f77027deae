import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { postgresUrl } from './fixtures/connections.ts';
import { temporaryFolder } from './fixtures/temporary-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = readFileSync(join(root, 'docs/storage.md'), 'utf8');
const block = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? '';

describe('docs/storage.md', () => {
  const folder = join(root, '.tmp', `docs-${process.pid}`);
  const newPath = temporaryFolder();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.skipIf(postgresUrl === undefined)('moves a SQLite file into PostgreSQL', async () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'move.ts'), block);
    const database = `docs_${process.pid}`;
    const client = new pg.Client({ connectionString: postgresUrl });
    await client.connect();
    await client.query(`CREATE DATABASE ${database}`);
    await client.end();
    const environment = {
      ...process.env,
      DATABASE_URL: new URL(`/${database}`, postgresUrl).href,
      MODELS_FILE: newPath(),
    };
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, ['--import', 'tsx', join(folder, 'move.ts')], {
      cwd: root,
      env: environment,
    });
    expect(stdout).toBe('0 records, 0 written\n');
  });
});
