import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DocumentedRoute, documentedRoutes } from '../support/every-route.ts';
import { masterKey, outcome, send } from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

/** One account of the operator's, which two teams call: neither may leave anything there, or name what is there. */

const teams = ['acme', 'globex'] as const;
const refused = '400 stateful_on_shared';

let provider: RecordingProvider;
let router: TeamModelRouter;
let gateway: Gateway;
let routes: DocumentedRoute[];
const keys: Record<string, string> = {};

beforeAll(async () => {
  provider = await recordingProvider((_, response) =>
    sendJson(response, 200, { id: 'made-1', object: 'thing', output: [], choices: [] }),
  );
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  gateway = createGateway(router, { masterKey, openapi: true });
  routes = (await documentedRoutes(gateway)).filter(
    ({ path, permission }) => permission === 'calls' && path.startsWith('/v1/'),
  );
  await router.addSharedModel({
    model_name: 'shared',
    litellm_params: { model: 'm', api_key: 'sk-0123456789abcdef', api_base: provider.url },
  });
  for (const team of teams) {
    await router.createTeam({ team_id: team, models: ['shared'] });
    keys[team] = (await router.createKey(team)).key;
  }
});

beforeEach(() => {
  provider.requests.length = 0;
});

afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** What a provider keeps nothing of: all that a shared account may serve. */
const stateless = [
  'POST /v1/chat/completions',
  'POST /v1/completions',
  'POST /v1/embeddings',
  'POST /v1/responses',
  'POST /v1/responses/compact',
  'POST /v1/responses/input_tokens',
  'POST /v1/moderations',
  'POST /v1/images/generations',
  'POST /v1/images/edits',
  'POST /v1/images/variations',
  'POST /v1/audio/speech',
  'POST /v1/audio/transcriptions',
  'POST /v1/audio/translations',
];
const kinds = [
  'GET /v1/chat/completions/{completion_id}',
  'GET /v1/responses/{response_id}',
  'POST /v1/responses/{response_id}/cancel',
  'POST /v1/conversations',
  'POST /v1/conversations/{conversation_id}/items',
  'POST /v1/files',
  'GET /v1/files/{file_id}/content',
  'POST /v1/uploads',
  'POST /v1/batches',
  'POST /v1/batches/{batch_id}/cancel',
  'POST /v1/fine_tuning/jobs',
  'POST /v1/vector_stores',
  'POST /v1/vector_stores/{vector_store_id}/search',
];

describe('a call that an account would keep, or be asked for', () => {
  it('is every one but those that are known to keep nothing', async () => {
    const lines = routes.map(({ method, path }) => `${method} ${path}`);
    expect(lines).toEqual(expect.arrayContaining([...stateless, ...kinds]));
    for (const { method, path, form } of routes) {
      if (stateless.includes(`${method} ${path}`)) continue;
      const line = `${method} ${path.replace(/\{\w+\}/g, 'made-1')}`;
      for (const key of Object.values(keys)) {
        const named = { key, headers: { 'x-team-model': 'shared' } };
        expect(outcome(await send(gateway, line, named)), line).toBe(refused);
        expect(outcome(await send(gateway, `${line}?model=shared`, { key })), line).toBe(refused);
        // The only deployment there is, without being named.
        expect(outcome(await send(gateway, line, { key })), line).toBe(refused);
        if (method !== 'POST') continue;
        const body = { model: 'shared', input_file_id: 'made-1', training_file: 'made-1' };
        expect(outcome(await send(gateway, line, { ...named, body })), line).toBe(refused);
        if (form) {
          const fields = new FormData();
          fields.set('file', new File(['x'], 'x.jsonl'));
          const request = new Request(`http://gateway.test${line.slice(5)}`, {
            method,
            headers: { ...named.headers, authorization: `Bearer ${key}` },
            body: fields,
          });
          expect((await gateway.fetch(request)).status, line).toBe(400);
        }
      }
    }
    expect(provider.requests).toEqual([]);
  });
});

const item = (content: object) => ({ input: [{ role: 'user', content: [content] }] });
const message = (content: object) => ({ messages: [{ role: 'user', content: [content] }] });

/** Bodies that keep something in the account, or name what another team may have left there. */
const telling: [string, string, object][] = [
  ['a response that is not told not to be stored', '/responses', { store: undefined }],
  ['a response that is to be stored', '/responses', { store: true }],
  ['a response whose storing is left to chance', '/responses', { store: null }],
  ['previous_response_id', '/responses', { previous_response_id: 'resp_1' }],
  ['previous_response_id, compacted', '/responses/compact', { previous_response_id: 'resp_1' }],
  ['previous_response_id, counted', '/responses/input_tokens', { previous_response_id: 'resp_1' }],
  ['a conversation', '/responses', { conversation: 'conv_1' }],
  ['a conversation as an object', '/responses', { conversation: { id: 'conv_1' } }],
  ['a stored prompt', '/responses', { prompt: { id: 'pmpt_1', version: '2' } }],
  ['a response in the background', '/responses', { background: true }],
  ['a file', '/responses', item({ type: 'input_file', file_id: 'file-1' })],
  ['an image', '/responses', item({ type: 'input_image', file_id: 'file-1', detail: 'auto' })],
  ['an item by its id', '/responses', { input: [{ type: 'item_reference', id: 'msg_1' }] }],
  ['an item by its id alone', '/responses', { input: [{ id: 'msg_1' }] }],
  ['an item whose type is null', '/responses', { input: [{ id: 'msg_1', type: null }] }],
  ['an item by a list of ids', '/responses', { input: [{ id: ['rs_1'] }] }],
  ['an item by a number', '/responses', { input: [{ id: 1 }] }],
  ['an item by its id in a list of lists', '/responses', { input: [[{ id: 'rs_1' }]] }],
  ['an item by its id and role', '/responses', { input: [{ id: 'msg_1', role: 'assistant' }] }],
  ['an item by its id and content without a role', '/responses', { input: [{ id: 'rs_1', content: 'x' }] }],
  [
    'an item without a type by its id and another substance',
    '/responses',
    { input: [{ id: 'fc_1', arguments: '{}' }] },
  ],
  ['an item by its id and an input', '/responses', { input: [{ id: 'rs_1', role: 'user', input: 'x' }] }],
  ['an item by the id of a call', '/responses', { input: [{ call_id: 'call_1' }] }],
  [
    'an item by its id with empty content',
    '/responses',
    { input: [{ type: 'message', id: 'msg_1', role: 'user', content: [{}, [], '', null] }] },
  ],
  [
    'an item by its id with content that is no text',
    '/responses',
    { input: [{ type: 'message', id: 'msg_1', role: 'user', content: true }] },
  ],
  [
    'a call by its id with what another call needs',
    '/responses',
    { input: [{ type: 'shell_call', id: 'sh_1', arguments: '{}' }] },
  ],
  ['an item by its id for chat', '/chat/completions', { input: [{ id: 'rs_1' }] }],
  ['a message by its id', '/chat/completions', { messages: [{ id: 'msg_1', role: 'user', content: 'x' }] }],
  [
    'a call of a tool by its id',
    '/chat/completions',
    { messages: [{ role: 'assistant', tool_calls: [{ id: 'c' }] }] },
  ],
  ['a part of content by its id', '/responses', item({ type: 'input_text', text: 'x', id: 'part_1' })],
  [
    'a file in the output of a tool',
    '/responses',
    {
      input: [{ type: 'function_call_output', call_id: 'c', output: [{ type: 'input_file', file_id: 'f' }] }],
    },
  ],
  [
    'a screenshot of a file',
    '/responses',
    {
      input: [
        { type: 'computer_call_output', call_id: 'c', output: { type: 'computer_screenshot', file_id: 'f' } },
      ],
    },
  ],
  [
    'an earlier response below',
    '/responses',
    { input: [{ role: 'user', content: 'x', previous_response_id: 'r' }] },
  ],
  ['an earlier response in extra_body', '/chat/completions', { extra_body: { previous_response_id: 'r' } }],
  [
    'a container in a citation',
    '/responses',
    item({ type: 'output_text', text: 'x', annotations: [{ container_id: 'c' }] }),
  ],
  [
    'an image of an earlier response',
    '/responses',
    { input: [{ type: 'image_generation_call', id: 'ig_1', status: 'completed', result: null }] },
  ],
  ['a vector store', '/responses', { tools: [{ type: 'file_search', vector_store_ids: ['vs_1'] }] }],
  ['a container', '/responses', { tools: [{ type: 'code_interpreter', container: 'cntr_1' }] }],
  [
    'files of a container',
    '/responses',
    { tools: [{ type: 'code_interpreter', container: { type: 'auto', file_ids: ['file-1'] } }] },
  ],
  [
    'a mask of an image',
    '/responses',
    { tools: [{ type: 'image_generation', input_image_mask: { file_id: 'file-1' } }] },
  ],
  ['a completion that is to be stored', '/chat/completions', { store: true }],
  ['a file in a message', '/chat/completions', message({ type: 'file', file: { file_id: 'file-1' } })],
  [
    'an answer that was spoken before',
    '/chat/completions',
    { messages: [{ role: 'assistant', audio: { id: 'audio_1' } }] },
  ],
];

describe.each(teams)('for the team %s', (team) => {
  const post = (path: string, body: string) =>
    send(gateway, `POST /v1${path}`, {
      key: keys[team],
      body,
      headers: { 'content-type': 'application/json' },
    });
  const plain = { model: 'shared', store: false, input: 'x', messages: [] };

  it.each(telling)('%s is refused', async (_, path, more) => {
    expect(outcome(await post(path, JSON.stringify({ ...plain, ...more })))).toBe(refused);
    // A key may be written otherwise, and means the same.
    const escaped = JSON.stringify({ ...plain, ...more })
      .replace(/_id/g, '\\u005fid')
      .replace('"store"', '"st\\u006fre"')
      .replace('"conv', '"c\\u006fnv');
    expect(outcome(await post(path, escaped))).toBe(refused);
    expect(provider.requests).toEqual([]);
  });

  it.each<[string, string, object]>([
    ['a response', '/responses', {}],
    [
      'one that goes on by itself',
      '/responses',
      {
        input: [
          { type: 'message', id: 'msg_1', role: 'assistant', content: [{ type: 'output_text', text: 'x' }] },
          { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'x' },
        ],
      },
    ],
    ['a message without a type', '/responses', { input: [{ id: 'msg_1', role: 'user', content: 'x' }] }],
    ['a message without a type and id', '/responses', { input: [{ role: 'user', content: '' }] }],
    ['an id of the caller in metadata', '/chat/completions', { metadata: { id: 'mine' } }],
    [
      'a call of a function',
      '/chat/completions',
      {
        messages: [
          {
            role: 'assistant',
            tool_calls: [
              { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"id":"x"}' } },
            ],
          },
        ],
      },
    ],
    [
      'a function that takes an id',
      '/chat/completions',
      {
        tools: [
          {
            type: 'function',
            function: {
              name: 'f',
              parameters: { type: 'object', properties: { id: { type: 'string' }, file_name: {} } },
            },
          },
        ],
      },
    ],
    ['nothing of it', '/responses', { previous_response_id: null, conversation: null, background: false }],
  ])('%s is served', async (_, path, more) => {
    expect(outcome(await post(path, JSON.stringify({ ...plain, ...more })))).toBe('200');
    expect(provider.requests).toHaveLength(1);
  });
});
