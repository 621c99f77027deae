import { memoryStorage } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';

let house: GatewayFixture;
const keys: Record<string, string> = { master: masterKey };

beforeAll(async () => {
  house = gatewayFixture({ storage: memoryStorage() });
  for (const model_name of ['mine', 'other'])
    await house.router.addModel('acme', {
      model_name,
      litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef' },
    });
  const add = async (name: string, more: object) => {
    keys[name] = (await house.router.createKey('acme', more)).key;
  };
  await add('default', {});
  await add('llm_api', { key_type: 'llm_api' });
  await add('restricted', { models: ['mine'] });
  await add('without models', { models: [] });
});
afterAll(() => house.router.close());

async function told(as: string, line: string, body?: unknown) {
  const answer = await send(house.gateway, line, { key: keys[as], body });
  const { message, param } = (answer.json as { error: { message: string; param: string | null } }).error;
  return { outcome: outcome(answer), message, param };
}

const chat = (model: string, more: object = {}) => ({ model, messages: [], ...more });

describe('a key that may call some models', () => {
  const lines: [string, unknown][] = [
    ['POST /v1/chat/completions', chat('other')],
    ['POST /v1/chat/completions', chat('mine', { fallbacks: ['other'] })],
    ['POST /openai/deployments/other/chat/completions', { messages: [] }],
    ['GET /v1/models/other', undefined],
    ['POST /v1/embeddings', { model: 'other', input: 'x' }],
  ];

  it.each(lines)('is not told that its team lacks a model: %s', async (line, body) => {
    expect(await told('restricted', line, body)).toEqual({
      outcome: '404 model_not_found',
      message: 'Model "other" not found for this key. This key may call: "mine".',
      param: 'model',
    });
    const none = await told('without models', line, body);
    expect(none.outcome).toBe('404 model_not_found');
    expect(none.message).toContain('may not call any model.');
    expect(none.message).not.toContain('team');
  });

  it('a key without models reads the names of its team', async () => {
    const { message } = await told('default', 'POST /v1/chat/completions', chat('absent'));
    expect(message).toBe('Model "absent" not found for this team. Available models: "mine", "other".');
  });
});

it.each([
  ['DELETE /model/absent', undefined, 'id'],
  ['POST /model/delete', { id: 'absent' }, 'id'],
  ['POST /model/update', { id: 'absent', model_name: 'x' }, 'id'],
  ['PATCH /model/absent/update', { model_name: 'x' }, 'id'],
  ['GET /model/info?litellm_model_id=absent', undefined, 'litellm_model_id'],
  ['GET /v2/model/info?litellm_model_id=absent&team_id=acme', undefined, 'litellm_model_id'],
  ['POST /health/test_connection', { model_info: { id: 'absent' } }, 'id'],
  ['POST /key/block', { key: 'sk-absent' }, 'key'],
  ['GET /key/info?key=sk-absent', undefined, 'key'],
])('no error names a team to the master key: %s', async (line, body, param) => {
  const answer = await told('master', line, body);
  expect(answer.outcome).toMatch(/^404 (model|key)_not_found$/);
  expect(answer.param).toBe(param);
  expect(answer.message).not.toContain('team');
});

describe('a key that may only call', () => {
  it.each<[string, unknown]>([
    ['POST /v1/chat/completions', chat('mine', { cache: {} })],
    ['POST /v1/chat/completions', chat('mine', { cache: {}, guardrails: ['x'] })],
    ['DELETE /v1/models/mine', undefined],
    ['DELETE /models/mine', undefined],
    ['DELETE /openai/models/mine', undefined],
  ])('is not told to change a model: %s', async (line, body) => {
    const { message, ...rest } = await told('llm_api', line, body);
    const other = await told('default', line, body);
    expect(rest).toEqual({ outcome: other.outcome, param: other.param });
    expect(rest.outcome).toBe('400 invalid_request');
    expect(message).not.toMatch(/allow_fields|model\/delete|Delete/);
    expect(other.message).toMatch(/allow_fields|model\/delete/);
  });

  it('a caller without a key gets 401', async () => {
    expect(outcome(await send(house.gateway, 'DELETE /v1/models/mine'))).toBe('401 invalid_api_key');
  });
});

it.each([
  ['DELETE /model/delete', 'POST'],
  ['DELETE /model/update', 'POST'],
  ['DELETE /model/new', 'POST'],
  ['DELETE /model/delete/', 'POST'],
  ['DELETE /model/info', 'GET, HEAD'],
])('%s takes %s', async (line, methods) => {
  for (const as of ['master', 'default', 'llm_api']) {
    const answer = await told(as, line);
    expect(answer.outcome).toBe('405 method_not_allowed');
    expect(answer.message).toContain(`This path takes ${methods}.`);
  }
});

it('a model whose id is a plain word is still deleted by its id', async () => {
  const model = {
    model_name: 'imported',
    litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef' },
  };
  await send(house.gateway, 'POST /model/new', {
    key: masterKey,
    body: { ...model, model_info: { id: 'imported', team_id: 'acme' } },
  });
  expect(outcome(await send(house.gateway, 'DELETE /model/imported', { key: masterKey }))).toBe('200');
});

it.each(['GET /audit', 'GET /audit/x', 'POST /fallbacks', 'GET /get_image', 'GET /v1/workflows/runs'])(
  '%s names the page that lists what differs from LiteLLM',
  async (line) => {
    const answer = await told('master', line, line.startsWith('POST') ? {} : undefined);
    expect(answer.outcome).toBe('404 not_found');
    expect(answer.message).toContain('docs/gateway/moving-over.md');
  },
);

describe('a key twice in a management body', () => {
  const params = '"litellm_params":{"model":"openai/m","api_key":"sk-0123456789abcdef"}';

  it.each([
    ['POST /model/new', `{"model_name":"a","model_name":"b",${params}}`, 'model_name'],
    ['POST /model/new', `{"model_name":"a",${params},"m\\u006fdel_name":"a"}`, 'model_name'],
    [
      'POST /model/new',
      `{"model_name":"a","litellm_params":{"model":"x","api_key":"k","model":"y"}}`,
      'litellm_params.model',
    ],
    ['POST /team/new', '{"metadata":{"a":[1,{"b":1 , "c":"}{,", "b":2}]}}', 'metadata.a[1].b'],
    ['POST /key/generate', '{"team_id":"acme","team_id":"acme"}', 'team_id'],
    ['POST /key/generate', '{"team_id":"acme","__proto__":1,"__proto__":1}', '__proto__'],
  ])('is refused by name: %s %s', async (line, body, param) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await send(house.gateway, line, { key: masterKey, headers, body });
    expect([outcome(answer), answer.json]).toEqual([
      '400 invalid_request',
      { error: expect.objectContaining({ param, message: `${param}: must not appear twice in the body.` }) },
    ]);
  });

  it('in different objects, or as a value, is no duplicate', async () => {
    const metadata = '{"a":{"a":"a","b":["a","a",{"a":1},{"a":2}]},"b":"\\"a\\":1,\\"a\\":2","":{"":1}}';
    const body = `{"team_id":"acme","metadata":${metadata}}`;
    const headers = { 'content-type': 'application/json' };
    const answer = await send(house.gateway, 'POST /key/generate', { key: masterKey, headers, body });
    expect(answer).toMatchObject({ status: 200, json: { metadata: JSON.parse(metadata) } });
  });
});
