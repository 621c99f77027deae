import type { Route } from '../providers/provider.ts';

/** One call of the OpenAI API. */
export interface Endpoint extends Route {
  /** The SDK's method, such as `chat.completions.create`. */
  id: string;
  method: 'GET' | 'POST' | 'DELETE';
  /** Where the call carries its model. `provider`: the body's model is the provider's own, and is left alone. */
  model: 'json' | 'json_optional' | 'form' | 'path' | 'none' | 'provider';
  /** Whether its objects live in the provider's account: never on a shared deployment. */
  stateful: boolean;
  /** Answered by the router itself. */
  local: boolean;
}

type Row = [id: string, route: `${Endpoint['method']} /${string}`, model: Endpoint['model'], query?: string];

const paging = 'limit after before order';

// What a provider keeps nothing of.
const stateless: readonly Row[] = [
  ['chat.completions.create', 'POST /chat/completions', 'json'],
  ['completions.create', 'POST /completions', 'json'],
  ['embeddings.create', 'POST /embeddings', 'json'],
  ['responses.create', 'POST /responses', 'json'],
  ['responses.compact', 'POST /responses/compact', 'json'],
  ['responses.inputTokens.count', 'POST /responses/input_tokens', 'json_optional'],
  ['moderations.create', 'POST /moderations', 'json_optional'],
  ['images.generate', 'POST /images/generations', 'json_optional'],
  ['images.edit', 'POST /images/edits', 'form'],
  ['images.createVariation', 'POST /images/variations', 'form'],
  ['audio.speech.create', 'POST /audio/speech', 'json'],
  ['audio.transcriptions.create', 'POST /audio/transcriptions', 'form'],
  ['audio.translations.create', 'POST /audio/translations', 'form'],
];

// What lives on in the provider's account: one team could read another's there.
const stateful: readonly Row[] = [
  ['chat.completions.list', 'GET /chat/completions', 'none', `${paging} metadata`],
  ['chat.completions.retrieve', 'GET /chat/completions/{completion_id}', 'none'],
  ['chat.completions.update', 'POST /chat/completions/{completion_id}', 'none'],
  ['chat.completions.delete', 'DELETE /chat/completions/{completion_id}', 'none'],
  ['chat.completions.messages.list', 'GET /chat/completions/{completion_id}/messages', 'none', paging],
  [
    'responses.retrieve',
    'GET /responses/{response_id}',
    'none',
    'include stream starting_after include_obfuscation',
  ],
  ['responses.delete', 'DELETE /responses/{response_id}', 'none'],
  ['responses.cancel', 'POST /responses/{response_id}/cancel', 'none'],
  ['responses.inputItems.list', 'GET /responses/{response_id}/input_items', 'none', `${paging} include`],
  ['conversations.create', 'POST /conversations', 'none'],
  ['conversations.retrieve', 'GET /conversations/{conversation_id}', 'none'],
  ['conversations.update', 'POST /conversations/{conversation_id}', 'none'],
  ['conversations.delete', 'DELETE /conversations/{conversation_id}', 'none'],
  ['conversations.items.create', 'POST /conversations/{conversation_id}/items', 'none', 'include'],
  ['conversations.items.list', 'GET /conversations/{conversation_id}/items', 'none', `${paging} include`],
  ['conversations.items.retrieve', 'GET /conversations/{conversation_id}/items/{item_id}', 'none', 'include'],
  ['conversations.items.delete', 'DELETE /conversations/{conversation_id}/items/{item_id}', 'none'],
  ['files.create', 'POST /files', 'none'],
  ['files.list', 'GET /files', 'none', `${paging} purpose`],
  ['files.retrieve', 'GET /files/{file_id}', 'none'],
  ['files.delete', 'DELETE /files/{file_id}', 'none'],
  ['files.content', 'GET /files/{file_id}/content', 'none'],
  ['uploads.create', 'POST /uploads', 'none'],
  ['uploads.parts.create', 'POST /uploads/{upload_id}/parts', 'none'],
  ['uploads.complete', 'POST /uploads/{upload_id}/complete', 'none'],
  ['uploads.cancel', 'POST /uploads/{upload_id}/cancel', 'none'],
  ['batches.create', 'POST /batches', 'none'],
  ['batches.list', 'GET /batches', 'none', paging],
  ['batches.retrieve', 'GET /batches/{batch_id}', 'none'],
  ['batches.cancel', 'POST /batches/{batch_id}/cancel', 'none'],
  ['fineTuning.jobs.create', 'POST /fine_tuning/jobs', 'provider'],
  ['fineTuning.jobs.list', 'GET /fine_tuning/jobs', 'none', `${paging} metadata`],
  ['fineTuning.jobs.retrieve', 'GET /fine_tuning/jobs/{job_id}', 'none'],
  ['fineTuning.jobs.cancel', 'POST /fine_tuning/jobs/{job_id}/cancel', 'none'],
  ['fineTuning.jobs.pause', 'POST /fine_tuning/jobs/{job_id}/pause', 'none'],
  ['fineTuning.jobs.resume', 'POST /fine_tuning/jobs/{job_id}/resume', 'none'],
  ['fineTuning.jobs.listEvents', 'GET /fine_tuning/jobs/{job_id}/events', 'none', paging],
  ['fineTuning.jobs.checkpoints.list', 'GET /fine_tuning/jobs/{job_id}/checkpoints', 'none', paging],
  ['vectorStores.create', 'POST /vector_stores', 'none'],
  ['vectorStores.list', 'GET /vector_stores', 'none', paging],
  ['vectorStores.retrieve', 'GET /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.update', 'POST /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.delete', 'DELETE /vector_stores/{vector_store_id}', 'none'],
  ['vectorStores.search', 'POST /vector_stores/{vector_store_id}/search', 'none'],
  ['vectorStores.files.create', 'POST /vector_stores/{vector_store_id}/files', 'none'],
  ['vectorStores.files.list', 'GET /vector_stores/{vector_store_id}/files', 'none', `${paging} filter`],
  ['vectorStores.files.retrieve', 'GET /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  ['vectorStores.files.update', 'POST /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  ['vectorStores.files.delete', 'DELETE /vector_stores/{vector_store_id}/files/{file_id}', 'none'],
  [
    'vectorStores.files.content',
    'GET /vector_stores/{vector_store_id}/files/{file_id}/content',
    'none',
    paging,
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
    `${paging} filter`,
  ],
];

const local: readonly Row[] = [
  ['models.list', 'GET /models', 'none'],
  ['models.retrieve', 'GET /models/{model}', 'path'],
];

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
  [id, route, model, query]: Row,
  kind: { stateful: boolean; local: boolean },
): Endpoint => {
  const [method, path] = route.split(' ') as [Endpoint['method'], string];
  const azure = underDeployment.has(id) ? 'deployment' : 'account';
  return { id, method, path, model, query: query?.split(' ') ?? [], azure, ...kind };
};

/** Every OpenAI call that the router takes. */
export const endpoints: readonly Endpoint[] = [
  ...stateless.map((row) => endpointOf(row, { stateful: false, local: false })),
  ...stateful.map((row) => endpointOf(row, { stateful: true, local: false })),
  ...local.map((row) => endpointOf(row, { stateful: false, local: true })),
];
