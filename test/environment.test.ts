import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from './support/recording-provider.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const sdk = dirname(createRequire(import.meta.url).resolve('openai'));

/** Every variable that the installed SDK's own source reads. */
function variablesOfTheSdk(): string[] {
  const names = new Set<string>();
  for (const file of readdirSync(sdk, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.mjs')) continue;
    const text = readFileSync(join(sdk, file), 'utf8');
    for (const [, name] of text.matchAll(
      /(?:readEnv\(|process\.env(?:\?)?\.|process\.env\[)['"]?([A-Z][A-Z0-9_]+)/g,
    )) {
      if (name !== undefined) names.add(name);
    }
  }
  return [...names];
}

let provider: RecordingProvider;
beforeAll(async () => {
  provider = await recordingProvider();
});
afterAll(() => provider.close());

it("nothing of the host's environment shows in a request, or in the client that makes it", async () => {
  const variables = variablesOfTheSdk();
  expect(variables).toEqual(
    expect.arrayContaining([
      'OPENAI_API_KEY',
      'OPENAI_BASE_URL',
      'OPENAI_ORG_ID',
      'OPENAI_CUSTOM_HEADERS',
      'OPENAI_LOG',
    ]),
  );
  const canaries: Record<string, string> = Object.fromEntries(
    variables.map((name) => [name, `canary-${name}`]),
  );
  canaries.OPENAI_CUSTOM_HEADERS =
    'Authorization: Bearer canary-header\nX-Canary: canary-header\nOpenAI-Beta: canary-beta';
  canaries.OPENAI_LOG = 'debug';
  // Nobody listens there: a call that obeyed it would fail.
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy'])
    canaries[name] = 'http://127.0.0.1:1';
  // Whoever took note of it would take our provider for one that needs the proxy.
  for (const name of ['NO_PROXY', 'no_proxy']) canaries[name] = 'nothing.example';
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', 'test/support/environment-child.ts', provider.url],
    {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_USE_ENV_PROXY: '1', ...canaries },
    },
  );
  const paths = provider.requests.map(({ method, url }) => `${method} ${url}`);
  expect(new Set(paths)).toEqual(
    new Set([
      'POST /v1/chat/completions',
      'POST /v1/embeddings',
      'POST /v1/responses',
      'POST /v1/audio/transcriptions',
      'GET /v1/files',
    ]),
  );
  for (const { headers } of provider.requests) expect(headers.authorization).toBe('Bearer acmes-key');
  expect(provider.everything().toLowerCase()).not.toContain('canary');
  expect(stdout).toContain('inspected');
  expect(`${stdout}${stderr}`.toLowerCase()).not.toContain('canary');
});
