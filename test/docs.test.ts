import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { generateEncryptionKey, TeamModelRouter } from 'team-model-router';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { afterAll, describe, expect, it } from 'vitest';
import { absentField, absentRoute, movingOver } from '../src/http/routes/litellm-names.ts';
import { keyBody, modelBody, teamBody } from '../src/schemas/bodies.ts';
import { postgresUrl } from './support/connections.ts';
import { chatCompletion, recordingProvider, sendError, sendJson } from './support/recording-provider.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, '.tmp', `docs-${process.pid}`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the last TypeScript block of a page. Returns its output. */
async function runBlockOf(page: string, environment: Record<string, string>): Promise<string> {
  const text = readFileSync(join(root, 'docs', page), 'utf8');
  const blocks = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${basename(page, '.md')}.ts`);
  writeFileSync(file, blocks.at(-1) ?? '');
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', file], {
    cwd: root,
    env: { ...process.env, ...environment },
  });
  return stdout;
}

describe('docs/storage/moving.md', () => {
  const newPath = temporaryFolder();

  it.skipIf(postgresUrl === undefined)('moves a SQLite file into PostgreSQL', async () => {
    const database = `docs_${process.pid}`;
    const client = new pg.Client({ connectionString: postgresUrl });
    await client.connect();
    await client.query(`CREATE DATABASE ${database}`);
    await client.end();
    const file = newPath();
    const router = new TeamModelRouter({
      storage: sqliteStorage(file),
      encryptionKeys: [generateEncryptionKey()],
    });
    await router.createTeam({ team_id: 'acme' });
    await router.close();
    const printed = await runBlockOf('storage/moving.md', {
      DATABASE_URL: new URL(`/${database}`, postgresUrl).href,
      MODELS_FILE: file,
    });
    expect(printed).toBe('1 records, 1 written\n');
  });
});

it('docs/guides/pools.md falls back, for every call of a team and for one', async () => {
  const broken = await recordingProvider((_, response) => sendError(response, 500, 'overloaded'));
  const backup = await recordingProvider((_, response) => sendJson(response, 200, chatCompletion('backup')));
  try {
    const printed = await runBlockOf('guides/pools.md', {
      ACME_KEY: 'sk-acme-0123456789abcdef',
      ACME_BASE: broken.url,
      BACKUP_KEY: 'sk-backup-0123456789abcdef',
      BACKUP_BASE: backup.url,
      EGRESS_ALLOW: `${broken.url},${backup.url}`,
    });
    expect(printed).toBe("my-team-model answered by my-backup [ 'my-backup' ]\n".repeat(2));
    expect(broken.requests).toHaveLength(3);
    expect(backup.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer sk-backup-0123456789abcdef',
      'Bearer sk-backup-0123456789abcdef',
    ]);
  } finally {
    await Promise.all([broken.close(), backup.close()]);
  }
});

it('docs/guides/encryption-keys.md encrypts what serve has stored with the first key of its file', async () => {
  const [newKey, oldKey] = [generateEncryptionKey(), generateEncryptionKey()];
  const data = join(folder, 'rotation', 'team-models');
  mkdirSync(data, { recursive: true });
  writeFileSync(
    join(data, 'encryption-keys'),
    [newKey, oldKey].map(({ id, key }) => `${id}:${key}\n`).join(''),
  );
  const storage = sqliteStorage(join(data, 'models.sqlite'));
  const router = new TeamModelRouter({ storage, encryptionKeys: [oldKey] });
  const litellm_params = { model: 'openai/gpt-4o', api_key: 'sk-acme-0123456789abcdef' };
  await router.addModel('acme', { model_name: 'my-team-model', litellm_params });
  await router.close();
  const [, block = ''] =
    /```js\n( *import \{ readFileSync[\s\S]*?)```/.exec(page('guides/encryption-keys.md')) ?? [];
  const file = join(data, '..', 'rotate.mjs');
  writeFileSync(file, block);
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', file], {
    cwd: join(data, '..'),
  });
  expect(stdout).toContain('resealed: 1, unreadable: 0');
  expect(stdout).toContain(`{ ${newKey.id}: 1 }`);
});

const page = (name: string) => readFileSync(join(root, 'docs', name), 'utf8');

it('docs/reference/bodies.md names every field that a body may have', () => {
  const { litellm_params, model_info } = modelBody.shape;
  const bodies = [
    modelBody,
    litellm_params,
    model_info.unwrap(),
    teamBody,
    teamBody.shape.settings.unwrap(),
    keyBody,
  ];
  const fields = bodies.flatMap(({ shape }) => Object.keys(shape));
  expect(fields.length).toBeGreaterThan(40);
  for (const field of fields) expect(page('reference/bodies.md')).toContain(`\`${field}\``);
});

it('docs/reference/options.md names every option of the router', () => {
  const source = readFileSync(join(root, 'src/options.ts'), 'utf8');
  const [, declared = ''] = /interface RouterOptions \{\n([\s\S]*?)\n\}/.exec(source) ?? [];
  const options = [...declared.matchAll(/^( +)(\w+)\??:/gm)].map(([, indent, name]) =>
    indent === '  ' ? name : `egress.${name}`,
  );
  expect(options).toContain('egress.connectTimeoutMs');
  for (const option of options.filter((name) => name !== 'egress'))
    expect(page('reference/options.md')).toContain(`| \`${option}\` |`);
});

it('docs/gateway/moving-over.md names the fields and routes that a refusal sends its readers there for', () => {
  const text = page('gateway/moving-over.md');
  expect(movingOver).toBe('"Moving over from LiteLLM" (docs/gateway/moving-over.md)');
  expect(text).toMatch(/^# Moving over from LiteLLM\n/);
  // Each example of the table is refused as what it is shown for.
  const [, table = ''] = /## What does not exist here\n([\s\S]*?)\n## /.exec(text) ?? [];
  const cells = table
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1)
    .map((line) => line.split('|').slice(2, 4));
  const namesIn = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
  const routes = cells.flatMap(([cell]) => namesIn(cell));
  expect(routes.length).toBeGreaterThan(20);
  for (const route of routes) expect(absentRoute(route.replace('...', 'x')), route).toBeDefined();
  const fields = cells.flatMap(([, cell]) => namesIn(cell)).filter((name) => !name.endsWith('...'));
  expect(fields.length).toBeGreaterThan(20);
  for (const field of fields) expect(absentField(field), field).toBeDefined();
});

it('every heading that a page of docs links to is there', () => {
  const names = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.md') && !name.startsWith('api/'),
  );
  const anchors = (text: string) =>
    new Set(
      [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, '')
          .replaceAll(' ', '-'),
      ),
    );
  for (const name of names) {
    for (const [, file = '', anchor] of page(name).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)) {
      const target = readFileSync(
        file === '' ? join(root, 'docs', name) : join(root, 'docs', dirname(name), file),
        'utf8',
      );
      if (anchor !== undefined) expect(anchors(target), `${name}: ${file}#${anchor}`).toContain(anchor);
    }
  }
});
