import { created, listed, type Row } from './endpoint.ts';

/** Stored completions, responses and conversations. */
export const storedAnswers: readonly Row[] = [
  ['chat.completions.list', 'GET /chat/completions', 'none', listed('metadata model')],
  ['chat.completions.retrieve', 'GET /chat/completions/{completion_id}', 'none'],
  ['chat.completions.update', 'POST /chat/completions/{completion_id}', 'none'],
  ['chat.completions.delete', 'DELETE /chat/completions/{completion_id}', 'none'],
  ['chat.completions.messages.list', 'GET /chat/completions/{completion_id}/messages', 'none', listed()],
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
  ['responses.inputItems.list', 'GET /responses/{response_id}/input_items', 'none', listed('include beta')],
  ['conversations.create', 'POST /conversations', 'none', created],
  ['conversations.retrieve', 'GET /conversations/{conversation_id}', 'none'],
  ['conversations.update', 'POST /conversations/{conversation_id}', 'none'],
  ['conversations.delete', 'DELETE /conversations/{conversation_id}', 'none'],
  ['conversations.items.create', 'POST /conversations/{conversation_id}/items', 'none', { query: 'include' }],
  ['conversations.items.list', 'GET /conversations/{conversation_id}/items', 'none', listed('include')],
  [
    'conversations.items.retrieve',
    'GET /conversations/{conversation_id}/items/{item_id}',
    'none',
    { query: 'include' },
  ],
  ['conversations.items.delete', 'DELETE /conversations/{conversation_id}/items/{item_id}', 'none'],
];
