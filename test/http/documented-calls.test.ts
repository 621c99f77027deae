import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LLMock } from '@copilotkit/aimock';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { npmStart, type ServeProcess } from '../support/serve-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const teamId = 'e59e2671-a064-436a-a0fa-16ae96e5a0a1';
const providerKey = 'azure-key-of-the-team-0123456789ccb07';
const answer = "It's always sunny in Boston.";

/**
 * As they stand in LiteLLM's documentation, without the remarks between the lines, which no shell and no JSON takes,
 * and with the apostrophe of "What's" written as a shell wants it.
 *
 * @see https://docs.litellm.ai/docs/proxy/team_model_add
 */
const documented = {
  add: (path: string) => String.raw`curl -L -X POST 'http://0.0.0.0:4000${path}' \
-H 'Authorization: Bearer sk-******2ql3-sm28WU0tTAmA' \
-H 'Content-Type: application/json' \
-d '{
  "model_name": "my-team-model",
  "litellm_params": {
    "model": "openai/gpt-4o",
    "custom_llm_provider": "openai",
    "api_key": "******ccb07",
    "api_base": "https://my-endpoint-sweden-berri992.openai.azure.com",
    "api_version": "2023-12-01-preview"
  },
  "model_info": {
    "team_id": "e59e2671-a064-436a-a0fa-16ae96e5a0a1"
  }
}'`,
  call: String.raw`curl -L -X POST 'http://0.0.0.0:4000/v1/chat/completions' \
-H 'Content-Type: application/json' \
-H 'Authorization: Bearer sk-******2ql3-sm28WU0tTAmA' \
-d '{
  "model": "my-team-model",
  "messages": [
    {
      "role": "user",
      "content": "What'\''s the weather like in Boston today?"
    }
  ]
}'`,
  info: String.raw`curl -L -X GET 'http://localhost:4000/team/info?team_id=e59e2671-a064-436a-a0fa-16ae96e5a0a1' \
-H 'Authorization: Bearer sk-******2ql3-sm28WU0tTAmA'`,
};

const newPath = temporaryFolder();
let azure: LLMock;
let azureBase: string;
let gateway: ServeProcess;
let url: string;
let masterKey: string;
let teamKey: string;

beforeAll(async () => {
  azure = new LLMock({ host: '127.0.0.1', port: 0, auth: { apiKeys: [providerKey] } });
  azure.onMessage(/weather like in Boston/, { content: answer });
  azureBase = await azure.start();
  const data = newPath('data');
  gateway = npmStart(['--port', '0', '--data', data, '--egress-allow', azureBase]);
  url = await gateway.listening;
  masterKey = readFileSync(join(data, 'master-key'), 'utf8').trim();
});
afterAll(async () => {
  gateway.stop();
  await gateway.ended;
  expect(gateway.output()).toContain('Shutting down');
  await azure.stop();
});

const asOperator = async (path: string, body: object) => {
  const headers = { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' };
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  return response.json();
};

beforeEach(async () => {
  await asOperator('/team/new', { team_id: teamId });
  ({ key: teamKey } = (await asOperator('/key/generate', { team_id: teamId })) as { key: string });
  azure.clearRequests();
  return async () => {
    await asOperator('/team/delete', { team_ids: [teamId] });
  };
});

/** Runs a documented command, with nothing changed but host, key and api_base. */
async function shell(command: string): Promise<unknown> {
  const mine = command
    .replace(/http:\/\/(0\.0\.0\.0|localhost):4000/, url)
    .replace('sk-******2ql3-sm28WU0tTAmA', teamKey)
    .replace('******ccb07', providerKey)
    .replace('https://my-endpoint-sweden-berri992.openai.azure.com', azureBase);
  return JSON.parse((await run('sh', ['-c', mine])).stdout);
}

const internalName = expect.stringMatching(new RegExp(`^model_name_${teamId}_[0-9a-f-]{36}$`));

const asDocumented = {
  team_id: teamId,
  team_info: expect.objectContaining({
    litellm_model_table: expect.objectContaining({
      model_aliases: { 'my-team-model': internalName },
      created_by: 'default_user_id',
      updated_by: 'default_user_id',
    }),
  }),
  keys: [expect.objectContaining({ team_id: teamId })],
  team_memberships: [],
};

const expectAzureCall = () => {
  const [call, ...others] = azure.getRequests();
  expect(others).toEqual([]);
  expect(call?.path).toBe('/openai/deployments/gpt-4o/chat/completions?api-version=2023-12-01-preview');
  expect(call?.response.status).toBe(200);
};

it.each(['/model/new', '/model/add'])('the documented commands work as they are, with %s', async (path) => {
  expect(await shell(documented.add(path))).toMatchObject({
    model_name: internalName,
    litellm_params: { model: 'openai/gpt-4o', api_key: '...cb07', api_base: azureBase },
    model_info: { team_id: teamId, team_public_model_name: 'my-team-model' },
  });
  expect(await shell(documented.call)).toMatchObject({
    object: 'chat.completion',
    choices: [{ message: { role: 'assistant', content: answer } }],
  });
  expectAzureCall();
  const info = await shell(documented.info);
  expect(info).toEqual(asDocumented);
  expect(JSON.stringify(info)).not.toContain(providerKey);
});

const environment = () => {
  const { OPENAI_API_KEY: _, ...inherited } = process.env;
  const mine = { GATEWAY: url, TEAM_KEY: teamKey, PROVIDER_KEY: providerKey, API_BASE: azureBase };
  return { ...inherited, ...mine };
};

it('examples/curl.sh, and then examples/openai-client.ts, print what the team gets', async () => {
  const { stdout } = await run('sh', ['examples/curl.sh'], { cwd: root, env: environment() });
  const [added, called, info] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(added).toMatchObject({ model_info: { team_id: teamId } });
  expect(called).toMatchObject({ choices: [{ message: { content: answer } }] });
  expectAzureCall();
  expect(info).toEqual(asDocumented);

  const client = await run(process.execPath, ['--import', 'tsx', 'examples/openai-client.ts'], {
    cwd: root,
    env: environment(),
  });
  expect(client.stdout).toBe(`model: my-team-model\n${answer}\n`);
});

it('what npm start printed shows where the secrets are, and none of them', () => {
  expect(gateway.output()).toContain('/master-key');
  for (const secret of [masterKey, providerKey, teamKey]) expect(gateway.output()).not.toContain(secret);
});
