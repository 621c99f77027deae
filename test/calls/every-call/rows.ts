import { type OpenAI, toFile } from 'openai';

/** Objects that exist at the mock, made anew for each call. */
export interface Ids {
  file: string;
  batch: string;
  job: string;
}

export interface Row {
  /** The SDK's method. */
  id: string;
  call: (client: OpenAI, model: string, ids: Ids) => PromiseLike<unknown>;
  /** What has to arrive of the parameters in the path. */
  path?: (ids: Ids) => Record<string, string>;
  query?: Record<string, string>;
  /** The JSON that has to arrive, without the model. */
  json?: Record<string, unknown> | ((ids: Ids) => Record<string, unknown>);
  /** The fields that have to arrive, without the model: a text, or a file's name. */
  form?: [string, string][];
  /** Answered by the mock; else by a server that answers in the recorded shape. */
  mock?: true;
  /** An event stream is the answer. */
  stream?: true;
}

const file = (name: string) => toFile(Buffer.from('some bytes'), name);
const metadata = { topic: 'test' };
const message = { role: 'user' as const, content: 'hello' };
const resp = { path: () => ({ response_id: 'resp_1' }) };
const conv = { path: () => ({ conversation_id: 'conv_1' }) };
const completion = { path: () => ({ completion_id: 'chatcmpl-1' }) };
const upload = { path: () => ({ upload_id: 'upload_1' }) };
const store = { path: () => ({ vector_store_id: 'vs_1' }) };
const storeFile = { path: () => ({ vector_store_id: 'vs_1', file_id: 'file-1' }) };
const storeBatch = { path: () => ({ vector_store_id: 'vs_1', batch_id: 'vsfb_1' }) };
const job = { path: (ids: Ids) => ({ job_id: ids.job }) };
const page = { limit: 2, after: 'one/two' };
const pageQuery = { limit: '2', after: 'one/two' };
const vs = { vector_store_id: 'vs_1' };

/** One call, or more, for each row of the endpoint table. */
export const rows: readonly Row[] = [
  {
    id: 'chat.completions.create',
    call: (c, model) => c.chat.completions.create({ model, messages: [message], store: true }),
    json: { messages: [message], store: true },
    mock: true,
  },
  {
    id: 'chat.completions.create',
    call: (c, model) => c.chat.completions.create({ model, messages: [message], stream: true }),
    json: { messages: [message], stream: true },
    mock: true,
    stream: true,
  },
  {
    id: 'completions.create',
    call: (c, model) => c.completions.create({ model, prompt: 'once' }),
    json: { prompt: 'once' },
  },
  {
    id: 'completions.create',
    call: (c, model) => c.completions.create({ model, prompt: 'once', stream: true }),
    json: { prompt: 'once', stream: true },
    stream: true,
  },
  {
    id: 'embeddings.create',
    call: (c, model) => c.embeddings.create({ model, input: 'hello', encoding_format: 'float' }),
    json: { input: 'hello', encoding_format: 'float' },
    mock: true,
  },
  {
    id: 'responses.create',
    call: (c, model) => c.responses.create({ model, input: 'hello' }),
    json: { input: 'hello' },
    mock: true,
  },
  {
    id: 'responses.create',
    call: (c, model) => c.responses.create({ model, input: 'hello', stream: true }),
    json: { input: 'hello', stream: true },
    mock: true,
    stream: true,
  },
  {
    id: 'responses.compact',
    call: (c, model) => c.responses.compact({ model: model as never, input: 'hello' }),
    json: { input: 'hello' },
  },
  {
    id: 'responses.inputTokens.count',
    call: (c, model) => c.responses.inputTokens.count({ model, input: 'hello' }),
    json: { input: 'hello' },
  },
  {
    id: 'moderations.create',
    call: (c, model) => c.moderations.create({ model, input: 'hello' }),
    json: { input: 'hello' },
    mock: true,
  },
  {
    id: 'images.generate',
    call: (c, model) => c.images.generate({ model, prompt: 'a cat' }),
    json: { prompt: 'a cat' },
    mock: true,
  },
  {
    id: 'images.generate',
    call: (c, model) => c.images.generate({ model, prompt: 'a cat', stream: true }),
    json: { prompt: 'a cat', stream: true },
    stream: true,
  },
  {
    id: 'images.edit',
    call: async (c, model) => c.images.edit({ image: await file('a.png'), prompt: 'a hat', model }),
    form: [
      ['image', 'a.png'],
      ['prompt', 'a hat'],
    ],
    mock: true,
  },
  {
    id: 'images.edit',
    call: async (c, model) =>
      c.images.edit({ model, image: await file('a.png'), prompt: 'a hat', stream: true }),
    form: [
      ['image', 'a.png'],
      ['prompt', 'a hat'],
      ['stream', 'true'],
    ],
    stream: true,
  },
  {
    id: 'images.createVariation',
    call: async (c, model) => c.images.createVariation({ image: await file('a.png'), model, n: 2 }),
    form: [
      ['image', 'a.png'],
      ['n', '2'],
    ],
  },
  {
    id: 'audio.speech.create',
    call: (c, model) => c.audio.speech.create({ model, input: 'hello', voice: 'alloy' }),
    json: { input: 'hello', voice: 'alloy' },
    mock: true,
  },
  {
    id: 'audio.speech.create',
    call: (c, model) =>
      c.audio.speech.create({ model, input: 'hello', voice: 'alloy', stream_format: 'sse' }),
    json: { input: 'hello', voice: 'alloy', stream_format: 'sse' },
    stream: true,
  },
  {
    id: 'audio.transcriptions.create',
    call: async (c, model) =>
      c.audio.transcriptions.create({ file: await file('a.wav'), model, language: 'en' }),
    form: [
      ['file', 'a.wav'],
      ['language', 'en'],
    ],
    mock: true,
  },
  {
    id: 'audio.transcriptions.create',
    call: async (c, model) =>
      c.audio.transcriptions.create({ file: await file('a.wav'), model, stream: true }),
    form: [
      ['file', 'a.wav'],
      ['stream', 'true'],
    ],
    stream: true,
  },
  {
    id: 'audio.translations.create',
    call: async (c, model) => c.audio.translations.create({ file: await file('a.wav'), model }),
    form: [['file', 'a.wav']],
    mock: true,
  },
  {
    id: 'chat.completions.list',
    call: (c) => c.chat.completions.list({ ...page, metadata }),
    query: { ...pageQuery, 'metadata[topic]': 'test' },
  },
  { id: 'chat.completions.retrieve', call: (c) => c.chat.completions.retrieve('chatcmpl-1'), ...completion },
  {
    id: 'chat.completions.update',
    call: (c) => c.chat.completions.update('chatcmpl-1', { metadata }),
    json: { metadata },
    ...completion,
  },
  { id: 'chat.completions.delete', call: (c) => c.chat.completions.delete('chatcmpl-1'), ...completion },
  {
    id: 'chat.completions.messages.list',
    call: (c) => c.chat.completions.messages.list('chatcmpl-1', page),
    query: pageQuery,
    ...completion,
  },
  {
    id: 'responses.retrieve',
    call: (c) => c.responses.retrieve('resp_1', { include: ['file_search_call.results'] }),
    query: { 'include[]': 'file_search_call.results' },
    ...resp,
  },
  {
    id: 'responses.retrieve',
    call: (c) => c.responses.retrieve('resp_1', { stream: true, starting_after: 3 }),
    query: { stream: 'true', starting_after: '3' },
    stream: true,
    ...resp,
  },
  { id: 'responses.delete', call: (c) => c.responses.delete('resp_1'), ...resp },
  { id: 'responses.cancel', call: (c) => c.responses.cancel('resp_1'), ...resp },
  {
    id: 'responses.inputItems.list',
    call: (c) => c.responses.inputItems.list('resp_1', page),
    query: pageQuery,
    ...resp,
  },
  { id: 'conversations.create', call: (c) => c.conversations.create({ metadata }), json: { metadata } },
  { id: 'conversations.retrieve', call: (c) => c.conversations.retrieve('conv_1'), ...conv },
  {
    id: 'conversations.update',
    call: (c) => c.conversations.update('conv_1', { metadata }),
    json: { metadata },
    ...conv,
  },
  { id: 'conversations.delete', call: (c) => c.conversations.delete('conv_1'), ...conv },
  {
    id: 'conversations.items.create',
    call: (c) => c.conversations.items.create('conv_1', { items: [message] }),
    json: { items: [message] },
    ...conv,
  },
  {
    id: 'conversations.items.list',
    call: (c) => c.conversations.items.list('conv_1', page),
    query: pageQuery,
    ...conv,
  },
  {
    id: 'conversations.items.retrieve',
    call: (c) => c.conversations.items.retrieve('msg_1', { conversation_id: 'conv_1' }),
    path: () => ({ conversation_id: 'conv_1', item_id: 'msg_1' }),
  },
  {
    id: 'conversations.items.delete',
    call: (c) => c.conversations.items.delete('msg_1', { conversation_id: 'conv_1' }),
    path: () => ({ conversation_id: 'conv_1', item_id: 'msg_1' }),
  },
  {
    id: 'files.create',
    call: async (c) => c.files.create({ file: await file('a.jsonl'), purpose: 'batch' }),
    form: [
      ['file', 'a.jsonl'],
      ['purpose', 'batch'],
    ],
    mock: true,
  },
  {
    id: 'files.list',
    call: (c) => c.files.list({ ...page, purpose: 'batch' }),
    query: { ...pageQuery, purpose: 'batch' },
    mock: true,
  },
  {
    id: 'files.retrieve',
    call: (c, _, { file }) => c.files.retrieve(file),
    path: ({ file }) => ({ file_id: file }),
    mock: true,
  },
  {
    id: 'files.content',
    call: (c, _, { file }) => c.files.content(file),
    path: ({ file }) => ({ file_id: file }),
    mock: true,
  },
  {
    id: 'files.delete',
    call: (c, _, { file }) => c.files.delete(file),
    path: ({ file }) => ({ file_id: file }),
    mock: true,
  },
  {
    id: 'uploads.create',
    call: (c) =>
      c.uploads.create({ bytes: 10, filename: 'a.jsonl', mime_type: 'application/jsonl', purpose: 'batch' }),
    json: { bytes: 10, filename: 'a.jsonl', mime_type: 'application/jsonl', purpose: 'batch' },
  },
  {
    id: 'uploads.parts.create',
    call: async (c) => c.uploads.parts.create('upload_1', { data: await file('part') }),
    form: [['data', 'part']],
    ...upload,
  },
  {
    id: 'uploads.complete',
    call: (c) => c.uploads.complete('upload_1', { part_ids: ['part_1'] }),
    json: { part_ids: ['part_1'] },
    ...upload,
  },
  { id: 'uploads.cancel', call: (c) => c.uploads.cancel('upload_1'), ...upload },
  {
    id: 'batches.create',
    call: (c, _, { file }) =>
      c.batches.create({ input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h' }),
    json: ({ file }) => ({ input_file_id: file, endpoint: '/v1/chat/completions', completion_window: '24h' }),
    mock: true,
  },
  { id: 'batches.list', call: (c) => c.batches.list({ limit: 2 }), query: { limit: '2' }, mock: true },
  {
    id: 'batches.retrieve',
    call: (c, _, { batch }) => c.batches.retrieve(batch),
    path: ({ batch }) => ({ batch_id: batch }),
    mock: true,
  },
  {
    id: 'batches.cancel',
    call: (c, _, { batch }) => c.batches.cancel(batch),
    path: ({ batch }) => ({ batch_id: batch }),
    mock: true,
  },
  {
    id: 'fineTuning.jobs.create',
    call: (c, _, { file }) => c.fineTuning.jobs.create({ model: 'gpt-4o-mini', training_file: file }),
    // The provider's own base model, not one of the team's.
    json: ({ file }) => ({ model: 'gpt-4o-mini', training_file: file }),
    mock: true,
  },
  {
    id: 'fineTuning.jobs.list',
    call: (c) => c.fineTuning.jobs.list({ limit: 2 }),
    query: { limit: '2' },
    mock: true,
  },
  {
    id: 'fineTuning.jobs.retrieve',
    call: (c, _, ids) => c.fineTuning.jobs.retrieve(ids.job),
    mock: true,
    ...job,
  },
  {
    id: 'fineTuning.jobs.cancel',
    call: (c, _, ids) => c.fineTuning.jobs.cancel(ids.job),
    mock: true,
    ...job,
  },
  { id: 'fineTuning.jobs.pause', call: (c, _, ids) => c.fineTuning.jobs.pause(ids.job), ...job },
  { id: 'fineTuning.jobs.resume', call: (c, _, ids) => c.fineTuning.jobs.resume(ids.job), ...job },
  {
    id: 'fineTuning.jobs.listEvents',
    call: (c, _, ids) => c.fineTuning.jobs.listEvents(ids.job, { limit: 2 }),
    query: { limit: '2' },
    mock: true,
    ...job,
  },
  {
    id: 'fineTuning.jobs.checkpoints.list',
    call: (c, _, ids) => c.fineTuning.jobs.checkpoints.list(ids.job, page),
    query: pageQuery,
    ...job,
  },
  { id: 'vectorStores.create', call: (c) => c.vectorStores.create({ name: 'kb' }), json: { name: 'kb' } },
  { id: 'vectorStores.list', call: (c) => c.vectorStores.list(page), query: pageQuery },
  { id: 'vectorStores.retrieve', call: (c) => c.vectorStores.retrieve('vs_1'), ...store },
  {
    id: 'vectorStores.update',
    call: (c) => c.vectorStores.update('vs_1', { name: 'new' }),
    json: { name: 'new' },
    ...store,
  },
  { id: 'vectorStores.delete', call: (c) => c.vectorStores.delete('vs_1'), ...store },
  {
    id: 'vectorStores.search',
    call: (c) => c.vectorStores.search('vs_1', { query: 'q' }),
    json: { query: 'q' },
    ...store,
  },
  {
    id: 'vectorStores.files.create',
    call: (c) => c.vectorStores.files.create('vs_1', { file_id: 'file-1' }),
    json: { file_id: 'file-1' },
    ...store,
  },
  {
    id: 'vectorStores.files.list',
    call: (c) => c.vectorStores.files.list('vs_1', { ...page, filter: 'failed' }),
    query: { ...pageQuery, filter: 'failed' },
    ...store,
  },
  {
    id: 'vectorStores.files.retrieve',
    call: (c) => c.vectorStores.files.retrieve('file-1', vs),
    ...storeFile,
  },
  {
    id: 'vectorStores.files.update',
    call: (c) => c.vectorStores.files.update('file-1', { ...vs, attributes: { a: 'b' } }),
    json: { attributes: { a: 'b' } },
    ...storeFile,
  },
  { id: 'vectorStores.files.delete', call: (c) => c.vectorStores.files.delete('file-1', vs), ...storeFile },
  { id: 'vectorStores.files.content', call: (c) => c.vectorStores.files.content('file-1', vs), ...storeFile },
  {
    id: 'vectorStores.fileBatches.create',
    call: (c) => c.vectorStores.fileBatches.create('vs_1', { file_ids: ['file-1'] }),
    json: { file_ids: ['file-1'] },
    ...store,
  },
  {
    id: 'vectorStores.fileBatches.retrieve',
    call: (c) => c.vectorStores.fileBatches.retrieve('vsfb_1', vs),
    ...storeBatch,
  },
  {
    id: 'vectorStores.fileBatches.cancel',
    call: (c) => c.vectorStores.fileBatches.cancel('vsfb_1', vs),
    ...storeBatch,
  },
  {
    id: 'vectorStores.fileBatches.listFiles',
    call: (c) => c.vectorStores.fileBatches.listFiles('vsfb_1', { ...vs, limit: 2 }),
    query: { limit: '2' },
    ...storeBatch,
  },
];
