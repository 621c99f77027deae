import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { generateEncryptionKey } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from './fixtures/recording-provider.ts';
import { temporaryFolder } from './fixtures/temporary-folder.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

describe('the README', () => {
  // Inside the checkout, where the package's name and its dependencies are found.
  const folder = join(root, '.tmp', `readme-${process.pid}`);
  const modelsFile = temporaryFolder()();
  let acme: RecordingProvider;
  let globex: RecordingProvider;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    mkdirSync(folder, { recursive: true });
    acme = await recordingProvider();
    globex = await recordingProvider();
    environment = {
      ...process.env,
      ACME_KEY: 'sk-acme-0123456789abcdef',
      ACME_BASE: acme.url,
      GLOBEX_KEY: 'globex-0123456789abcdef',
      GLOBEX_BASE: globex.url,
      EGRESS_ALLOW: `${acme.url},${globex.url}`,
      MODELS_FILE: modelsFile,
      ENCRYPTION_KEYS: JSON.stringify([generateEncryptionKey()]),
      TMR_MASTER_KEY: 'a-master-key-of-the-tests-0123456789',
      PORT: '0',
    };
  });

  afterAll(async () => {
    await Promise.all([acme.close(), globex.close()]);
    rmSync(folder, { recursive: true, force: true });
  });

  const execute = async (index: number) => {
    const file = join(folder, `block-${index}.ts`);
    writeFileSync(file, blocks[index] ?? '');
    const { stdout } = await run(process.execPath, ['--import', 'tsx', file], {
      cwd: root,
      env: environment,
    });
    return stdout;
  };

  it('has the blocks that are run here, and no other', () => {
    expect(blocks).toHaveLength(5);
  });

  it('sends two teams that call the same name to two providers, each with its own key', async () => {
    const output = await execute(0);
    expect(output).toMatch(/^acme .+\nglobex .+\n$/);
    expect(acme.requests.map(({ url }) => url)).toEqual(['/v1/chat/completions']);
    expect(acme.requests[0]?.headers.authorization).toBe('Bearer sk-acme-0123456789abcdef');
    expect(JSON.parse(String(acme.requests[0]?.body))).toMatchObject({ model: 'gpt-4o' });
    expect(globex.requests.map(({ url }) => url)).toEqual([
      '/openai/deployments/gpt-4o-eu/chat/completions?api-version=2024-10-21',
    ]);
    expect(globex.requests[0]?.headers['api-key']).toBe('globex-0123456789abcdef');
  });

  it('streams through a team client and answers a plain fetch', async () => {
    const output = await execute(1);
    expect(output).toMatch(/\S+200\n$/);
  });

  it('opens a SQLite file', async () => {
    expect(await execute(2)).toBe('0\n');
  });

  it('serves the gateway, and ends it', async () => {
    expect(await execute(3)).toBe('200\n');
  });

  it('narrows an error by its code', async () => {
    expect(await execute(4)).toMatch(/^404 There is no model "nobody-has-this" for this team\./);
  });

  it('names every error code that exists', async () => {
    const { errorCodes } = await import('team-model-router');
    for (const code of Object.keys(errorCodes)) {
      expect(readme).toContain(`\`${code}\``);
    }
  });
});
