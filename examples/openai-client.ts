/**
 * Any OpenAI client works with the gateway: only its base URL and its key change.
 *
 * Needs `"type": "module"` in your package.json, and:
 *
 *     npm install openai && npm install --save-dev tsx
 *     GATEWAY=http://127.0.0.1:4000 TEAM_KEY=sk-... npx tsx openai-client.ts
 */
import OpenAI from 'openai';

const { GATEWAY = 'http://127.0.0.1:4000', TEAM_KEY } = process.env;
const openai = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: TEAM_KEY });

for await (const { id } of openai.models.list()) console.log('model:', id);

const stream = await openai.chat.completions.create({
  model: 'my-team-model',
  messages: [{ role: 'user', content: "What's the weather like in Boston today?" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
process.stdout.write('\n');
