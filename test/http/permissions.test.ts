import { generateEncryptionKey, memoryStorage, type Storage } from 'team-model-router';
import type { Gateway } from 'team-model-router/http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routeTable } from '../../src/http/routes/route-table.ts';
import {
  copyOf,
  everything,
  expireKey,
  gatewayFixture,
  masterKey,
  outcome,
  type Sent,
  send,
} from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

/**
 * Who may do what, from the documentation, by hand: every route of the gateway with every credential. All of it is
 * asked about the team `acme`: its model `alpha`, its key `victim`. The master key calls the shared model `common`.
 */

const ok = '200';
const unknown = '401 invalid_api_key';
const denied = '403 permission_denied';
const teamBlocked = '403 team_blocked';
const keyBlocked = '403 key_blocked';
const noModel = '404 model_not_found';
const noTeam = '404 team_not_found';
const noKey = '404 key_not_found';
const onShared = '400 stateful_on_shared';

const classes = ['open', 'names', 'calls', 'models', 'info', 'master'] as const;
type Class = (typeof classes)[number];

/** What a route of each class answers to each credential, unless its own row says otherwise. */
// biome-ignore format: a table
const matrix = {
  //                   open  names        calls        models       info         master
  'no key':           [ok,   unknown,     unknown,     unknown,     unknown,     unknown],
  'garbage':          [ok,   unknown,     unknown,     unknown,     unknown,     unknown],
  'an unknown key':   [ok,   unknown,     unknown,     unknown,     unknown,     unknown],
  'a hash of a key':  [ok,   unknown,     unknown,     unknown,     unknown,     unknown],
  'an expired key':   [ok,   unknown,     unknown,     unknown,     unknown,     unknown],
  'a revoked key':    [ok,   unknown,     unknown,     unknown,     unknown,     unknown],
  'a blocked key':    [ok,   keyBlocked,  keyBlocked,  keyBlocked,  keyBlocked,  keyBlocked],
  'a blocked team':   [ok,   teamBlocked, teamBlocked, teamBlocked, teamBlocked, teamBlocked],
  'default':          [ok,   ok,          ok,          ok,          ok,          denied],
  'llm_api':          [ok,   ok,          ok,          denied,      denied,      denied],
  'management':       [ok,   ok,          denied,      ok,          ok,          denied],
  'read_only':        [ok,   ok,          denied,      denied,      ok,          denied],
  'models: [alpha]':  [ok,   ok,          ok,          ok,          ok,          denied],
  'models: [beta]':   [ok,   ok,          noModel,     noModel,     ok,          denied],
  'models: []':       [ok,   ok,          noModel,     noModel,     ok,          denied],
  "another team's":   [ok,   ok,          noModel,     noModel,     ok,          denied],
  'master':           [ok,   ok,          ok,          ok,          ok,          ok],
} as const satisfies Record<string, readonly string[]>;

type Credential = keyof typeof matrix;
const credentials = Object.keys(matrix) as Credential[];

interface Row {
  line: string;
  class: Class;
  /** What is sent; `model` is the name that this credential asks for. */
  sample: (model: string) => Sent & { path?: string };
  except?: Partial<Record<Credential, string>>;
}

let alphaId = '';
let victim = '';

const params = { model: 'gpt-4o', api_key: 'key-of-acme', api_base: 'https://example.com' };
const nothing = () => ({});

const byModelId = { 'models: [beta]': noModel, 'models: []': noModel, "another team's": noModel };
const byNewName = { 'models: [alpha]': denied, 'models: [beta]': denied, 'models: []': denied };

// biome-ignore format: a table
const managementRows: Row[] = [
  { line: 'POST /model/new', class: 'models', except: { ...byNewName, "another team's": noTeam },
    sample: () => ({ body: { model_name: 'fresh', litellm_params: params, model_info: { team_id: 'acme' } } }) },
  { line: 'POST /model/add', class: 'models', except: { ...byNewName, "another team's": noTeam },
    sample: () => ({ body: { model_name: 'fresh', litellm_params: params, model_info: { team_id: 'acme' } } }) },
  { line: 'POST /model/update', class: 'models',
    sample: () => ({ body: { model_info: { id: alphaId }, litellm_params: { timeout: 5 } } }) },
  { line: 'PATCH /model/{id}/update', class: 'models',
    sample: () => ({ path: `/model/${alphaId}/update`, body: { litellm_params: { timeout: 5 } } }) },
  { line: 'POST /model/delete', class: 'models', sample: () => ({ body: { id: alphaId } }) },
  { line: 'DELETE /model/{id}', class: 'models', sample: () => ({ path: `/model/${alphaId}` }) },
  { line: 'GET /model/info', class: 'info', except: byModelId,
    sample: () => ({ path: `/model/info?litellm_model_id=${alphaId}` }) },
  { line: 'GET /v1/model/info', class: 'info', except: byModelId,
    sample: () => ({ path: `/v1/model/info?litellm_model_id=${alphaId}` }) },
  { line: 'GET /v2/model/info', class: 'info', except: byModelId,
    sample: () => ({ path: `/v2/model/info?litellm_model_id=${alphaId}` }) },
  { line: 'POST /health/test_connection', class: 'models', sample: () => ({ body: { model_info: { id: alphaId } } }) },
  { line: 'GET /model_group/info', class: 'info', except: { ...byModelId, master: noModel },
    sample: () => ({ path: '/model_group/info?model_group=alpha' }) },
  { line: 'POST /team/new', class: 'master', sample: () => ({ body: { team_id: 'initech' } }) },
  { line: 'POST /team/update', class: 'master', sample: () => ({ body: { team_id: 'acme', team_alias: 'A' } }) },
  { line: 'POST /team/block', class: 'master', sample: () => ({ body: { team_id: 'acme' } }) },
  { line: 'POST /team/unblock', class: 'master', sample: () => ({ body: { team_id: 'acme' } }) },
  { line: 'POST /team/delete', class: 'master', sample: () => ({ body: { team_ids: ['acme'] } }) },
  { line: 'POST /team/model/add', class: 'master', sample: () => ({ body: { team_id: 'acme', models: ['common'] } }) },
  { line: 'POST /team/model/delete', class: 'master', sample: () => ({ body: { team_id: 'acme', models: ['common'] } }) },
  { line: 'GET /team/info', class: 'info', except: { "another team's": noTeam },
    sample: () => ({ path: '/team/info?team_id=acme' }) },
  { line: 'GET /team/list', class: 'master', sample: nothing },
  { line: 'GET /v2/team/list', class: 'master', sample: nothing },
  { line: 'POST /key/generate', class: 'master', sample: () => ({ body: { team_id: 'acme' } }) },
  { line: 'POST /key/update', class: 'master', sample: () => ({ body: { token: victim, key_alias: 'x' } }) },
  { line: 'POST /key/block', class: 'master', sample: () => ({ body: { token: victim } }) },
  { line: 'POST /key/unblock', class: 'master', sample: () => ({ body: { token: victim } }) },
  { line: 'POST /key/delete', class: 'master', sample: () => ({ body: { keys: [victim] } }) },
  { line: 'POST /key/regenerate', class: 'master', sample: () => ({ body: { token: victim, grace_period: '1d' } }) },
  { line: 'POST /key/{key}/regenerate', class: 'master', sample: () => ({ path: `/key/${victim}/regenerate`, body: {} }) },
  { line: 'GET /key/info', class: 'info',
    except: { 'models: [alpha]': noKey, 'models: [beta]': noKey, 'models: []': noKey, "another team's": noKey },
    sample: () => ({ path: `/key/info?key=${victim}` }) },
  { line: 'GET /key/list', class: 'master', sample: nothing },
  { line: 'GET /health/liveliness', class: 'open', sample: nothing },
  { line: 'GET /health/liveness', class: 'open', sample: nothing },
  { line: 'GET /health/readiness', class: 'open', sample: nothing },
];

const stateless = `
  POST /chat/completions
  POST /completions
  POST /embeddings
  POST /responses
  POST /responses/compact
  POST /responses/input_tokens
  POST /moderations
  POST /images/generations
  POST /images/edits
  POST /images/variations
  POST /audio/speech
  POST /audio/transcriptions
  POST /audio/translations`;

// What lives in the provider's account: never on a shared deployment, which is all that the master key calls.
const stateful = `
  GET /chat/completions
  GET /chat/completions/{completion_id}
  POST /chat/completions/{completion_id}
  DELETE /chat/completions/{completion_id}
  GET /chat/completions/{completion_id}/messages
  GET /responses/{response_id}
  DELETE /responses/{response_id}
  POST /responses/{response_id}/cancel
  GET /responses/{response_id}/input_items
  POST /conversations
  GET /conversations/{conversation_id}
  POST /conversations/{conversation_id}
  DELETE /conversations/{conversation_id}
  POST /conversations/{conversation_id}/items
  GET /conversations/{conversation_id}/items
  GET /conversations/{conversation_id}/items/{item_id}
  DELETE /conversations/{conversation_id}/items/{item_id}
  POST /files
  GET /files
  GET /files/{file_id}
  DELETE /files/{file_id}
  GET /files/{file_id}/content
  POST /uploads
  POST /uploads/{upload_id}/parts
  POST /uploads/{upload_id}/complete
  POST /uploads/{upload_id}/cancel
  POST /batches
  GET /batches
  GET /batches/{batch_id}
  POST /batches/{batch_id}/cancel
  POST /fine_tuning/jobs
  GET /fine_tuning/jobs
  GET /fine_tuning/jobs/{job_id}
  POST /fine_tuning/jobs/{job_id}/cancel
  POST /fine_tuning/jobs/{job_id}/pause
  POST /fine_tuning/jobs/{job_id}/resume
  GET /fine_tuning/jobs/{job_id}/events
  GET /fine_tuning/jobs/{job_id}/checkpoints
  POST /vector_stores
  GET /vector_stores
  GET /vector_stores/{vector_store_id}
  POST /vector_stores/{vector_store_id}
  DELETE /vector_stores/{vector_store_id}
  POST /vector_stores/{vector_store_id}/search
  POST /vector_stores/{vector_store_id}/files
  GET /vector_stores/{vector_store_id}/files
  GET /vector_stores/{vector_store_id}/files/{file_id}
  POST /vector_stores/{vector_store_id}/files/{file_id}
  DELETE /vector_stores/{vector_store_id}/files/{file_id}
  GET /vector_stores/{vector_store_id}/files/{file_id}/content
  POST /vector_stores/{vector_store_id}/file_batches
  GET /vector_stores/{vector_store_id}/file_batches/{batch_id}
  POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel
  GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files
  POST /fine_tuning/checkpoints/{checkpoint}/permissions
  GET /fine_tuning/checkpoints/{checkpoint}/permissions
  DELETE /fine_tuning/checkpoints/{checkpoint}/permissions/{permission_id}
  POST /fine_tuning/alpha/graders/run
  POST /fine_tuning/alpha/graders/validate
  POST /containers
  GET /containers
  GET /containers/{container_id}
  DELETE /containers/{container_id}
  POST /containers/{container_id}/files
  GET /containers/{container_id}/files
  GET /containers/{container_id}/files/{file_id}
  DELETE /containers/{container_id}/files/{file_id}
  GET /containers/{container_id}/files/{file_id}/content
  POST /skills
  GET /skills
  GET /skills/{skill_id}
  POST /skills/{skill_id}
  DELETE /skills/{skill_id}
  GET /skills/{skill_id}/content
  POST /skills/{skill_id}/versions
  GET /skills/{skill_id}/versions
  GET /skills/{skill_id}/versions/{version}
  DELETE /skills/{skill_id}/versions/{version}
  GET /skills/{skill_id}/versions/{version}/content
  POST /evals
  GET /evals
  GET /evals/{eval_id}
  POST /evals/{eval_id}
  DELETE /evals/{eval_id}
  POST /evals/{eval_id}/runs
  GET /evals/{eval_id}/runs
  GET /evals/{eval_id}/runs/{run_id}
  POST /evals/{eval_id}/runs/{run_id}
  POST /evals/{eval_id}/runs/{run_id}/cancel
  DELETE /evals/{eval_id}/runs/{run_id}
  GET /evals/{eval_id}/runs/{run_id}/output_items
  GET /evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}
  POST /audio/voice_consents
  GET /audio/voice_consents
  GET /audio/voice_consents/{consent_id}
  POST /audio/voice_consents/{consent_id}
  DELETE /audio/voice_consents/{consent_id}
  POST /audio/voices
  DELETE /audio/voices/{voice_id}
  POST /videos
  GET /videos
  GET /videos/{video_id}
  DELETE /videos/{video_id}
  GET /videos/{video_id}/content
  POST /videos/{video_id}/remix
  POST /videos/edits
  POST /videos/extensions
  POST /videos/characters
  GET /videos/characters/{character_id}
  POST /content_provenance_checks
  POST /realtime/client_secrets
  POST /realtime/translations/client_secrets
  POST /realtime/calls
  POST /realtime/calls/{call_id}/accept
  POST /realtime/calls/{call_id}/hangup
  POST /realtime/calls/{call_id}/refer
  POST /realtime/calls/{call_id}/reject
  POST /realtime/sessions
  POST /realtime/transcription_sessions
  POST /live/sessions
  POST /live/sessions/{session_id}/accept
  POST /live/sessions/{session_id}/fork
  POST /live/sessions/{session_id}/hangup
  POST /live/sessions/{session_id}/refer
  POST /live/sessions/{session_id}/reject
  GET /live/sessions/{session_id}/content
  POST /chatkit/sessions
  POST /chatkit/sessions/{session_id}/cancel
  GET /chatkit/threads
  GET /chatkit/threads/{thread_id}
  DELETE /chatkit/threads/{thread_id}
  GET /chatkit/threads/{thread_id}/items
  POST /assistants
  GET /assistants
  GET /assistants/{assistant_id}
  POST /assistants/{assistant_id}
  DELETE /assistants/{assistant_id}
  POST /threads
  POST /threads/runs
  GET /threads/{thread_id}
  POST /threads/{thread_id}
  DELETE /threads/{thread_id}
  POST /threads/{thread_id}/messages
  GET /threads/{thread_id}/messages
  GET /threads/{thread_id}/messages/{message_id}
  POST /threads/{thread_id}/messages/{message_id}
  DELETE /threads/{thread_id}/messages/{message_id}
  POST /threads/{thread_id}/runs
  GET /threads/{thread_id}/runs
  GET /threads/{thread_id}/runs/{run_id}
  POST /threads/{thread_id}/runs/{run_id}
  POST /threads/{thread_id}/runs/{run_id}/cancel
  POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs
  GET /threads/{thread_id}/runs/{run_id}/steps
  GET /threads/{thread_id}/runs/{run_id}/steps/{step_id}
  POST /agents
  GET /agents
  GET /agents/{agent_id}
  POST /agents/{agent_id}
  DELETE /agents/{agent_id}
  POST /agents/sessions
  GET /agents/sessions
  GET /agents/sessions/{session_id}
  POST /agents/sessions/{session_id}
  DELETE /agents/sessions/{session_id}
  POST /agents/sessions/{session_id}/events
  GET /agents/sessions/{session_id}/events
  GET /agents/sessions/{session_id}/items
  GET /agents/sessions/{session_id}/traces
  GET /agents/sessions/{session_id}/turns
  GET /agents/sessions/{session_id}/turns/{turn_id}
  GET /agents/sessions/{session_id}/turns/{turn_id}/items
  GET /agents/sessions/{session_id}/artifacts
  GET /agents/sessions/{session_id}/artifacts/{artifact_id}
  DELETE /agents/sessions/{session_id}/artifacts/{artifact_id}
  GET /agents/sessions/{session_id}/artifacts/{artifact_id}/content
  GET /agents/sessions/{session_id}/subagents
  GET /agents/sessions/{session_id}/subagents/{subagent_id}
  GET /agents/sessions/{session_id}/subagents/{subagent_id}/items
  GET /agents/sessions/{session_id}/subagents/{subagent_id}/turns
  GET /agents/sessions/{session_id}/subagents/{subagent_id}/turns/{turn_id}
  GET /agents/sessions/{session_id}/subagents/{subagent_id}/turns/{turn_id}/items
  POST /agents/automations
  GET /agents/automations
  GET /agents/automations/{automation_id}
  POST /agents/automations/{automation_id}
  DELETE /agents/automations/{automation_id}
  POST /agents/automations/{automation_id}/pause
  POST /agents/automations/{automation_id}/resume
  POST /agents/automations/{automation_id}/invocations
  GET /agents/automations/{automation_id}/invocations
  GET /agents/automations/{automation_id}/invocations/{invocation_id}
  POST /agents/environments
  GET /agents/environments
  GET /agents/environments/{environment_id}
  POST /agents/environments/{environment_id}/files
  GET /agents/environments/{environment_id}/files
  POST /agents/environments/templates
  GET /agents/environments/templates
  GET /agents/environments/templates/{template_id}
  POST /agents/environments/templates/{template_id}
  DELETE /agents/environments/templates/{template_id}
  POST /vaults
  GET /vaults
  GET /vaults/{vault_id}
  POST /vaults/{vault_id}
  DELETE /vaults/{vault_id}
  POST /vaults/{vault_id}/credentials
  GET /vaults/{vault_id}/credentials
  GET /vaults/{vault_id}/credentials/{credential_id}
  POST /vaults/{vault_id}/credentials/{credential_id}
  DELETE /vaults/{vault_id}/credentials/{credential_id}
  POST /webhook_endpoints
  GET /webhook_endpoints
  GET /webhook_endpoints/{webhook_endpoint_id}
  POST /webhook_endpoints/{webhook_endpoint_id}
  DELETE /webhook_endpoints/{webhook_endpoint_id}
  POST /webhook_endpoints/{webhook_endpoint_id}/rotate_secret
  POST /webhook_endpoints/{webhook_endpoint_id}/test
  GET /webhook_event_types
  POST /decisions
  GET /safety/alerts/{alert_id}
  GET /safety/cases/{case_id}`;

const linesOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(' ') as [string, string]);
/** Only these know the field, and a shared deployment takes known fields alone. */
const unstored = (path: string) => (/^\/(chat\/completions|responses)$/.test(path) ? { store: false } : {});
const filled = (path: string) => path.replace(/\{\w+\}/g, 'id-1');

const callRows: Row[] = [
  ...linesOf(stateless).flatMap(([method, path]): Row[] => [
    ...['', '/v1'].map((prefix) => ({
      line: `${method} ${prefix}${path}`,
      class: 'calls' as const,
      sample: (model: string) => ({ body: { model, ...unstored(path) } }),
    })),
    {
      line: `${method} /openai/deployments/{model}${path}`,
      class: 'calls',
      sample: (model) => ({ path: `/openai/deployments/${model}${path}`, body: unstored(path) }),
    },
  ]),
  ...linesOf(stateful).flatMap(([method, path]): Row[] =>
    ['', '/v1'].map((prefix) => ({
      line: `${method} ${prefix}${path}`,
      class: 'calls',
      except: { master: onShared },
      sample: (model) => ({
        path: `${prefix}${filled(path)}`,
        headers: { 'x-team-model': model },
        ...(method === 'POST' ? { body: {} } : {}),
      }),
    })),
  ),
  ...['', '/v1'].flatMap((prefix): Row[] => [
    { line: `GET ${prefix}/models`, class: 'names', sample: nothing },
    {
      line: `GET ${prefix}/models/{model}`,
      class: 'names',
      except: byModelId,
      sample: (model) => ({ path: `${prefix}/models/${model}` }),
    },
  ]),
];

let provider: RecordingProvider;
let storage: Storage;
let calling: Gateway;
let cells = 0;
const encryptionKeys = [generateEncryptionKey()];
const keys = {} as Record<Credential, string | undefined>;

const fixture = (stored: Storage) =>
  gatewayFixture({
    storage: stored,
    encryptionKeys,
    egress: { allow: [provider.url, 'example.com'], allowShared: [provider.url] },
  });

beforeAll(async () => {
  provider = await recordingProvider((_request, response) => sendJson(response, 200, { id: 'x' }));
  storage = memoryStorage();
  const { router } = fixture(storage);
  const own = { model: 'gpt-4o', api_key: 'key-of-acme', api_base: provider.url };
  alphaId = (await router.addModel('acme', { model_name: 'alpha', litellm_params: own })).model_id;
  await router.addModel('acme', { model_name: 'beta', litellm_params: own });
  await router.addModel('globex', { model_name: 'gamma', litellm_params: own });
  await router.addSharedModel({ model_name: 'common', litellm_params: own });
  const keyOf = async (body: object, team = 'acme') => (await router.createKey(team, body)).key;
  victim = (await router.createKey('acme', { key_alias: 'victim' })).token;
  const ended = await router.createKey('acme', { duration: '1h' });
  const [revoked, blocked] = [await keyOf({}), await keyOf({})];
  await router.deleteKey('acme', revoked);
  await router.blockKey('acme', blocked);
  await router.addModel('initrode', { model_name: 'alpha', litellm_params: own });
  const ofBlocked = await keyOf({}, 'initrode');
  await router.blockTeam('initrode');
  Object.assign(keys, {
    'no key': undefined,
    garbage: 'garbage',
    'an unknown key': `sk-${'x'.repeat(43)}`,
    'a hash of a key': victim,
    'an expired key': ended.key,
    'a revoked key': revoked,
    'a blocked key': blocked,
    'a blocked team': ofBlocked,
    default: await keyOf({}),
    llm_api: await keyOf({ key_type: 'llm_api' }),
    management: await keyOf({ key_type: 'management' }),
    read_only: await keyOf({ key_type: 'read_only' }),
    'models: [alpha]': await keyOf({ models: ['alpha'] }),
    'models: [beta]': await keyOf({ models: ['beta'] }),
    'models: []': await keyOf({ models: [] }),
    "another team's": await keyOf({}, 'globex'),
    master: masterKey,
  } satisfies Record<Credential, string | undefined>);
  await expireKey(storage, 'acme', ended.expires ?? '');
  calling = fixture(storage).gateway;
});
afterAll(async () => {
  await provider.close();
  console.log(`${cells} cells: ${managementRows.length + callRows.length} routes x ${credentials.length}`);
});

const expected = (row: Row): Record<string, string> =>
  Object.fromEntries(
    credentials.map((credential) => [
      credential,
      row.except?.[credential] ?? matrix[credential][classes.indexOf(row.class)] ?? '',
    ]),
  );

async function ask(gateway: Gateway, row: Row, credential: Credential): Promise<string> {
  const { path, ...sent } = row.sample(credential === 'master' ? 'common' : 'alpha');
  const line = path === undefined ? row.line : `${row.line.split(' ')[0]} ${path}`;
  cells += 1;
  return outcome(await send(gateway, line, { ...sent, key: keys[credential] }));
}

describe('the matrix', () => {
  it('has a row for every route of the gateway, and no other', () => {
    const rows = [...managementRows, ...callRows].map(({ line }) => line).sort();
    expect(rows).toEqual(routeTable.map(({ method, path }) => `${method} ${path}`).sort());
  });

  it.each(managementRows)('$line', async (row) => {
    const before = await everything(storage);
    const answers: Record<string, string> = {};
    let current = fixture(await copyOf(storage));
    for (const credential of credentials) {
      const requests = provider.requests.length;
      const answer = await ask(current.gateway, row, credential);
      answers[credential] = answer;
      const changed = (await everything(current.storage)) !== before;
      if (answer !== ok) expect([changed, provider.requests.length], credential).toEqual([false, requests]);
      if (!changed) continue;
      await current.router.close();
      current = fixture(await copyOf(storage));
    }
    await current.router.close();
    expect(answers).toEqual(expected(row));
  });

  it.each(callRows)('$line', async (row) => {
    const answers: Record<string, string> = {};
    for (const credential of credentials) {
      const requests = provider.requests.length;
      const answer = await ask(calling, row, credential);
      answers[credential] = answer;
      const reached = answer === ok && row.class === 'calls' ? 1 : 0;
      expect(provider.requests.length - requests, credential).toBe(reached);
    }
    expect(answers).toEqual(expected(row));
  });
});
