import {
  generateEncryptionKey,
  isRouterError,
  type ModelBody,
  memoryStorage,
  type RouterOptions,
  TeamModelRouter,
} from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const options = () => ({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });
const params = { model: 'openai/gpt-4o', api_key: 'sk-0123456789abcdef' };

let router: TeamModelRouter;

beforeEach(() => {
  router = new TeamModelRouter(options());
});

afterEach(() => router.close({ drainTimeoutMs: 0 }));

async function refused(body: object): Promise<{ message: string; param: string | null; code: string }> {
  try {
    await router.addModel('acme', body as ModelBody);
  } catch (error) {
    if (!isRouterError(error)) throw error;
    expect((await router.listModels('acme')).data).toEqual([]);
    return error as unknown as { message: string; param: string | null; code: string };
  }
  return expect.unreachable('the body was taken');
}

describe('a misspelt field', () => {
  it.each<[string, object, string, string]>([
    ['that is required', { model_nam: 'm', litellm_params: params }, 'model_nam', 'model_name'],
    ['with two letters swapped', { model_nmae: 'm', litellm_params: params }, 'model_nmae', 'model_name'],
    ['that is an object', { model_name: 'm', litelm_params: params }, 'litelm_params', 'litellm_params'],
    [
      'that is required inside of another',
      { model_name: 'm', litellm_params: { modle: 'openai/gpt-4o', api_key: params.api_key } },
      'litellm_params.modle',
      'model',
    ],
    [
      'beside another unknown one',
      { colour: 'red', model_nam: 'm', litellm_params: params },
      'model_nam',
      'model_name',
    ],
    [
      'that is optional',
      { model_name: 'm', litellm_params: { ...params, api_bas: 'https://example.com' } },
      'litellm_params.api_bas',
      'api_base',
    ],
  ])('%s is named with the one that is meant', async (_, body, param, meant) => {
    expect(await refused(body)).toMatchObject({
      code: 'invalid_request',
      param,
      message: `Unknown field ${param}. Did you mean ${meant}?${'colour' in body ? ' Unknown field colour.' : ''}`,
    });
  });

  it('that is like no known one is not guessed at, and the missing one is named', async () => {
    expect(await refused({ colour: 'red', litellm_params: params })).toMatchObject({ param: 'model_name' });
    expect(await refused({ model_name: 'm', colour: 'red', litellm_params: params })).toMatchObject({
      message: 'Unknown field colour.',
    });
  });

  it('that is left out is named, and said to be needed', async () => {
    expect(await refused({ litellm_params: params })).toMatchObject({ message: 'model_name: is required.' });
    expect(await refused({ model_name: 'm', litellm_params: {} })).toMatchObject({
      message: 'litellm_params.model: is required.',
    });
    expect(await refused({ model_name: null, litellm_params: params })).toMatchObject({
      message: expect.stringContaining('must be a string'),
    });
  });

  it('of the router’s options is named too', () => {
    const { storage, encryptionKeys } = options();
    for (const given of [
      { storage, encryptionKey: encryptionKeys },
      { storage, encryptionKeys, maxAnswerByte: 1 },
    ]) {
      expect(() => new TeamModelRouter(given as unknown as RouterOptions)).toThrow(
        /^Unknown field (encryptionKey|maxAnswerByte)\. Did you mean (encryptionKeys|maxAnswerBytes)\?$/,
      );
    }
  });
});

it.each<[object, string]>([
  [{ fallback: ['backup'] }, 'Unknown field fallback. Did you mean fallbacks?'],
  [{ maxRetries: -1 }, 'maxRetries: '],
  [{ timeout: '5s' }, 'timeout: '],
  [{ fallbacks: 'backup' }, 'fallbacks: '],
])('forTeam and fetchFor refuse %j', (given, message) => {
  expect(() => router.forTeam('acme', given)).toThrow(message);
  expect(() => router.fetchFor('acme', given)).toThrow(message);
});

describe('an address that the egress policy refuses', () => {
  const bodyOf = (api_base: string) => ({ model_name: 'm', litellm_params: { ...params, api_base } });
  const hint = 'Ask the operator of this service to allow it.';

  it('says what the operator can do, and the same of every address that is not public', async () => {
    const bases = ['https://10.0.0.1', 'https://169.254.169.254', 'https://127.0.0.1', 'https://[fd00::1]'];
    const messages = await Promise.all(bases.map(async (base) => (await refused(bodyOf(base))).message));
    expect(new Set(messages)).toEqual(new Set([`litellm_params.api_base: address must be public. ${hint}`]));
    for (const base of ['http://example.com', 'https://example.com:8443', 'https://localhost']) {
      expect(await refused(bodyOf(base))).toMatchObject({
        code: 'api_base_not_allowed',
        param: 'litellm_params.api_base',
        message: expect.stringContaining(hint),
      });
    }
  });

  it('says so over HTTP as well', async () => {
    await router.createTeam({ team_id: 'acme' });
    const { key } = await router.createKey('acme');
    const response = await createGateway(router, { masterKey }).request('/model/new', {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify(bodyOf('https://10.0.0.1')),
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(hint);
  });
});
