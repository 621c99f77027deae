import { generateEncryptionKey, isRouterError, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { masterKey, send } from './support/gateway.ts';

const api_key = 'sk-0123456789abcdef0123';
let router: TeamModelRouter;
let gateway: Gateway;
let lines: { level: string; fields: Record<string, unknown> }[];

beforeEach(() => {
  lines = [];
  const note = (level: string) => (fields: object) => lines.push({ level, fields: { ...fields } });
  const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    logger,
  });
  gateway = createGateway(router, { masterKey });
});
afterEach(() => router.close());

async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => expect.unreachable('it succeeded'),
    (thrown: unknown) => thrown,
  );
  if (!isRouterError(error)) throw error;
  return error.message;
}

async function answered(line: string, body: unknown, key = masterKey): Promise<string> {
  const { json } = await send(gateway, line, { key, body });
  return (json as { error: { message: string } }).error.message;
}

describe('An unknown field', () => {
  it.each(['POST /model/delete', 'POST /model/update'])('model_id of %s is told to be id', async (line) => {
    const body = line.includes('update') ? { model_id: 'x', model_name: 'y' } : { model_id: 'x' };
    expect(await answered(line, body)).toBe('Unknown field model_id. Did you mean id?');
  });
});

describe('A value of another type', () => {
  it.each([
    [{ litellm_params: { rpm: 1.5 } }, 'litellm_params.rpm: must be a whole number'],
    [{ litellm_params: { num_retries: 'x' } }, 'litellm_params.num_retries: must be a number'],
    [{ litellm_params: { weight: -1 } }, 'litellm_params.weight: must be at least 0'],
    [{ litellm_params: { model: 5 } }, 'litellm_params.model: must be a string'],
    [{ model_info: { mode: 'chta' } }, 'model_info.mode: must be "chat" or "completion"'],
  ])('%j is told in words, not in those of the schema library', async (given, message) => {
    const { litellm_params, ...more } = given as { litellm_params?: object };
    const body = {
      model_name: 'm',
      litellm_params: { model: 'openai/gpt-4o', api_key, ...litellm_params },
      ...more,
    };
    const told = await messageOf(router.addModel('acme', body as never));
    expect(told).toContain(message);
    expect(told).not.toMatch(/Invalid|expected/);
  });

  it('a key_type is told with all of its values', async () => {
    expect(await messageOf(router.createKey('acme', { key_type: 'user' } as never))).toBe(
      'key_type: must be "default" or "llm_api" or "management" or "read_only".',
    );
  });

  it('an address with a space before it is told to have one', async () => {
    const litellm_params = { model: 'openai/gpt-4o', api_key, api_base: ' https://models.example' };
    expect(await messageOf(router.addModel('acme', { model_name: 'm', litellm_params }))).toBe(
      'litellm_params.api_base: must not begin or end with a space. Remove the spaces around it.',
    );
  });
});

describe('A body that is not JSON', () => {
  it.each([
    [`{"purpose": "${api_key}",}`, 'a comma before "}" at byte 38'],
    [`{"models": ["${api_key}", ]}`, 'a comma before "]" at byte 39'],
    [`{'purpose': "${api_key}"}`, 'a single quote in place of a double quote at byte 1'],
    [`{"purpose": "${api_key}" // mine\n}`, 'a comment at byte 38'],
    [`{"purpose": "${api_key}"`, 'the text ends too early at byte 37'],
    [`{"purpose": "${api_key}`, 'the text ends too early at byte 36'],
    [`{"purpose": "${api_key}" "b": 1}`, 'an unexpected character at byte 38'],
  ])('%j is told with the fault and its position, without a part of the text', async (text, fault) => {
    await router.addModel('acme', { model_name: 'm', litellm_params: { model: 'openai/gpt-4o', api_key } });
    const { key } = await router.createKey('acme');
    for (const [path, sender] of [
      ['/model/new', masterKey],
      ['/v1/chat/completions', key],
    ] as const) {
      const headers = { authorization: `Bearer ${sender}`, 'content-type': 'application/json' };
      const request = new Request(`http://gateway.test${path}`, { method: 'POST', headers, body: text });
      const response = await gateway.fetch(request);
      expect(response.status).toBe(400);
      const { error } = (await response.json()) as { error: { message: string } };
      expect(error.message).toBe(`The body is not a JSON object that can be read: ${fault}.`);
    }
  });
});

describe('A call', () => {
  it('with an unknown option rejects, as forTeam throws', async () => {
    const body = { model: 'm', messages: [] };
    const misspelt = router.chatCompletion('acme', body, { fallback: ['n'] } as never);
    await expect(misspelt).rejects.toMatchObject({
      code: 'invalid_request',
      param: 'fallback',
      message: 'Unknown option fallback. Did you mean fallbacks?',
    });
    const known = {
      headers: {},
      query: {},
      signal: null,
      idempotencyKey: 'k',
      fetchOptions: {},
      maxRetries: 0,
    };
    await expect(router.chatCompletion('acme', body, known)).rejects.toMatchObject({
      code: 'model_not_found',
    });
  });

  it('with a field that is not known to be stateless tells the operator alone about allow_fields', async () => {
    await router.createTeam({ team_id: 'acme', models: ['shared'] });
    await router.addSharedModel({
      model_name: 'shared',
      litellm_params: { model: 'openai/gpt-4o', api_key },
    });
    const { key } = await router.createKey('acme');
    const told = await answered(
      'POST /v1/chat/completions',
      { model: 'shared', messages: [], top_k: 1 },
      key,
    );
    expect(told).toContain('"top_k" is not known to be stateless');
    expect(told).not.toContain('allow_fields');
    await new Promise(setImmediate);
    expect(lines.filter(({ fields }) => 'hint' in fields)).toEqual([
      { level: 'debug', fields: expect.objectContaining({ hint: expect.stringContaining('allow_fields') }) },
    ]);
  });
});

it('a gateway with an authenticate function does not ask for an API key', async () => {
  const own = createGateway(router, { authenticate: () => undefined });
  const { status, json } = await send(own, 'GET /v1/models');
  expect(status).toBe(401);
  expect(json).toMatchObject({
    error: {
      code: 'invalid_api_key',
      message: 'The request is not authenticated: its session or token is missing, unknown or expired.',
    },
  });
});
