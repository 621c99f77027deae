import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { generateEncryptionKey } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from './support/recording-provider.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const blocksOf = (file: string) =>
  [...read(file).matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

// Inside the checkout, where the package's name and its dependencies are found.
const folder = join(root, '.tmp', `readme-${process.pid}`);
const modelsFile = temporaryFolder()();
let acme: RecordingProvider;
let globex: RecordingProvider;

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  [acme, globex] = await Promise.all([recordingProvider(), recordingProvider()]);
});

afterAll(async () => {
  await Promise.all([acme.close(), globex.close()]);
  rmSync(folder, { recursive: true, force: true });
});

let scripts = 0;

async function execute(source: string): Promise<string> {
  const file = join(folder, `block-${scripts++}.ts`);
  writeFileSync(file, source);
  const env = {
    ...process.env,
    OPENAI_API_KEY: 'sk-acme-0123456789abcdef',
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
  const { stdout } = await run(process.execPath, ['--import', 'tsx', file], { cwd: root, env });
  return stdout;
}

describe('the README', () => {
  const blocks = blocksOf('README.md');
  const [quickStart = '', ...usages] = blocks;

  it('has at most 150 lines', () => {
    expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(150);
  });

  it('has a quick start of eight lines that needs one key and nothing else', () => {
    const lines = quickStart.split('\n').filter((line) => line !== '');
    expect(lines.length).toBeLessThanOrEqual(8);
    expect(quickStart.match(/process\.env\.\w+/g)).toEqual(['process.env.OPENAI_API_KEY']);
  });

  it('runs every block, and each call carries the key of the team', async () => {
    expect(usages).toHaveLength(5);
    // The provider of the tests in place of OpenAI.
    const local = quickStart
      .replace(
        'api_key: process.env.OPENAI_API_KEY }',
        'api_key: process.env.OPENAI_API_KEY, api_base: process.env.ACME_BASE }',
      )
      .replace(
        'encryptionKeys: [generateEncryptionKey()] }',
        'encryptionKeys: [generateEncryptionKey()], egress: { allow: [process.env.ACME_BASE ?? ""] } }',
      );
    const imports = `
      import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
      import { ChatOpenAI } from '@langchain/openai';
      import { generateText } from 'ai';
      import express from 'express';
      import { createGateway } from 'team-model-router/http';
      import { expressGateway } from 'team-model-router/http/express';
      import { teamBaseUrl } from 'team-model-router';
    `;
    const end = `
      console.log('\\n', response.status, await response.text());
      const server = app.listen(0, '127.0.0.1', async () => {
        const url = \`http://127.0.0.1:\${server.address().port}/llm/v1/chat/completions\`;
        const viaGateway = await fetch(url, { method: 'POST', headers: { ...headers, authorization: \`Bearer \${key}\` }, body });
        console.log('gateway', viaGateway.status);
        server.close();
        server.closeAllConnections();
        await router.close();
      });
    `;
    const output = await execute([imports, local, ...usages, end].join('\n'));
    expect(output).toContain('gateway 200');
    expect(output.match(/Hello there/g)?.length).toBeGreaterThanOrEqual(4);
    expect(acme.requests).toHaveLength(6);
    for (const { headers, body } of acme.requests) {
      expect(headers.authorization).toBe('Bearer sk-acme-0123456789abcdef');
      expect(JSON.parse(String(body))).toMatchObject({ model: 'gpt-4o' });
    }
  });
});

describe('docs/getting-started/tutorial.md', () => {
  it('prints what it says, and sends each call with the key', async () => {
    acme.requests.length = 0;
    const source = blocksOf('docs/getting-started/tutorial.md')
      .join('\n')
      .replaceAll(', api_key', ', api_key, api_base: process.env.ACME_BASE')
      .replace('memoryStorage(),', 'memoryStorage(), egress: { allow: [process.env.ACME_BASE ?? ""] },');
    const lines = (await execute(source)).trim().split('\n');
    expect(lines).toEqual([
      'acme: gpt-4o Hello there',
      'globex: gpt-4o-mini',
      'pool of acme: openai/gpt-4o, openai/gpt-4o-mini',
      'acme may call: assistant, basic',
      'globex may call: assistant',
    ]);
    expect(acme.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer sk-acme-0123456789abcdef',
      'Bearer sk-acme-0123456789abcdef',
    ]);
  });
});

describe('docs/guides/calls.md', () => {
  const [twoTeams = '', client = '', errors = '', ...others] = blocksOf('docs/guides/calls.md');

  it('has the blocks that run here, and no other', () => {
    expect(others).toEqual([]);
  });

  it('sends two teams that call the same name to two providers, each with its own key', async () => {
    acme.requests.length = 0;
    expect(await execute(twoTeams)).toMatch(/^acme .+\nglobex .+\n$/);
    expect(acme.requests.map(({ url }) => url)).toEqual(['/v1/chat/completions']);
    expect(acme.requests[0]?.headers.authorization).toBe('Bearer sk-acme-0123456789abcdef');
    expect(JSON.parse(String(acme.requests[0]?.body))).toMatchObject({ model: 'gpt-4o' });
    expect(globex.requests.map(({ url }) => url)).toEqual([
      '/openai/deployments/gpt-4o-eu/chat/completions?api-version=2024-10-21',
    ]);
    expect(globex.requests[0]?.headers['api-key']).toBe('globex-0123456789abcdef');
  });

  it('streams through a team client and answers a plain fetch', async () => {
    expect(await execute(client)).toMatch(/\S+200\n$/);
  });

  it('narrows an error by its code', async () => {
    expect(await execute(errors)).toMatch(/model.*"unknown-model"/i);
  });
});

it('docs/storage/choosing.md opens a SQLite file', async () => {
  expect(await execute(blocksOf('docs/storage/choosing.md')[0] ?? '')).toBe('0\n');
});

it('docs/gateway/mounting.md serves the gateway, and ends it', async () => {
  const served = blocksOf('docs/gateway/mounting.md').find((block) => block.includes('serveGateway(')) ?? '';
  expect(await execute(served)).toBe('200\n');
});
