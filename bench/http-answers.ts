/** What the provider of bench/http answers with. */

export const answer = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'gpt-4o',
    choices: [{ index: 0, message: { role: 'assistant', content: 'x'.repeat(355) }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 10, completion_tokens: 80, total_tokens: 90 },
  }),
);

const event = (delta: object, finish: string | null) =>
  `data: ${JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model: 'gpt-4o',
    choices: [{ index: 0, delta, finish_reason: finish }],
  })}\n\n`;

export const chunks = Array.from({ length: 100 }, (_, index) =>
  index === 99 ? event({}, 'stop') : event({ content: ` word ${index}` }, null),
);

export const done = 'data: [DONE]\n\n';
