import { describe, expect, it } from 'vitest';
import { type Endpoint, endpoints } from '../../src/calls/endpoints/table.ts';
import { pastedPaths, pastedWords } from '../../src/providers/api-base.ts';
import { addressOf, knownProviders, resolveTarget } from '../../src/providers/provider.ts';
import { modelBody } from '../../src/schemas/bodies.ts';
import { callTypes } from '../../src/schemas/fields.ts';

const endpoint = (id: string): Endpoint => {
  const found = endpoints.find((row) => row.id === id);
  if (found === undefined) throw new Error(id);
  return found;
};

const addressFor = (
  params: Parameters<typeof resolveTarget>[0],
  id: string,
  ids: Record<string, string> = {},
) => addressOf(resolveTarget(params), endpoint(id), ids, new URLSearchParams()).url;

/** Where each known provider's chat completions are, as its own documentation has it; `null`: needs an api_base. */
const chatAddresses: readonly (readonly [provider: string, address: string | null])[] = [
  ['openai', 'https://api.openai.com/v1/chat/completions'],
  ['anthropic', 'https://api.anthropic.com/v1/chat/completions'],
  ['gemini', 'https://generativelanguage.googleapis.com/v1beta/openai/chat/completions'],
  ['groq', 'https://api.groq.com/openai/v1/chat/completions'],
  ['mistral', 'https://api.mistral.ai/v1/chat/completions'],
  ['deepseek', 'https://api.deepseek.com/v1/chat/completions'],
  ['xai', 'https://api.x.ai/v1/chat/completions'],
  ['together_ai', 'https://api.together.xyz/v1/chat/completions'],
  ['fireworks_ai', 'https://api.fireworks.ai/inference/v1/chat/completions'],
  ['openrouter', 'https://openrouter.ai/api/v1/chat/completions'],
  ['perplexity', 'https://api.perplexity.ai/chat/completions'],
  ['cerebras', 'https://api.cerebras.ai/v1/chat/completions'],
  ['nvidia_nim', 'https://integrate.api.nvidia.com/v1/chat/completions'],
  ['azure', null],
  ['hosted_vllm', null],
  ['ollama', null],
  ['lm_studio', null],
  ['litellm_proxy', null],
  ['openai_like', null],
];

describe('the provider table', () => {
  it('has every known provider in this test', () => {
    expect(chatAddresses.map(([provider]) => provider).sort()).toEqual([...knownProviders.keys()].sort());
  });

  it.each(chatAddresses)('%s', (provider, address) => {
    for (const params of [
      { model: `${provider}/some/model` },
      { model: 'some/model', custom_llm_provider: provider },
    ]) {
      if (address === null) {
        expect(() => resolveTarget(params)).toThrow(/api_base: is required/);
        continue;
      }
      expect(resolveTarget(params)).toMatchObject({ provider, model: 'some/model' });
      expect(addressFor(params, 'chat.completions.create')).toBe(address);
    }
    const own = addressFor(
      { model: `${provider}/m`, api_base: 'https://llm.example/v1/' },
      'embeddings.create',
    );
    if (provider !== 'azure') expect(own).toBe('https://llm.example/v1/embeddings');
  });
});

describe('a prefix that names no known provider', () => {
  it.each([
    ['antropic/claude', 'Did you mean anthropic?'],
    ['vertex_ai/gemini-pro', 'Known: openai, '],
    ['/gpt-4o', 'Known: openai, '],
  ])('%s would take its key to OpenAI: it is refused', (model, hint) => {
    const refused = () => resolveTarget({ model });
    expect(refused).toThrow(expect.objectContaining({ status: 400, param: 'litellm_params.model' }));
    expect(refused).toThrow(hint);
  });

  it('is part of the name where the provider or the address is given', () => {
    const model = 'acme/llama';
    const api_base = 'https://llm.example/v1';
    expect(resolveTarget({ model, api_base })).toMatchObject({ provider: 'openai', base: api_base, model });
    expect(resolveTarget({ model, custom_llm_provider: 'groq' })).toMatchObject({ provider: 'groq', model });
    expect(resolveTarget({ model: `openai/${model}` })).toMatchObject({ provider: 'openai', model });
    const azure = { model, api_base: 'https://acme.openai.azure.com' };
    expect(() => resolveTarget(azure)).toThrow('must name an Azure deployment');
  });
});

const resource = 'https://acme.openai.azure.com';

describe('the whole address of a call as api_base', () => {
  const pasted = endpoints.filter(
    ({ method, path, local }) => method === 'POST' && !local && !path.includes('{'),
  );

  it('is understood for every call of the endpoint table', () => {
    expect([...pastedPaths, ...pastedWords].sort()).toEqual(
      [...new Set(pasted.map(({ path }) => path))].sort(),
    );
    for (const { path } of pasted) {
      const params = { model: 'openai/m', api_base: `https://llm.example/v1${path}` };
      expect(addressFor(params, 'audio.speech.create')).toBe('https://llm.example/v1/audio/speech');
      expect(addressFor(params, 'chat.completions.create')).toBe('https://llm.example/v1/chat/completions');
    }
  });

  it.each(['/chat/completions', '/audio/speech', '/embeddings', '/images/generations', ''])(
    "takes Azure's target URI of %s apart",
    (path) => {
      const api_base = `${resource}/openai/deployments/d${path}?api-version=2025-01-01-preview`;
      const params = { model: 'azure/d', api_base };
      const address = `${resource}/openai/deployments/d/chat/completions?api-version=2025-01-01-preview`;
      expect(addressFor(params, 'chat.completions.create')).toBe(address);
      expect(addressFor({ ...params, api_version: '2025-01-01-preview' }, 'chat.completions.create')).toBe(
        address,
      );
    },
  );

  it.each([
    ['the list of models', 'https://llm.example/v1/models', 'https://llm.example/v1'],
    ['the list of models with a slash', 'https://llm.example/api/v1/models/', 'https://llm.example/api/v1'],
    [
      'a call that is added twice',
      'https://llm.example/v1/chat/completions/chat/completions',
      'https://llm.example/v1',
    ],
    ['a call in capitals', 'https://llm.example/v1/Chat/Completions/', 'https://llm.example/v1'],
    [
      'a call below another path',
      'https://llm.example/api/openai/v1/responses/compact',
      'https://llm.example/api/openai/v1',
    ],
    ['no call: the base of a model inference', 'https://llm.example/models', 'https://llm.example/models'],
    [
      'no call: a name that ends like one',
      'https://llm.example/v1/my-models',
      'https://llm.example/v1/my-models',
    ],
  ])('reads %s', (_, api_base, base) => {
    for (const id of ['chat.completions.create', 'audio.speech.create'])
      expect(addressFor({ model: 'openai/m', api_base }, id)).toBe(
        `${base}${id.startsWith('chat') ? '/chat/completions' : '/audio/speech'}`,
      );
  });

  it("takes an account's target URI apart", () => {
    const params = {
      model: 'azure/d',
      api_base: `${resource}/openai/responses?api-version=2025-04-01-preview`,
    };
    expect(addressFor(params, 'responses.create')).toBe(
      `${resource}/openai/responses?api-version=2025-04-01-preview`,
    );
  });

  it.each([
    ['another api_version', 'api_version', { model: 'azure/d', api_version: '2024-10-21' }, ''],
    ['another deployment', 'model', { model: 'azure/e' }, ''],
    ['a second parameter', 'api_base', { model: 'azure/d' }, '&key=1'],
    ['the version twice', 'api_base', { model: 'azure/d' }, '&api-version=2024-10-21'],
  ])('with %s is refused, naming the field', (_, field, params, more) => {
    const api_base = `${resource}/openai/deployments/d/embeddings?api-version=2025-01-01-preview${more}`;
    const error = expect.objectContaining({ status: 400, param: `litellm_params.${field}` });
    expect(() => resolveTarget({ ...params, api_base })).toThrow(error);
  });
});
const azure = { model: 'openai/my deployment', api_base: resource, api_version: '2024-10-21' };

describe('Azure', () => {
  it.each([
    [
      resource,
      '2023-12-01-preview',
      `${resource}/openai/deployments/d/chat/completions?api-version=2023-12-01-preview`,
    ],
    [`${resource}/`, undefined, `${resource}/openai/deployments/d/chat/completions?api-version=2024-10-21`],
    [
      `${resource}/openai/deployments/d/chat/completions`,
      undefined,
      `${resource}/openai/deployments/d/chat/completions?api-version=2024-10-21`,
    ],
    [`${resource}/openai/v1`, undefined, `${resource}/openai/v1/chat/completions`],
    [`${resource}/openai/v1/`, 'preview', `${resource}/openai/v1/chat/completions`],
    [resource, 'preview', `${resource}/openai/v1/chat/completions`],
    [
      'https://acme.cognitiveservices.azure.com',
      undefined,
      'https://acme.cognitiveservices.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21',
    ],
    [
      'https://acme.services.ai.azure.com',
      undefined,
      'https://acme.services.ai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21',
    ],
    [
      'https://gateway.acme.example/llm',
      '2024-10-21',
      'https://gateway.acme.example/llm/openai/deployments/d/chat/completions?api-version=2024-10-21',
    ],
  ])('%s with %s', (api_base, api_version, address) => {
    expect(addressFor({ model: 'openai/d', api_base, api_version }, 'chat.completions.create')).toBe(address);
  });

  it.each([
    ['chat.completions.create', {}, '/openai/deployments/my%20deployment/chat/completions'],
    ['audio.transcriptions.create', {}, '/openai/deployments/my%20deployment/audio/transcriptions'],
    ['responses.create', {}, '/openai/responses'],
    ['responses.retrieve', { response_id: 'resp_1' }, '/openai/responses/resp_1'],
    ['files.content', { file_id: 'file-1' }, '/openai/files/file-1/content'],
    ['batches.create', {}, '/openai/batches'],
    ['fineTuning.jobs.create', {}, '/openai/fine_tuning/jobs'],
  ])('%s is where Azure has it', (id, ids, path) => {
    expect(addressFor(azure, id, ids)).toBe(`${resource}${path}?api-version=2024-10-21`);
  });

  it('takes an api-version by type of call', () => {
    const api_version = { default: '2024-10-21', responses: '2025-04-01-preview', fine_tuning: '2024-08-01' };
    const { litellm_params } = modelBody.parse({
      model_name: 'm',
      litellm_params: { ...azure, api_version },
    });
    const version = (id: string, ids = {}) =>
      new URL(addressFor(litellm_params, id, ids)).searchParams.get('api-version');
    expect(version('chat.completions.create')).toBe('2024-10-21');
    expect(version('responses.create')).toBe('2025-04-01-preview');
    expect(version('responses.cancel', { response_id: 'resp_1' })).toBe('2025-04-01-preview');
    expect(version('fineTuning.jobs.list')).toBe('2024-08-01');
    expect(version('files.list')).toBe('2024-10-21');
  });

  it('every call has a type that an api-version may be given for', () => {
    const types = endpoints.filter(({ local }) => !local).map(({ path }) => path.split('/')[1]);
    expect([...new Set(types)].sort()).toEqual([...callTypes].sort());
  });

  it.each([{ chats: '2024-10-21' }, { chat: 'a b' }, { chat: 1 }, [], 'a b', '', { chat: 'os.environ/X' }])(
    'refuses the api-version %j',
    (api_version) => {
      const result = modelBody.safeParse({ model_name: 'm', litellm_params: { ...azure, api_version } });
      expect(result.error?.issues[0]?.message).toMatch(/^must be an api-version.*fine_tuning/);
    },
  );
});
