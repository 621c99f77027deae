import { serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayFixture, masterKey } from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

/**
 * The calls of LiteLLM's proxy client and its command line, as they are on the wire (version 1.108.7), with what scripts read from
 * the answers. A name that begins with `$` stands for what was made before: `$key`, `$token`, `$model`, `$team`.
 */

let provider: RecordingProvider;
let server: Awaited<ReturnType<typeof serveGateway>>;
let house: ReturnType<typeof gatewayFixture>;
let made: Record<string, string> = {};

beforeAll(async () => {
  provider = await recordingProvider();
  house = gatewayFixture({ egress: { allow: [provider.url], allowShared: [provider.url] } });
  server = await serveGateway(house.gateway, { port: 0, hostname: '127.0.0.1' });
});
afterAll(async () => {
  await server.close();
  await house.router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** A team with a model and two keys, fresh for each call of the table. */
async function makeTeam(): Promise<void> {
  const { router } = house;
  const { team_id: team } = await router.createTeam({ team_alias: 'Acme' });
  const { model_id: model } = await router.addModel(team, { model_name: 'own', litellm_params: params() });
  const { key, token } = await router.createKey(team, { key_alias: `alias of ${team}`, duration: '30d' });
  const { key: teamKey } = await router.createKey(team);
  made = { team, model, key, token, teamKey, alias: `alias of ${team}`, url: provider.url };
}

const params = () => ({ model: 'openai/gpt-4o', api_key: 'key-of-acme-0123456789', api_base: provider.url });

const filled = (text: string) => text.replace(/\$([a-zA-Z]+)/g, (whole, name: string) => made[name] ?? whole);

interface ClientCall {
  /** The client's method, or the command. */
  of: string;
  line: string;
  by?: 'team';
  body?: unknown;
  /** Paths of fields that must be in the answer, with a type or a value. */
  reads: Record<string, unknown>;
}

const text = expect.any(String);
const list = expect.any(Array);
const number = expect.any(Number);
const date = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const hash = expect.stringMatching(/^[0-9a-f]{64}$/);
const own = { model: 'openai/gpt-4o', api_key: 'key-of-acme-0123456789', api_base: '$url' };
const modelRow = {
  model_name: 'own',
  'litellm_params.model': 'openai/gpt-4o',
  'litellm_params.api_base': text,
  'litellm_params.api_key': expect.stringContaining('...'),
  'model_info.id': '$model',
  'model_info.team_id': '$team',
  'model_info.team_public_model_name': 'own',
  'model_info.db_model': true,
  'model_info.created_at': date,
  'model_info.updated_at': date,
};
const rows = (name: string, fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).map(([path, value]) => [`${name}.0.${path}`, value]));
const keyRow = {
  token: '$token',
  key_name: expect.stringMatching(/^sk-\.\.\..{4}$/),
  key_alias: '$alias',
  team_id: '$team',
  models: ['all-team-models'],
  expires: date,
  blocked: false,
  metadata: {},
  created_at: date,
  created_by: text,
  updated_at: date,
};
const newKey = {
  key: expect.stringMatching(/^sk-/),
  key_name: text,
  token: hash,
  token_id: hash,
  team_id: '$team',
  expires: null,
  models: list,
  metadata: {},
  created_at: date,
};
const teamRow = {
  team_id: '$team',
  team_alias: 'Acme',
  models: [],
  metadata: {},
  blocked: false,
  created_at: date,
  'litellm_model_table.model_aliases.own': text,
};

const calls: ClientCall[] = [
  { of: 'keys.list()', line: 'GET /key/list?team_id=$team', reads: { keys: list, 'keys.0': '$token', total_count: 2, current_page: 1, total_pages: 1 } },
  {
    of: 'keys list',
    line: 'GET /key/list?page=1&size=1&team_id=$team&return_full_object=true&include_team_keys=false',
    reads: { total_count: 2, current_page: 1, total_pages: 2, ...rows('keys', keyRow) },
  },
  {
    of: 'keys.list(key_hash, key_alias)',
    line: 'GET /key/list?key_hash=$token&key_alias=$alias&return_full_object=false&include_team_keys=true',
    reads: { keys: ['$token'], total_count: 1 },
  },
  { of: 'keys import: page after page of 100', line: 'GET /key/list?page=9&size=100&return_full_object=true', reads: { keys: [], total_count: number } },
  { of: 'keys.generate()', line: 'POST /key/generate', body: { team_id: '$team' }, reads: { ...newKey, models: ['all-team-models'] } },
  {
    of: 'keys generate',
    line: 'POST /key/generate',
    body: { models: ['own', 'other'], duration: '24h', key_alias: 'cli', team_id: '$team' },
    reads: { ...newKey, expires: date, key_alias: 'cli', models: ['own', 'other'] },
  },
  { of: 'keys.generate(models=[])', line: 'POST /key/generate', body: { models: [], team_id: '$team' }, reads: { ...newKey, models: [] } },
  { of: 'keys.delete(keys)', line: 'POST /key/delete', body: { keys: ['$key'], key_aliases: null }, reads: { deleted_keys: ['$token'] } },
  { of: 'keys.delete(keys) by hash', line: 'POST /key/delete', body: { keys: ['$token'], key_aliases: null }, reads: { deleted_keys: ['$token'] } },
  { of: 'keys.delete(key_aliases)', line: 'POST /key/delete', body: { keys: null, key_aliases: ['$alias'] }, reads: { deleted_keys: ['$token'] } },
  {
    of: 'keys.update()',
    line: 'POST /key/update',
    body: { key: '$key', key_alias: 'new', models: ['own'], duration: '10d' },
    reads: { ...keyRow, key: '$token', key_alias: 'new', models: ['own'] },
  },
  { of: 'teams assign-key', line: 'POST /key/update', body: { key: '$key', team_id: '$team' }, reads: { key: '$token', team_id: '$team' } },
  { of: 'keys.info()', line: 'GET /key/info?key=$key', reads: { key: '$token', ...rows('info', {}), 'info.token': '$token', 'info.models': list } },
  { of: 'keys.info() by hash, of the own team', line: 'GET /key/info?key=$token', by: 'team', reads: { key: '$token', 'info.team_id': '$team' } },
  { of: 'POST /key/regenerate', line: 'POST /key/regenerate', body: { key: '$key', grace_period: '1d' }, reads: { ...newKey, expires: date, key_alias: '$alias' } },
  { of: 'POST /key/{key}/regenerate', line: 'POST /key/$token/regenerate', body: {}, reads: { ...newKey, expires: date } },
  { of: 'POST /key/block', line: 'POST /key/block', body: { key: '$key' }, reads: { key: '$token', blocked: true } },
  { of: 'models.list()', line: 'GET /models', by: 'team', reads: { 'data.0.id': 'own', 'data.0.object': 'model', 'data.0.created': number, 'data.0.owned_by': '$team' } },
  { of: 'models.new()', line: 'POST /model/new', by: 'team', body: { model_name: 'fresh', litellm_params: own }, reads: { model_id: text, model_name: text, 'model_info.team_public_model_name': 'fresh', created_at: date } },
  {
    of: 'models add, with numbers as text',
    line: 'POST /model/new',
    by: 'team',
    body: {
      model_name: 'fresh',
      litellm_params: { ...own, timeout: '30', rpm: '100', weight: '0.5', order: '-1', input_cost_per_token: '1e-06', litellm_credential_name: null },
      model_info: { mode: 'chat', access_groups: null },
    },
    reads: {
      'litellm_params.timeout': 30,
      'litellm_params.rpm': 100,
      'litellm_params.weight': 0.5,
      'litellm_params.order': -1,
      'litellm_params.input_cost_per_token': 0.000001,
      'model_info.input_cost_per_token': 0.000001,
      'model_info.mode': 'chat',
    },
  },
  { of: 'models.info(), models.get()', line: 'GET /v1/model/info', by: 'team', reads: { ...rows('data', modelRow) } },
  { of: 'models.info() of a team, by the operator', line: 'GET /v1/model/info?team_id=$team', reads: { ...rows('data', modelRow), total_count: 1 } },
  { of: 'GET /v2/model/info', line: 'GET /v2/model/info?page=1&size=50', by: 'team', reads: { ...rows('data', modelRow), total_count: 1, current_page: 1, total_pages: 1, size: 50 } },
  {
    of: 'models.update()',
    line: 'POST /model/update',
    body: { id: '$model', litellm_params: { timeout: '20' } },
    reads: { model_id: '$model', 'litellm_params.timeout': 20, 'model_info.id': '$model', 'model_info.updated_at': date },
  },
  {
    of: 'models.update() with model_info',
    line: 'POST /model/update',
    by: 'team',
    body: { id: '$model', litellm_params: {}, model_info: { id: '$model', description: 'hello' } },
    reads: { model_id: '$model', 'model_info.description': 'hello' },
  },
  { of: 'PATCH /model/{id}/update', line: 'PATCH /model/$model/update', by: 'team', body: { litellm_params: { rpm: '5' } }, reads: { 'litellm_params.rpm': 5 } },
  { of: 'models.delete()', line: 'POST /model/delete', body: { id: '$model' }, reads: { message: 'Model: $model deleted successfully' } },
  { of: 'model_groups.info()', line: 'GET /model_group/info', by: 'team', reads: { 'data.0.model_group': 'own', 'data.0.providers': ['openai'], 'data.0.mode': null, 'data.0.input_cost_per_token': null, 'data.0.output_cost_per_token': null } },
  { of: 'teams.list()', line: 'GET /team/list', reads: { ...rows('$mine', { ...teamRow, keys: list, team_memberships: [] }) } },
  {
    of: 'teams.list_v2()',
    line: 'GET /v2/team/list?page=1&page_size=10&sort_order=asc&team_id=$team',
    reads: { ...rows('teams', { ...teamRow, keys_count: 2 }), total: 1, page: 1, page_size: 10, total_pages: 1 },
  },
  {
    of: 'teams.list_v2(), all of it',
    line: 'GET /v2/team/list?page=1&page_size=1&sort_order=desc&team_alias=ACM&sort_by=created_at',
    reads: { 'teams.0.team_alias': 'Acme', total: number, page_size: 1, total_pages: number },
  },
  { of: 'POST /team/new', line: 'POST /team/new', body: { team_alias: 'new' }, reads: { team_id: text, team_alias: 'new', models: [], blocked: false, 'litellm_model_table.model_aliases': {} } },
  {
    of: 'POST /team/new, with numbers as text in its settings',
    line: 'POST /team/new',
    body: { team_alias: null, max_budget: null, settings: { num_retries: '3', timeout: '12.5' } },
    reads: { team_id: text, 'settings.num_retries': 3, 'settings.timeout': 12.5 },
  },
  { of: 'POST /team/update', line: 'POST /team/update', body: { team_id: '$team', team_alias: 'New' }, reads: { team_id: '$team', team_alias: 'New', 'data.team_id': '$team', 'data.team_alias': 'New' } },
  {
    of: 'GET /team/info',
    line: 'GET /team/info?team_id=$team',
    reads: { team_id: '$team', 'team_info.team_alias': 'Acme', 'team_info.litellm_model_table.model_aliases.own': text, ...rows('keys', keyRow), team_memberships: [] },
  },
  { of: 'POST /team/delete', line: 'POST /team/delete', body: { team_ids: ['$team'] }, reads: { deleted_teams: ['$team'] } },
  { of: 'chat.completions()', line: 'POST /chat/completions', by: 'team', body: { model: 'own', messages: [{ role: 'user', content: 'x' }], temperature: 0.7 }, reads: { 'choices.0.message.content': text } },
  {
    of: "http.request() of the client's documentation",
    line: 'POST /health/test_connection',
    by: 'team',
    body: { litellm_params: { ...own, custom_llm_provider: 'openai', litellm_credential_name: null }, mode: 'chat' },
    reads: { status: 'ok' },
  },
  { of: 'health.get_readiness()', line: 'GET /health/readiness', reads: { status: 'healthy' } },
]; // biome-ignore format: a table

async function ask({ line, by, body }: Pick<ClientCall, 'line' | 'by' | 'body'>) {
  const [method = '', path = ''] = line.split(' ');
  const response = await fetch(server.url + encodeURI(filled(path)), {
    method,
    headers: {
      authorization: `Bearer ${by === 'team' ? made.teamKey : masterKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: filled(JSON.stringify(body)) }),
  });
  return { status: response.status, json: (await response.json()) as unknown };
}

function at(value: unknown, path: string): unknown {
  let found = value;
  for (const part of path.split('.')) {
    // The lists of all teams have those of the other tests too.
    if (part === '$mine')
      found = [(found as { team_id: string }[]).find(({ team_id }) => team_id === made.team)];
    else found = (found as Record<string, unknown> | undefined)?.[part];
  }
  return found;
}

const expected = (value: unknown): unknown => {
  if (typeof value === 'string') return filled(value);
  return Array.isArray(value) ? value.map(expected) : value;
};

describe("LiteLLM's client finds", () => {
  it.each(calls.map((call) => [`${call.of}: ${call.line}`, call] as const))('%s', async (_, call) => {
    await makeTeam();
    const { status, json } = await ask(call);
    expect(status, JSON.stringify(json)).toBe(200);
    const found = Object.fromEntries(Object.keys(call.reads).map((path) => [path, at(json, path)]));
    expect(found).toEqual(
      Object.fromEntries(Object.entries(call.reads).map(([path, value]) => [path, expected(value)])),
    );
  });
});

describe('What LiteLLM has and this gateway has not', () => {
  const page = 'See "Moving over from LiteLLM" (docs/gateway/moving-over.md).';
  const message = (json: unknown) => (json as { error: { message: string } }).error.message;

  // biome-ignore format: a table
  const routes = [
    'GET /user/list', 'GET /user/info?user_id=u', 'GET /v2/user/info', 'POST /user/new', 'POST /user/delete',
    'GET /credentials', 'POST /credentials', 'GET /credentials/by_name/n', 'DELETE /credentials/n', 'PATCH /credentials/n',
    'GET /team/available', 'POST /team/member_add', 'GET /team/daily/activity', 'GET /budget/list', 'POST /budget/new',
    'GET /organization/list', 'GET /spend/logs', 'GET /global/spend', 'POST /customer/new', 'GET /key/aliases',
    'POST /key/bulk_update', 'POST /key/service-account/generate', 'POST /key/health', 'POST /v2/key/info', 'GET /guardrails/list',
    'GET /v1/mcp/server', 'POST /v1/messages', 'POST /rerank', 'POST /v2/rerank', 'GET /routes', 'POST /utils/token_counter',
    'GET /config/yaml', 'GET /get/config/callbacks', 'POST /add/allowed_ip', 'POST /access_group/new', 'GET /v1/access_group',
    'GET /tag/list', 'GET /cache/ping', 'GET /model/metrics', 'POST /model/block', 'GET /sso/key/generate', 'GET /ui', 'GET /health',
    'GET /health/services', 'POST /v1/vector_store/list', 'GET /prompts/list', 'POST /gemini/v1beta/models/x', 'POST /anthropic/v1/messages',
  ];

  it.each(routes)('%s is refused by name', async (line) => {
    await makeTeam();
    const { status, json } = await ask({ line, ...(line.startsWith('GET') ? {} : { body: {} }) });
    expect(status).toBe(404);
    expect(message(json)).toMatch(
      /^Route (GET|POST|PATCH|DELETE) \S+ not found\. LiteLLM's route for .+ is not served here\. /,
    );
    expect(message(json)).toContain(page);
  });

  it('does not attribute an unknown path to LiteLLM', async () => {
    for (const line of ['GET /usher', 'GET /nothing', 'GET /v1/nothing', 'GET /'])
      expect(message((await ask({ line })).json)).not.toContain('LiteLLM');
  });

  it.each([
    [
      'POST /key/generate',
      { team_id: '$team', spend: 10, aliases: { a: 'b' }, budget_id: 'b', config: {} },
      ['spend', 'aliases', 'budget_id', 'config'],
    ],
    ['POST /key/generate', { team_id: '$team', user_id: 'u', max_budget: '5' }, ['user_id', 'max_budget']],
    ['POST /key/update', { key: '$key', tpm_limit: 5, allowed_routes: [] }, ['tpm_limit', 'allowed_routes']],
    [
      'POST /team/new',
      { members_with_roles: [], organization_id: 'o' },
      ['members_with_roles', 'organization_id'],
    ],
    [
      'POST /model/new',
      {
        model_name: 'm',
        litellm_params: { ...own, drop_params: 'true', aws_region_name: 'x' },
        model_info: { access_groups: ['g'] },
      },
      ['drop_params', 'aws_region_name', 'access_groups'],
    ],
    [
      'POST /model/update',
      { id: '$model', litellm_params: { litellm_credential_name: 'n' } },
      ['litellm_credential_name'],
    ],
    ['POST /health/test_connection', { litellm_params: { ...own, mock_response: 'x' } }, ['mock_response']],
    ['GET /key/list?user_id=u&organization_id=o', undefined, ['user_id', 'organization_id']],
    ['GET /team/list?user_id=u', undefined, ['user_id']],
    ['GET /v2/team/list?page=1&page_size=10&sort_order=asc&user_id=u', undefined, ['user_id']],
    ['GET /v2/model/info?include_team_models=true', undefined, ['include_team_models']],
  ])('%s %j: its fields are refused by name, and nothing is changed', async (line, body, fields) => {
    await makeTeam();
    const before = await house.router.exportTeam(made.team ?? '');
    const { status, json } = await ask({ line, body });
    expect(status).toBe(400);
    for (const field of fields) expect(message(json)).toContain(`${field} (`);
    expect(message(json)).toContain(page);
    expect(await house.router.exportTeam(made.team ?? '')).toEqual(before);
  });

  it('fields of it that are null are not given', async () => {
    await makeTeam();
    const nulls = { user_id: null, max_budget: null, aliases: null, guardrails: null, organization_id: null };
    for (const [line, body] of [
      ['POST /key/generate', { team_id: '$team', ...nulls }],
      ['POST /team/new', nulls],
      ['POST /key/update', { key: '$key', ...nulls }],
    ] as const)
      expect((await ask({ line, body })).status, line).toBe(200);
    expect((await ask({ line: 'POST /team/new', body: { nobodys: null } })).status).toBe(400);
  });

  it.each(['', ' 1', '0x10', 'Infinity', '1,5', 'true', '9'.repeat(400), '1e400'])(
    'a text that is no number is refused as a number: %j',
    async (value) => {
      await makeTeam();
      const { status, json } = await ask({
        line: 'PATCH /model/$model/update',
        body: { litellm_params: { rpm: value } },
      });
      expect(status).toBe(400);
      expect(json).toMatchObject({ error: { param: 'litellm_params.rpm' } });
    },
  );

  it('an id in two places must be one', async () => {
    await makeTeam();
    const body = { id: '$model', model_info: { id: 'another' }, litellm_params: { timeout: 1 } };
    expect(await ask({ line: 'POST /model/update', body })).toMatchObject({
      status: 400,
      json: { error: { param: 'id' } },
    });
    expect(await ask({ line: 'POST /model/update', body: { litellm_params: {} } })).toMatchObject({
      status: 400,
      json: { error: { param: 'model_info.id' } },
    });
  });

  it('an alias that several keys have, or none, deletes no key', async () => {
    await makeTeam();
    const { router } = house;
    await router.createTeam({ team_id: `other of ${made.team}` });
    await router.createKey(`other of ${made.team}`, { key_alias: made.alias ?? '' });
    for (const [aliases, code] of [
      [['$alias'], 'invalid_request'],
      [['nobodys'], 'key_not_found'],
    ] as const) {
      const { json } = await ask({
        line: 'POST /key/delete',
        body: { key_aliases: aliases, keys: ['$key'] },
      });
      expect(json).toMatchObject({ error: { code, param: 'key_aliases' } });
    }
    expect((await router.listKeys(made.team ?? '')).total_count).toBe(2);
  });
});
