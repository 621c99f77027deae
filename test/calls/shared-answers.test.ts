import type { ServerResponse } from 'node:http';
import {
  generateEncryptionKey,
  memoryStorage,
  type RouterOptions,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hideAccount } from '../../src/calls/response/account-names.ts';
import type { Deployment } from '../../src/teams/records/deployment.ts';
import {
  chatChunks,
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../fixtures/recording-provider.ts';

const account = {
  'openai-organization': 'operator-inc',
  'openai-project': 'proj_0AbCdEfGh',
  'openai-processing-ms': '12',
  'openai-version': '2020-10-01',
  'x-ratelimit-limit-requests': '5000',
  'x-ratelimit-remaining-tokens': '99',
  'x-request-id': 'req_1',
};
const words =
  'Rate limit reached for gpt-4o in organization org-AbC123dEf456 (operator-inc) on tokens per min. Project proj_0AbCdEfGh, key sk-pr****zq07, request at api.';

let provider: RecordingProvider;
let answer: (response: ServerResponse) => void;
let router: TeamModelRouter;

async function make(egress: RouterOptions['egress'] = {}): Promise<void> {
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url], ...egress },
  });
  const litellm_params = {
    model: 'openai/x',
    api_key: 'sk-0123456789abcdefzq07',
    api_base: provider.url,
    organization: 'operator-inc',
    num_retries: 0,
  };
  await router.createTeam({ team_id: 'acme', models: ['shared'] });
  await router.addModel('acme', { model_name: 'own', litellm_params });
  await router.addSharedModel({ model_name: 'shared', litellm_params });
}

beforeEach(async () => {
  answer = (response) => sendJson(response, 200, chatCompletion('x'), account);
  provider = await recordingProvider((_, response) => answer(response));
  await make();
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function ask(model: string, stream = false) {
  const response = await router.fetchFor('acme')(`${teamBaseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'hello' }] }),
  });
  const text = await response.text().catch(String);
  return { status: response.status, headers: Object.fromEntries(response.headers), text };
}

const namesTheAccount = /operator-inc|org-AbC|proj_0|zq07|ratelimit/;

describe.each<[string, () => void, boolean]>([
  ['an answer', () => {}, false],
  ['a refusal', () => fail(429), false],
  ['a refusal of its own shape', () => send(422, { detail: words }), false],
  ['an error under a 200', () => send(200, { error: { message: words, code: 429 } }), false],
  ['a rejected key', () => fail(401), false],
  ['an error event', () => events(), true],
])('%s', (_, prepare, stream) => {
  it("of a shared deployment showed the operator's account", async () => {
    prepare();
    const { headers, text } = await ask('shared', stream);
    expect(JSON.stringify([headers, text])).not.toMatch(namesTheAccount);
    expect(headers['x-litellm-model-group']).toBe('shared');
  });

  it("of a team's own deployment tells the team of its own account", async () => {
    prepare();
    const { headers, text } = await ask('own', stream);
    expect(JSON.stringify([headers, text])).toMatch(namesTheAccount);
  });
});

function fail(status: number): void {
  send(status, { error: { message: words, type: 'requests', param: null, code: 'rate_limit_exceeded' } });
}

function send(status: number, body: object): void {
  answer = (response) => sendJson(response, status, body, account);
}

function events(): void {
  answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', ...account });
    response.write(`data: ${JSON.stringify(chatChunks('x')[0])}\n\n`);
    response.end(`data: ${JSON.stringify({ error: { message: words, type: 'x', code: null } })}\n\n`);
  };
}

it('what says nothing of the account passes', async () => {
  const { headers } = await ask('shared');
  expect(headers).toMatchObject({ 'openai-processing-ms': '12', 'openai-version': '2020-10-01' });
  send(400, { error: { message: 'user-defined functions: key_name must be a team-wide string' } });
  expect((await ask('shared')).text).toContain('user-defined functions: key_name must be a team-wide string');
});

describe('the words of other providers', () => {
  const shared = {
    teamId: null,
    params: { tenant_id: 'tenant-of-operator' },
    target: { base: 'https://operator-east.openai.azure.com/openai/v1' },
  } as unknown as Deployment;

  it.each([
    ['Rate limit reached in organization `org_01hq5v3xk2` service tier', 'org_01'],
    ['Your team 11111111-2222-3333-4444-555555555555 has used all credits', '1111'],
    ['Consumer projects/123456789 is suspended; project_number:123456789', '123456789'],
    ['The resource operator-east.openai.azure.com does not exist', 'operator-east'],
    ['/subscriptions/0a1b2c3d/resourceGroups/operator-rg is over its quota', 'operator-rg'],
    ['AADSTS7000215 for tenant-of-operator', 'tenant-of'],
    ['API key sk-or-...9f3a is disabled', '9f3a'],
  ])('%s', (said, secret) => {
    expect(String(hideAccount(shared, Buffer.from(said)))).not.toContain(secret);
  });

  it.each(['org-', '*', 'sk-', 'a', '0-', 'project/', 'key_a'])(
    'many times %j cost time in proportion to their length',
    (piece) => {
      const text = Buffer.from(piece.repeat(Math.ceil(262_144 / piece.length)));
      expect(hideAccount(shared, text).length).toBeGreaterThan(0);
    },
  );
});

describe("a team's model at an internal name", () => {
  const lookup: NonNullable<RouterOptions['egress']>['lookup'] = (host, _, callback) => {
    if (host === 'internal.corp') callback(null, [{ address: '10.1.2.3', family: 4 }]);
    else callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), []);
  };

  it('could be told from one at a name that does not exist: registered, tested, called, and in its health', async () => {
    await router.close();
    await make({ lookup });
    const outcome = async (host: string) => {
      const body = {
        model_name: host,
        litellm_params: { model: 'openai/x', api_key: 'sk-0123456789abcdef', api_base: `https://${host}/v1` },
      };
      const { model_info } = await router.addModel('acme', body);
      const tested = [
        await router.testModel('acme', body),
        await router.testModel('acme', { id: model_info.id }),
      ];
      const { status, text, headers } = await ask(host);
      const { state, failures } =
        (await router.health('acme')).deployments.find(({ id }) => id === model_info.id) ?? {};
      const attempts = headers['x-litellm-attempted-retries'];
      return { tested, status, text: text.replaceAll(host, 'HOST'), attempts, state, failures };
    };
    const none = await outcome('no-such.corp');
    expect(none).toMatchObject({ status: 502, failures: 0 });
    expect(await outcome('internal.corp')).toEqual(none);
  });
});
