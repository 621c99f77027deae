import type { Route } from '../../providers/provider.ts';

/** The APIs whose streams differ in their events, and in the one that tells an error. */
export type EventApi = 'chat' | 'completion' | 'response' | 'image' | 'speech' | 'transcript';

/** One call of the OpenAI API. */
export interface Endpoint extends Route {
  /** The SDK's method, such as `chat.completions.create`. */
  id: string;
  method: 'GET' | 'POST' | 'DELETE';
  /** Where the call carries its model. `provider`: the body's model is the provider's own, and is left alone. */
  model: 'json' | 'json_optional' | 'form' | 'path' | 'none' | 'provider';
  /** Whether the API takes a call that names no model; then one that names none is sent as it came. */
  modelOptional: boolean;
  /** Whether its objects live in the provider's account: never on a shared deployment. */
  stateful: boolean;
  /** Answered by the router itself. */
  local: boolean;
  /** Whose events its answer may consist of; `undefined`: it never is an event stream. */
  streams: EventApi | undefined;
  /** What its answer is. `bytes` and `text` are content, which nobody judges; `text` may also be JSON. */
  answer: 'json' | 'bytes' | 'text';
  /** Where an event carries what was used; a whole answer carries it in `usage`. `undefined`: it says nothing of it. */
  usage: 'usage' | 'response.usage' | undefined;
  /** Where the answer names objects that now live in the provider's account; in an event under `response`, if it has one. */
  createsIds: readonly string[];
}

interface Traits {
  query?: string;
  streams?: EventApi;
  answer?: 'bytes' | 'text';
  usage?: Endpoint['usage'];
  createsIds?: string;
}

type Row = [id: string, route: `${Endpoint['method']} /${string}`, model: Endpoint['model'], traits?: Traits];

const paging = 'limit after before order';

// What a provider keeps nothing of.
const stateless: readonly Row[] = [
  [
    'chat.completions.create',
    'POST /chat/completions',
    'json',
    { streams: 'chat', usage: 'usage', createsIds: 'id' },
  ],
  ['completions.create', 'POST /completions', 'json', { streams: 'completion', usage: 'usage' }],
  ['embeddings.create', 'POST /embeddings', 'json', { usage: 'usage' }],
  [
    'responses.create',
    'POST /responses',
    'json',
    { query: 'beta', streams: 'response', usage: 'response.usage', createsIds: 'id conversation' },
  ],
  [
    'responses.compact',
    'POST /responses/compact',
    'json',
    { query: 'beta', usage: 'usage', createsIds: 'id' },
  ],
  ['responses.inputTokens.count', 'POST /responses/input_tokens', 'json_optional', { query: 'beta' }],
  ['moderations.create', 'POST /moderations', 'json_optional'],
  ['images.generate', 'POST /images/generations', 'json_optional', { streams: 'image', usage: 'usage' }],
  ['images.edit', 'POST /images/edits', 'form', { streams: 'image', usage: 'usage' }],
  ['images.createVariation', 'POST /images/variations', 'form'],
  [
    'audio.speech.create',
    'POST /audio/speech',
    'json',
    { streams: 'speech', answer: 'bytes', usage: 'usage' },
  ],
  [
    'audio.transcriptions.create',
    'POST /audio/transcriptions',
    'form',
    { streams: 'transcript', answer: 'text', usage: 'usage' },
  ],
  ['audio.translations.create', 'POST /audio/translations', 'form', { answer: 'text' }],
];

// What lives on in the provider's account: one team could read another's there.
const stateful: readonly Row[] = [
  ['chat.completions.list', 'GET /chat/completions', 'none', { query: `${paging} metadata model` }],
  ['chat.completions.retrieve', 'GET /chat/completions/{completion_id}', 'none'],
  ['chat.completions.update', 'POST /chat/completions/{completion_id}', 'none'],
  ['chat.completions.delete', 'DELETE /chat/completions/{completion_id}', 'none'],
  [
    'chat.completions.messages.list',
    'GET /chat/completions/{completion_id}/messages',
    'none',
    { query: paging },
  ],
  [
    'responses.retrieve',
    'GET /responses/{response_id}',
    'none',
    {
      query: 'include stream starting_after include_obfuscation beta',
      streams: 'response',
      usage: 'response.usage',
    },
  ],
  ['responses.delete', 'DELETE /responses/{response_id}', 'none', { query: 'beta' }],
  ['responses.cancel', 'POST /responses/{response_id}/cancel', 'none', { query: 'beta' }],
  [
    'responses.inputItems.list',
    'GET /responses/{response_id}/input_items',
    'none',
    { query: `${paging} include beta` },
  ],
  ['conversations.create', 'POST /conversations', 'none', { createsIds: 'id' }],
  ['conversations.retrieve', 'GET /conversations/{conversation_id}', 'none'],
  ['conversations.update', 'POST /conversations/{conversation_id}', 'none'],
  ['conversations.delete', 'DELETE /conversations/{conversation_id}', 'none'],
  ['conversations.items.create', 'POST /conversations/{conversation_id}/items', 'none', { query: 'include' }],
  [
    'conversations.items.list',
    'GET /conversations/{conversation_id}/items',
    'none',
    { query: `${paging} include` },
  ],
  [
    'conversations.items.retrieve',
    'GET /conversations/{conversation_id}/items/{item_id}',
    'none',
    { query: 'include' },
  ],
  ['conversations.items.delete', 'DELETE /conversations/{conversation_id}/items/{item_id}', 'none'],
  ['files.create', 'POST /files', 'none', { createsIds: 'id' }],
  ['files.list', 'GET /files', 'none', { query: `${paging} purpose` }],
  ['files.retrieve', 'GET /files/{file_id}', 'none'],
  ['files.delete', 'DELETE /files/{file_id}', 'none'],
  ['files.content', 'GET /files/{file_id}/content', 'none', { answer: 'bytes' }],
  ['uploads.create', 'POST /uploads', 'none', { createsIds: 'id' }],
  ['uploads.parts.create', 'POST /uploads/{upload_id}/parts', 'none'],
  ['uploads.complete', 'POST /uploads/{upload_id}/complete', 'none', { createsIds: 'id file' }],
  ['uploads.cancel', 'POST /uploads/{upload_id}/cancel', 'none'],
  ['batches.create', 'POST /batches', 'none', { createsIds: 'id' }],
  ['batches.list', 'GET /batches', 'none', { query: paging }],
  ['batches.retrieve', 'GET /batches/{batch_id}', 'none', { createsIds: 'output_file_id error_file_id' }],
  ['batches.cancel', 'POST /batches/{batch_id}/cancel', 'none'],
  ['fineTuning.jobs.create', 'POST /fine_tuning/jobs', 'provider', { createsIds: 'id' }],
  ['fineTuning.jobs.list', 'GET /fine_tuning/jobs', 'none', { query: `${paging} metadata` }],
  ['fineTuning.jobs.retrieve', 'GET /fine_tuning/jobs/{job_id}', 'none', { createsIds: 'result_files' }],
  ['fineTuning.jobs.cancel', 'POST /fine_tuning/jobs/{job_id}/cancel', 'none'],
  ['fineTuning.jobs.pause', 'POST /fine_tuning/jobs/{job_id}/pause', 'none'],
  ['fineTuning.jobs.resume', 'POST /fine_tuning/jobs/{job_id}/resume', 'none'],
  ['fineTuning.jobs.listEvents', 'GET /fine_tuning/jobs/{job_id}/events', 'none', { query: paging }],
  [
    'fineTuning.jobs.checkpoints.list',
    'GET /fine_tuning/jobs/{job_id}/checkpoints',
    'none',
    { query: paging },
  ],
  ['vectorStores.create', 'POST /vector_stores', 'none', { createsIds: 'id' }],
  ['vectorStores.list', 'GET /vector_stores', 'none', { query: paging }],
  ['vectorStores.retrieve', 'GET /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.update', 'POST /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.delete', 'DELETE /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.search', 'POST /vector_stores/{vector_store_id}/search', 'none'],
  ['vectorStores.files.create', 'POST /vector_stores/{vector_store_id}/files', 'none'],
  [
    'vectorStores.files.list',
    'GET /vector_stores/{vector_store_id}/files',
    'none',
    { query: `${paging} filter` },
  ],
  ['vectorStores.files.retrieve', 'GET /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  ['vectorStores.files.update', 'POST /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  ['vectorStores.files.delete', 'DELETE /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  [
    'vectorStores.files.content',
    'GET /vector_stores/{vector_store_id}/files/{file_id}/content',
    'none',
    { query: paging },
  ],
  ['vectorStores.fileBatches.create', 'POST /vector_stores/{vector_store_id}/file_batches', 'none'],
  [
    'vectorStores.fileBatches.retrieve',
    'GET /vector_stores/{vector_store_id}/file_batches/{batch_id}',
    'none',
  ],
  [
    'vectorStores.fileBatches.cancel',
    'POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel',
    'none',
  ],
  [
    'vectorStores.fileBatches.listFiles',
    'GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files',
    'none',
    { query: `${paging} filter` },
  ],
];

const local: readonly Row[] = [
  ['models.list', 'GET /models', 'none'],
  ['models.retrieve', 'GET /models/{model}', 'path'],
];

/** The calls whose model may be left out, by OpenAI's specification. */
const optionalModel = new Set([
  'responses.inputTokens.count',
  'moderations.create',
  'images.generate',
  'images.edit',
  'images.createVariation',
]);

/** The calls that Azure serves under `/openai/deployments/{deployment}`; the others stand under the account. */
const underDeployment = new Set([
  'chat.completions.create',
  'completions.create',
  'embeddings.create',
  'images.generate',
  'images.edit',
  'audio.speech.create',
  'audio.transcriptions.create',
  'audio.translations.create',
]);

const endpointOf = (
  [id, route, model, traits = {}]: Row,
  kind: { stateful: boolean; local: boolean },
): Endpoint => {
  const [method, path] = route.split(' ') as [Endpoint['method'], string];
  const azure = underDeployment.has(id) ? 'deployment' : 'account';
  const { query, streams, answer = 'json', usage, createsIds } = traits;
  const lists = { query: query?.split(' ') ?? [], createsIds: createsIds?.split(' ') ?? [] };
  const modelOptional = optionalModel.has(id);
  return { id, method, path, model, modelOptional, azure, streams, answer, usage, ...lists, ...kind };
};

/** Every OpenAI call that the router takes. */
export const endpoints: readonly Endpoint[] = [
  ...stateless.map((row) => endpointOf(row, { stateful: false, local: false })),
  ...stateful.map((row) => endpointOf(row, { stateful: true, local: false })),
  ...local.map((row) => endpointOf(row, { stateful: false, local: true })),
];
