/**
 * Two teams, one model name, two providers, one SQLite file.
 *
 * Each provider is a mock on a loopback port that accepts only the key of one team, so an answer shows that the right key
 * arrived. The script checks everything that it prints.
 *
 * Needs `"type": "module"` in your package.json, and:
 *
 *     npm install team-model-router openai keyv @keyv/sqlite && npm install --save-dev tsx @copilotkit/aimock
 *     npx tsx quickstart.ts
 */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LLMock } from '@copilotkit/aimock';
import { generateEncryptionKey, isRouterError, TeamModelRouter } from 'team-model-router';
import { sqliteStorage } from 'team-model-router/storage/sqlite';

const acmeKey = 'sk-acme-key-0123456789abcdef';
const globexKey = 'globex-azure-key-0123456789';
const name = 'my-team-model';
const messages = [{ role: 'user' as const, content: 'Who are you?' }];

const openai = new LLMock({ host: '127.0.0.1', port: 0, auth: { apiKeys: [acmeKey] } });
const azure = new LLMock({ host: '127.0.0.1', port: 0, auth: { apiKeys: [globexKey] } });
openai.onMessage(/./, { content: "Acme's model at OpenAI" });
azure.onMessage(/./, { content: "Globex's model on Azure" });

const folder = mkdtempSync(join(tmpdir(), 'team-model-router-'));
const encryptionKeys = [generateEncryptionKey()];

try {
  const [openaiUrl, azureUrl] = [await openai.start(), await azure.start()];
  const open = () =>
    new TeamModelRouter({
      storage: sqliteStorage(join(folder, 'models.sqlite')),
      encryptionKeys,
      egress: { allow: [openaiUrl, azureUrl] },
    });
  let router = open();

  title('Two teams add a model under the same name');
  await router.addModel('acme', {
    model_name: name,
    litellm_params: { model: 'openai/gpt-4o', api_key: acmeKey, api_base: openaiUrl },
  });
  await router.addModel('globex', {
    model_name: name,
    litellm_params: { model: 'azure/gpt-4o-eu', api_key: globexKey, api_base: azureUrl },
  });
  for (const { team_id } of (await router.listTeams()).teams) {
    for (const { litellm_params } of (await router.listModels(team_id)).data) {
      print(`${team_id.padEnd(7)} ${name}  ->  ${litellm_params.model}, key ${litellm_params.api_key}`);
    }
  }

  title('Each calls it, plain and streamed');
  await callBoth(router);

  title('Whose call arrived where');
  print('provider  method  model            path');
  const paths = {
    openai: '/v1/chat/completions',
    azure: '/openai/deployments/gpt-4o-eu/chat/completions?api-version=2024-10-21',
  };
  printArrivals('openai', openai, paths.openai, 'gpt-4o');
  printArrivals('azure', azure, paths.azure, 'gpt-4o-eu');

  title('A swapped key opens nothing');
  const swapped = await fetch(`${openaiUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${globexKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-4o', messages }),
  });
  assert.equal(swapped.status, 401);
  print(`globex's key at acme's provider: ${swapped.status}`);
  const testBody = {
    model_name: name,
    litellm_params: { model: 'openai/gpt-4o', api_key: globexKey, api_base: openaiUrl },
  };
  const test = await router.testModel('globex', testBody);
  assert.equal(test.status, 'key_rejected');
  print(`router.testModel, before it is saved: ${test.status}`);

  title('The process starts again on the same file');
  await router.close();
  router = open();
  await callBoth(router);

  title('router.getTeamInfo("acme")');
  const info = await router.getTeamInfo('acme');
  const aliases = info.team_info.litellm_model_table.model_aliases;
  assert.match(aliases[name] ?? '', /^model_name_acme_[0-9a-f-]{36}$/);
  print(JSON.stringify({ team_id: info.team_id, model_aliases: aliases }, null, 2));

  title('A name that nobody in the team has');
  const error: unknown = await router
    .chatCompletion('acme', { model: 'my-other-model', messages })
    .catch((thrown: unknown) => thrown);
  assert(isRouterError(error) && error.code === 'model_not_found' && error.status === 404);
  print(error.message);

  if (process.env.OPENAI_API_KEY) await callOpenAI(router, process.env.OPENAI_API_KEY);
  await router.close();
  print('\nAll of it is as printed.');
} finally {
  await Promise.all([openai.stop(), azure.stop()]);
  rmSync(folder, { recursive: true, force: true });
}

async function callBoth(router: TeamModelRouter): Promise<void> {
  const expected = { acme: "Acme's model at OpenAI", globex: "Globex's model on Azure" };
  for (const [team, answer] of Object.entries(expected)) {
    const plain = await router.chatCompletion(team, { model: name, messages });
    assert.equal(plain.choices[0]?.message.content, answer);
    let streamed = '';
    for await (const chunk of await router.chatCompletion(team, { model: name, messages, stream: true })) {
      streamed += chunk.choices[0]?.delta.content ?? '';
    }
    assert.equal(streamed, answer);
    print(`${team.padEnd(7)} plain: ${answer}   streamed: ${streamed}`);
  }
}

/** What the provider itself wrote down of the calls that reached it; it blacks keys out. */
function printArrivals(provider: string, mock: LLMock, path: string, model: string): void {
  const arrivals = mock.getRequests();
  assert.equal(arrivals.length, 2);
  for (const arrival of arrivals) {
    const { method, response } = arrival;
    const arrived = (arrival.body as { model?: string } | null)?.model;
    assert.deepEqual([arrival.path, arrived, response.status], [path, model, 200]);
    print(`${provider.padEnd(8)}  ${method.padEnd(6)}  ${model.padEnd(15)}  ${arrival.path}`);
  }
}

/** One real call, only if the environment has a key for it. */
async function callOpenAI(router: TeamModelRouter, apiKey: string): Promise<void> {
  title('A real call');
  await router.addModel('initech', {
    model_name: name,
    litellm_params: { model: 'openai/gpt-4o-mini', api_key: apiKey },
  });
  const answer = await router.chatCompletion('initech', { model: name, messages, max_tokens: 20 });
  assert(answer.choices[0]?.message.content);
  print(answer.choices[0].message.content);
}

function title(text: string): void {
  print(`\n${text}\n${'-'.repeat(text.length)}`);
}

function print(text: string): void {
  console.log(text);
}
