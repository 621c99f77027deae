import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage } from '@langchain/core/messages';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { embed, generateText, jsonSchema } from 'ai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  answerAsOpenAI,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

// What a shared deployment serves: what is known to be stateless, and nothing else.

let provider: RecordingProvider;
let router: TeamModelRouter;

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    const other = /moderations|images/.test(request.url);
    const list = request.url.endsWith('/embeddings') && String(request.body).includes('"float"');
    const data = [{ object: 'embedding', index: 0, embedding: [0.5, 0.25] }];
    if (list) sendJson(response, 200, { object: 'list', model: 'm', data });
    else if (other) sendJson(response, 200, { data: [] });
    else answerAsOpenAI(request, response);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url] },
  });
  const api_base = `${provider.url}/v1`;
  const providers = ['openai', 'hosted_vllm', 'gemini', 'openrouter', 'xai', 'ollama', 'anthropic'];
  for (const name of providers) {
    const litellm_params = { model: `${name}/m`, api_key: 'sk-0123456789abcdef', api_base };
    await router.addSharedModel({ model_name: name, litellm_params });
  }
  await router.addSharedModel({
    model_name: 'allowing',
    litellm_params: {
      model: 'm',
      api_key: 'sk-0123456789abcdef',
      api_base,
      allow_fields: ['top_k', 'messages.persona', 'tools.type', 'tools.environment'],
    },
  });
  for (const team_id of ['acme', 'globex'])
    await router.createTeam({ team_id, models: ['all-proxy-models'] });
});
beforeEach(() => {
  provider.requests.length = 0;
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function post(path: string, body: object, headers: Record<string, string> = {}, team = 'acme') {
  const response = await router.fetchFor(team)(`${teamBaseUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const json = (await response.json()) as { error?: { code: string; param: string } };
  return response.status < 400 ? 'served' : `${json.error?.code} ${json.error?.param}`;
}

const chat = (more: object, model = 'openai') =>
  post('/chat/completions', { model, messages: [{ role: 'user', content: 'x' }], ...more });
const responses = (more: object, model = 'openai') =>
  post('/responses', { model, store: false, input: 'x', ...more });
const refused = (param: string) => `stateful_on_shared ${param}`;

describe('on a shared deployment', () => {
  it.each<[string, () => Promise<string>, string]>([
    ['a skill', () => responses({ tools: [{ type: 'mcp', skill_id: 's' }] }), 'tools.skill_id'],
    [
      'a tunnel',
      () => responses({ tools: [{ type: 'mcp', server_label: 'l', tunnel_id: 'tunnel_1' }] }),
      'tools.tunnel_id',
    ],
    [
      'a connector',
      () => responses({ tools: [{ type: 'mcp', connector_id: 'connector_gmail' }] }),
      'tools.connector_id',
    ],
    ['a container of its own', () => responses({ tools: [{ type: 'shell' }] }), 'tools.type'],
    [
      'code in a container',
      () => responses({ tools: [{ type: 'code_interpreter', container: { type: 'auto' } }] }),
      'tools.type',
    ],
    [
      'data sources of Azure',
      () => chat({ data_sources: [{ type: 'azure_search', parameters: {} }] }),
      'data_sources',
    ],
    [
      'cached content of Gemini',
      () => chat({ extra_body: { google: { cached_content: 'c' } } }, 'gemini'),
      'extra_body.google.cached_content',
    ],
    ['other models of OpenRouter', () => chat({ models: ['a/b'] }, 'openrouter'), 'models'],
    ['a preset of OpenRouter', () => chat({ preset: 'p' }, 'openrouter'), 'preset'],
    ['a deferred answer of xAI', () => chat({ deferred: true }, 'xai'), 'deferred'],
    [
      'another model for images',
      () => responses({ tools: [{ type: 'image_generation', model: 'm' }] }),
      'tools.model',
    ],
    [
      'reasoning by its id',
      () => responses({ input: [{ type: 'reasoning', id: 'rs_1', summary: [] }] }),
      'input.id',
    ],
    [
      'a compaction by its id',
      () => responses({ input: [{ type: 'compaction', id: 'cmp_1', encrypted_content: '' }] }),
      'input.id',
    ],
    [
      'an image by its id, with its size alone',
      () => responses({ input: [{ type: 'image_generation_call', id: 'ig_1', size: '1024x1024' }] }),
      'input.id',
    ],
    [
      'a type in disguise',
      () => responses({ input: [{ type: 'message', content: 'x', Type: 'y' }] }),
      'Type',
    ],
    ['an unknown field', () => chat({ something_new: 1 }), 'something_new'],
    [
      'an unknown field below',
      () => chat({ messages: [{ role: 'user', content: 'x', memory: 'm' }] }),
      'messages.memory',
    ],
    [
      'a voice of the account',
      () => post('/audio/speech', { model: 'openai', input: 'x', voice: { id: 'v' } }),
      'voice.id',
    ],
    ['a field of another provider', () => chat({ guided_json: {} }, 'openai'), 'guided_json'],
    ['what an operator did not allow', () => chat({ top_p_k: 1 }, 'allowing'), 'top_p_k'],
  ])('%s is refused by name', async (_, call, param) => {
    const outcome = await call();
    expect(outcome.replace('invalid_request', 'stateful_on_shared')).toBe(refused(param));
    expect(provider.requests).toEqual([]);
  });

  it('rejects a duplicate member', async () => {
    const twice =
      '{"model":"openai","store":false,"input":[{"type":"reasoning","id":"r","encrypted_content":"x","encrypted_content":null}]}';
    const response = await router.fetchFor('acme')(`${teamBaseUrl}/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: twice,
    });
    expect(await response.json()).toMatchObject({ error: { param: 'input.encrypted_content' } });
  });

  it.each<[string, () => Promise<string>]>([
    [
      'fields of vLLM',
      () => chat({ top_k: 1, guided_json: { a: 1 }, chat_template_kwargs: {} }, 'hosted_vllm'),
    ],
    ['options of Ollama', () => chat({ options: { num_ctx: 1 }, keep_alive: '5m' }, 'ollama')],
    ['thinking of Gemini', () => chat({ extra_body: { google: { thinking_config: { a: 1 } } } }, 'gemini')],
    ['thinking of Anthropic', () => chat({ thinking: { type: 'enabled', budget_tokens: 9 } }, 'anthropic')],
    ['routing of OpenRouter', () => chat({ provider: { order: ['a'] } }, 'openrouter')],
    ['searching of xAI', () => chat({ search_parameters: { mode: 'auto' } }, 'xai')],
    [
      "an operator's fields",
      () => chat({ top_k: 3, messages: [{ role: 'user', content: 'x', persona: {} }] }, 'allowing'),
    ],
    [
      "an operator's tool",
      () => responses({ tools: [{ type: 'shell', environment: { type: 'local' } }] }, 'allowing'),
    ],
    [
      'a conversation sent back as it was answered',
      () =>
        responses({
          include: ['reasoning.encrypted_content'],
          input: [
            { role: 'user', content: [{ type: 'input_text', text: 'x' }] },
            { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'abc', status: null },
            {
              type: 'function_call',
              id: 'fc_1',
              call_id: 'c',
              name: 'f',
              arguments: '{}',
              status: 'completed',
            },
            { type: 'function_call_output', call_id: 'c', output: 'sunny' },
            {
              type: 'message',
              id: 'msg_1',
              status: 'completed',
              role: 'assistant',
              phase: null,
              content: [{ type: 'output_text', text: 'x', annotations: [], logprobs: [] }],
            },
          ],
          text: { format: { type: 'json_schema', name: 'n', schema: { properties: { file_id: {} } } } },
          tools: [{ type: 'web_search', search_context_size: 'low' }],
        }),
    ],
    [
      'a message of chat sent back as it was answered',
      () =>
        chat({
          messages: [
            {
              role: 'assistant',
              content: 'x',
              refusal: null,
              annotations: [],
              audio: null,
              function_call: null,
            },
            {
              role: 'assistant',
              tool_calls: [{ id: 'c', type: 'function', index: 0, function: { name: 'f', arguments: '{}' } }],
            },
            { role: 'tool', tool_call_id: 'c', content: 'x' },
            { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:', detail: 'low' } }] },
          ],
          response_format: {
            type: 'json_schema',
            json_schema: { name: 'n', schema: { file_id: 1 }, strict: true },
          },
          stream_options: { include_usage: true },
          logit_bias: { 50256: -100 },
          metadata: { id: 'mine' },
        }),
    ],
  ])('%s are served', async (_, call) => {
    expect(await call()).toBe('served');
    expect(provider.requests).toHaveLength(1);
  });

  it("the clients' ordinary calls are served", async () => {
    const client = router.forTeam('acme');
    await client.chat.completions.create({
      model: 'openai',
      messages: [{ role: 'user', content: 'x' }],
      temperature: 0,
      max_tokens: 5,
    });
    await client.embeddings.create({ model: 'openai', input: ['a', 'b'] });
    await client.responses.create({ model: 'openai', input: 'x', store: false });
    await client.moderations.create({ model: 'openai', input: [{ type: 'text', text: 'x' }] });
    await client.images.generate({ model: 'openai', prompt: 'x', size: '1024x1024' });
    const fetch = router.fetchFor('acme');
    const configuration = { baseURL: teamBaseUrl, fetch };
    const langChain = new ChatOpenAI({ model: 'openai', apiKey: 'x', configuration, maxRetries: 0 });
    await langChain.invoke([new HumanMessage('x')]);
    await new OpenAIEmbeddings({ model: 'openai', apiKey: 'x', configuration }).embedQuery('x');
    const compatible = createOpenAICompatible({ name: 'x', baseURL: teamBaseUrl, fetch });
    const inputSchema = jsonSchema<{ id: string }>({
      type: 'object',
      properties: { file_id: { type: 'string' } },
    });
    const weather = { inputSchema, execute: () => 'sunny' };
    await generateText({ model: compatible('openai'), prompt: 'x', tools: { weather }, maxRetries: 0 });
    await embed({ model: compatible.textEmbeddingModel('openai'), value: 'x', maxRetries: 0 });
    expect(provider.requests.length).toBe(9);
  });

  it('two teams with the same idempotency key send two', async () => {
    const headers = { 'idempotency-key': 'order-1' };
    const body = { model: 'openai', input: 'x' };
    for (const team of ['acme', 'globex', 'acme'])
      expect(await post('/embeddings', body, headers, team)).toBe('served');
    const keys = provider.requests.map((request) => request.headers['idempotency-key']);
    expect(keys[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(keys[1]).not.toBe(keys[0]);
    expect(keys[2]).toBe(keys[0]);
    await router.addModel('acme', {
      model_name: 'own',
      litellm_params: { model: 'm', api_key: 'sk-1', api_base: provider.url },
    });
    await post('/embeddings', { ...body, model: 'own' }, headers);
    expect(provider.requests.at(-1)?.headers['idempotency-key']).toBe('order-1');
  });
});

it.each([['model'], ['api_key'], ['litellm_params.x'], [''], ['a..b'], ['a b']])(
  'allow_fields cannot name %j',
  async (field) => {
    const litellm_params = { model: 'm', api_base: provider.url, allow_fields: [field] };
    await expect(router.addSharedModel({ model_name: 'x', litellm_params })).rejects.toMatchObject({
      code: 'invalid_request',
      param: 'litellm_params.allow_fields[0]',
    });
  },
);
