import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Endpoint, endpoints } from '../../src/calls/endpoints/table.ts';
import { addressOf, resolveTarget, type TargetParams } from '../../src/providers/provider.ts';
import { chatCompletion, recordingProvider, sendJson } from '../support/recording-provider.ts';

const chat = endpoints.find(({ id }) => id === 'chat.completions.create') as Endpoint;
const chatAddress = (params: TargetParams) =>
  addressOf(resolveTarget(params), chat, {}, new URLSearchParams()).url;

const foundry = 'https://r.services.ai.azure.com';
const azure = 'https://r.openai.azure.com';
const apim = 'https://apim.example/foo';

describe('api_base', () => {
  it.each<[model: string, base: string, address: string]>([
    ['groq/m', 'https://api.groq.com/openai', 'https://api.groq.com/openai/v1/chat/completions'],
    ['groq/m', 'https://api.groq.com/v1', 'https://api.groq.com/openai/v1/chat/completions'],
    ['openrouter/m', 'https://openrouter.ai/api', 'https://openrouter.ai/api/v1/chat/completions'],
    ['openrouter/m', 'https://openrouter.ai/v1/', 'https://openrouter.ai/api/v1/chat/completions'],
    [
      'fireworks_ai/m',
      'https://api.fireworks.ai/inference',
      'https://api.fireworks.ai/inference/v1/chat/completions',
    ],
    [
      'gemini/m',
      'https://generativelanguage.googleapis.com/v1beta',
      'https://generativelanguage.googleapis.com/v1beta/openai/chat/completions',
    ],
    [
      'gemini/m',
      'https://generativelanguage.googleapis.com/v1beta/openai/models',
      'https://generativelanguage.googleapis.com/v1beta/openai/chat/completions',
    ],
    ['deepseek/m', 'https://api.deepseek.com/beta', 'https://api.deepseek.com/beta/chat/completions'],
    ['openai/m', 'https://api.openai.com//v1//', 'https://api.openai.com/v1/chat/completions'],
    ['openai/m', 'https://api.cohere.ai', 'https://api.cohere.ai/compatibility/v1/chat/completions'],
    ['openai/m', 'https://api.deepinfra.com/v1', 'https://api.deepinfra.com/v1/openai/chat/completions'],
    [
      'openai/m',
      'https://api.z.ai/api/coding/paas/v4',
      'https://api.z.ai/api/coding/paas/v4/chat/completions',
    ],
    ['openai/m', 'https://models.github.ai', 'https://models.github.ai/inference/chat/completions'],
    ['openai/m', 'https://api.githubcopilot.com', 'https://api.githubcopilot.com/chat/completions'],
    [
      'openai/m',
      'https://models.inference.ai.azure.com',
      'https://models.inference.ai.azure.com/chat/completions',
    ],
    ['openai/m', 'http://localhost:11434', 'http://localhost:11434/v1/chat/completions'],
    ['openai/m', 'http://localhost:3000/api', 'http://localhost:3000/api/chat/completions'],
    [
      'openai/m',
      'https://gateway.ai.cloudflare.com/v1/acc/gw/openai',
      'https://gateway.ai.cloudflare.com/v1/acc/gw/openai/chat/completions',
    ],
    [
      'openai/m',
      'https://api-inference.huggingface.co/models/org/m/v1/chat/completions',
      'https://api-inference.huggingface.co/models/org/m/v1/chat/completions',
    ],
    [
      'openai/m',
      'https://static.1.2.clients.your-server.de',
      'https://static.1.2.clients.your-server.de/v1/chat/completions',
    ],
    [
      'fireworks_ai/m',
      'https://api.fireworks.ai/v1',
      'https://api.fireworks.ai/inference/v1/chat/completions',
    ],
  ])('of %s at %s calls the documented address', (model, api_base, address) => {
    expect(chatAddress({ model, api_base })).toBe(address);
  });

  it.each([
    'https://api.openai.com/v1/models/gpt-4o',
    'https://api.openai.com/v1/chat',
    'https://api.openai.com/v1/engines/gpt-4o/completions',
    'https://llm.example/v1/realtime',
    'https://llm.example/v1/threads/thread_1/runs',
    'https://llm.example/v1/fim/completions',
    'https://api.anthropic.com/v1/messages',
    'https://llm.example/anthropic/v1/messages/count_tokens',
    'http://localhost:11434/api',
    'http://localhost:11434/api/chat',
    'http://localhost:11434/api/generate',
    'http://localhost:11434/api/tags',
    'http://localhost:8000/v1/rerank',
    'http://localhost:8000/docs',
    'http://localhost:8080/completion',
    'https://api.cohere.com/v2/chat',
    'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.0-flash:generateContent',
    'https://generativelanguage.googleapis.com/v1',
    'https://aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent',
    'https://acme.cloud.databricks.com/serving-endpoints/m/invocations',
    'https://api.fireworks.ai/v2',
    'https://platform.openai.com/api-keys',
    'https://ai.azure.com/resource/deployments',
    'https://llm.example/v1/../admin',
    'https://llm.example/v1/%2e%2e/admin',
    'https://llm.example/v1/{endpoint}',
    'https://llm.example/v1/%7Bendpoint%7D',
    'https://{resource}.openai.azure.com',
    'https://<your-resource>.openai.azure.com',
    'https://YOUR_RESOURCE_NAME.openai.azure.com',
    'https://your-resource.openai.azure.com',
    'https://xxx.openai.azure.com',
    'https://.../v1',
    'https://llm.example/v1?key=AIzaSyA1b2C3d4',
    `${azure}/openai/deployments/m/chat/completions?api-version={version}`,
    `${azure}/openai/deployments/m/extensions/chat/completions?api-version=2023-12-01`,
    `${azure}/openai/realtime`,
    `${azure}/language/analyze-text`,
    `${foundry}/anthropic/v1/messages`,
    `${foundry}/anthropic`,
    `${foundry}/api/projects/p`,
    `${apim}/openai/deployments/m/extensions?api-version=2023-12-01`,
  ])('%s is refused with what to paste', (api_base) => {
    const refused = () => resolveTarget({ model: 'openai/m', api_base });
    expect(refused).toThrow(
      expect.objectContaining({
        status: 400,
        param: 'litellm_params.api_base',
        message: expect.stringMatching(/(Copy|Paste|Remove|Send) |as a segment/),
      }),
    );
  });

  it('names the documented address of a known provider', () => {
    for (const [api_base, base] of [
      ['https://api.anthropic.com/v1/messages', 'https://api.anthropic.com/v1'],
      [
        'https://generativelanguage.googleapis.com/v1',
        'https://generativelanguage.googleapis.com/v1beta/openai',
      ],
    ] as const) {
      expect(() => resolveTarget({ model: 'openai/m', api_base })).toThrow(`Paste ${base},`);
    }
  });

  it('that is a call with an id is refused for every such call of the endpoint table', () => {
    for (const { path, local } of endpoints) {
      if (!path.includes('{')) continue;
      const call = path.replace(/\{\w+\}/g, 'id-1');
      for (const api_base of [
        `https://llm.example/v1${call}`,
        `${azure}/openai${call}?api-version=2024-10-21`,
      ])
        expect(() => resolveTarget({ model: 'openai/m', api_base }), `${api_base} ${local}`).toThrow(
          'must not be the URL of a single call',
        );
    }
  });
});

describe('an Azure api_base', () => {
  it.each<[model: string, base: string, address: string]>([
    ['azure/m', `${foundry}/models`, `${foundry}/models/chat/completions?api-version=2024-05-01-preview`],
    ['openai/m', `${foundry}/models/`, `${foundry}/models/chat/completions?api-version=2024-05-01-preview`],
    [
      'azure/m',
      `${foundry}/models/chat/completions?api-version=2025-04-01`,
      `${foundry}/models/chat/completions?api-version=2025-04-01`,
    ],
    [
      'openai/m',
      `${foundry}/models/embeddings?api-version=2025-04-01`,
      `${foundry}/models/chat/completions?api-version=2025-04-01`,
    ],
    [
      'azure/m',
      `${foundry}/openai/v1/responses?api-version=preview`,
      `${foundry}/openai/v1/chat/completions`,
    ],
    [
      'azure/m',
      `${foundry}/api/projects/p/openai/v1/responses`,
      `${foundry}/api/projects/p/openai/v1/chat/completions`,
    ],
    [
      'azure/m',
      `${azure}/openai/models?api-version=2024-10-21`,
      `${azure}/openai/deployments/m/chat/completions?api-version=2024-10-21`,
    ],
    [
      'openai/m',
      'https://m.eastus2.models.ai.azure.com/v1/chat/completions?api-version=2024-05-01-preview',
      'https://m.eastus2.models.ai.azure.com/v1/chat/completions?api-version=2024-05-01-preview',
    ],
    [
      'azure/m',
      'https://m.eastus2.models.ai.azure.com/chat/completions?api-version=2024-05-01-preview',
      'https://m.eastus2.models.ai.azure.com/chat/completions?api-version=2024-05-01-preview',
    ],
    [
      'azure/m',
      `${apim}/deployments/m/chat/completions?api-version=2024-10-21`,
      `${apim}/deployments/m/chat/completions?api-version=2024-10-21`,
    ],
    [
      'openai/m',
      `${apim}/chat/completions?api-version=2024-10-21`,
      `${apim}/chat/completions?api-version=2024-10-21`,
    ],
    [
      'azure/m',
      `${apim}/openai/deployments/m/chat/completions?api-version=2024-06-01`,
      `${apim}/openai/deployments/m/chat/completions?api-version=2024-06-01`,
    ],
  ])('of %s at %s calls the address that was pasted', (model, api_base, address) => {
    expect(chatAddress({ model, api_base })).toBe(address);
  });

  it.each([
    'r.openai.azure.com',
    'r.openai.azure.us',
    'r.openai.azure.cn',
    'r.cognitiveservices.azure.com',
    'r.cognitiveservices.azure.us',
    'r.cognitiveservices.azure.cn',
    'r.services.ai.azure.com',
    'eastus.api.cognitive.microsoft.com',
    'virginia.api.cognitive.microsoft.us',
    'chinaeast2.api.cognitive.azure.cn',
  ])('at %s means the protocol of Azure under any provider', (host) => {
    const target = resolveTarget({ model: 'openai/m', api_base: `https://${host}` });
    expect(target).toMatchObject({ provider: 'azure', protocol: 'azure', base: `https://${host}` });
  });

  it.each(['openai.azure.com', 'evil-openai.azure.com', 'r.openai.azure.com.evil.example'])(
    'at %s is no resource',
    (host) => {
      expect(resolveTarget({ model: 'openai/m', api_base: `https://${host}` }).protocol).toBe('openai');
    },
  );

  it.each([
    ['model', { api_base: `${azure}/openai/deployments/other` }],
    ['model', { api_base: `${apim}/deployments/other/chat/completions?api-version=2024-10-21` }],
    ['api_version', { api_base: `${azure}/openai/v1`, api_version: '2024-10-21' }],
    ['api_version', { api_base: `${azure}/openai/v1/?api-version=2024-10-21` }],
  ])('that contradicts another field is refused: %s', (field, params) => {
    expect(() => resolveTarget({ model: 'azure/m', ...params })).toThrow(
      expect.objectContaining({ status: 400, param: `litellm_params.${field}` }),
    );
  });
});

describe('a call of a deployment at /models', () => {
  it('sends the model in the body, the key as api-key, and the api-version', async () => {
    const provider = await recordingProvider((_, response) => sendJson(response, 200, chatCompletion('m')));
    const router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [provider.url] },
    });
    onTestFinished(async () => {
      await router.close();
      await provider.close();
    });
    const api_key = '0123456789abcdef0123456789abcdef';
    const api_base = `${provider.url}/models/chat/completions?api-version=2024-05-01-preview`;
    const params = { model: 'azure/DeepSeek-R1', api_key, api_base };
    const { model_id } = await router.addModel('acme', { model_name: 'm', litellm_params: params });
    await router.forTeam('acme').chat.completions.create({ model: 'm', messages: [] });
    expect(provider.requests[0]).toMatchObject({
      url: '/models/chat/completions?api-version=2024-05-01-preview',
      headers: { 'api-key': api_key },
    });
    expect(JSON.parse(String(provider.requests[0]?.body))).toMatchObject({ model: 'DeepSeek-R1' });
    // The versions by type of call do not outlive the change that replaces them.
    const api_version = { default: '2024-10-21', chat: '2025-04-01' };
    await router.updateModel('acme', model_id, {
      litellm_params: { api_base: provider.url, api_key, api_version },
    });
    await router.updateModel('acme', model_id, { litellm_params: { api_version: '2024-06-01' } });
    await router.forTeam('acme').chat.completions.create({ model: 'm', messages: [] });
    expect(provider.requests[1]?.url).toBe(
      '/openai/deployments/DeepSeek-R1/chat/completions?api-version=2024-06-01',
    );
  });
});
