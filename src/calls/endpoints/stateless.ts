import type { Row } from './endpoint.ts';

/** The calls that a provider keeps nothing of. */
export const stateless: readonly Row[] = [
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
