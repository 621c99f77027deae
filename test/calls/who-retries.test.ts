import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const answers = new Map<string, [status: number, code: string]>([
  ['400, invalid_value', [400, 'invalid_value']],
  ['400, API key not valid', [400, 'API_KEY_INVALID']],
  ['401', [401, 'its_own']],
  ['402', [402, 'its_own']],
  ['403', [403, 'its_own']],
  ['404', [404, 'its_own']],
  ['408', [408, 'its_own']],
  ['409', [409, 'its_own']],
  ['429', [429, 'its_own']],
  ['429, insufficient_quota', [429, 'insufficient_quota']],
  ['498', [498, 'its_own']],
  ['500', [500, 'its_own']],
  ['503', [503, 'its_own']],
  ['529', [529, 'its_own']],
]);
const wishes = ['none', 'true', 'false'] as const;

let provider: RecordingProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let reply: { status: number; code: string; wish: string };

beforeAll(async () => {
  provider = await recordingProvider((_, response) => {
    const { status, code, wish } = reply;
    const error = { message: 'in its own words', type: 'its_own', param: null, code };
    sendJson(
      response,
      status,
      { error },
      {
        'retry-after-ms': '1',
        ...(wish !== 'none' && { 'x-should-retry': wish }),
      },
    );
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    random: () => 0,
  });
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});

afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

let teams = 0;

/** One call of a team of its own. Returns the requests at the provider, and what the caller got. */
async function asked(members: number, maxRetries: number, num_retries: number) {
  const team = `team-${teams++}`;
  const litellm_params = {
    model: 'openai/m',
    api_key: 'sk-0123456789abcdef',
    api_base: provider.url,
    num_retries,
  };
  for (let member = 0; member < members; member++)
    await router.addModel(team, { model_name: 'm', litellm_params });
  const { key: apiKey } = await router.createKey(team);
  const client = new OpenAI({ apiKey, baseURL: `http://127.0.0.1:${gateway.port}/v1`, maxRetries });
  const before = provider.requests.length;
  const error = await client.chat.completions
    .create({ model: 'm', messages: [] })
    .then(() => expect.unreachable('the call was answered'))
    .catch((thrown: unknown) => thrown as InstanceType<typeof OpenAI.APIError>);
  return { count: provider.requests.length - before, error };
}

const path = fileURLToPath(new URL('../../docs/guides/pools.md', import.meta.url));
const rows = readFileSync(path, 'utf8')
  .split('\n')
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
  .filter(([answer = '', wish = '']) => answers.has(answer) && (wishes as readonly string[]).includes(wish));

it('the documented table has a row for each answer and each x-should-retry', () => {
  const expected = [...answers.keys()].flatMap((answer) => wishes.map((wish) => `${answer}: ${wish}`));
  expect(rows.map(([answer, wish]) => `${answer}: ${wish}`)).toEqual(expected);
});

describe.each(rows)('%s, x-should-retry %s', (answer, wish, ...cells) => {
  it('reaches the provider as often as documented', async () => {
    const [status, code] = answers.get(answer) ?? [500, ''];
    reply = { status, code, wish };
    const counts: string[] = [];
    for (const num_retries of [2, 0]) {
      for (const members of [1, 2]) {
        for (const maxRetries of [0, 2]) {
          const { count, error } = await asked(members, maxRetries, num_retries);
          counts.push(String(count));
          // A pool in which all cool down is the router's to tell of.
          if (members > 1) continue;
          expect(error.status).toBe(status === 401 ? 424 : status);
          if (status !== 401) expect(error.message).toContain('in its own words');
          if (status !== 401) expect(error.headers?.get('retry-after-ms')).toBe('1');
        }
      }
    }
    expect(counts).toEqual(cells);
  });
});

it('hands on what the provider says of retries if it was asked once', async () => {
  for (const wish of ['true', 'false']) {
    reply = { status: 503, code: 'its_own', wish };
    expect((await asked(1, 0, 0)).error.headers?.get('x-should-retry')).toBe(wish);
  }
  reply = { status: 503, code: 'its_own', wish: 'true' };
  expect((await asked(1, 0, 2)).error.headers?.get('x-should-retry')).toBe('false');
});

it.each([
  [425, 'its_own', 2],
  [499, 'its_own', 2],
  [401, 'its_own', 0],
  [402, 'its_own', 0],
  [403, 'its_own', 0],
  [400, 'insufficient_quota', 0],
  [400, 'invalid_value', 0],
  [404, 'its_own', 0],
])('advises against retries after %i %s', async (status, code, num_retries) => {
  reply = { status, code, wish: 'none' };
  const { error, count } = await asked(1, 0, num_retries);
  expect(count).toBe(num_retries + 1);
  expect(error.headers?.get('x-should-retry')).toBe('false');
});
