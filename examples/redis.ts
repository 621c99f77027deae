/**
 * Two nodes on one Redis: a change at one takes effect at the other. In an application each node is a process. Here they are two
 * routers with a connection each. The script checks everything that it prints.
 *
 * Needs `"type": "module"` in your package.json, and:
 *
 *     npm install team-model-router openai redis && npm install --save-dev tsx @copilotkit/aimock
 *     REDIS_URL=redis://127.0.0.1:6379 npx tsx redis.ts
 */
import { strict as assert } from 'node:assert';
import { LLMock } from '@copilotkit/aimock';
import { createClient } from 'redis';
import { generateEncryptionKey, isRouterError, TeamModelRouter } from 'team-model-router';
import { redisStorage } from 'team-model-router/storage/redis';

const url = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379';
const apiKey = 'sk-acme-key-0123456789abcdef';
const provider = new LLMock({ host: '127.0.0.1', port: 0, auth: { apiKeys: [apiKey] } });
provider.onMessage(/./, { content: "Acme's model" });
const api_base = await provider.start();
// Every node has the same keys. In an application they come from its secret store.
const encryptionKeys = [generateEncryptionKey()];
const prefix = `{example-${process.pid}}:`;

async function startNode() {
  // A connection that has died without a word is noticed by the pings, and made anew.
  const client = createClient({ url, pingInterval: 1_000, socket: { socketTimeout: 5_000 } });
  client.on('error', (error: Error) => console.error(error.message));
  await client.connect();
  const storage = redisStorage(client, { prefix });
  const router = new TeamModelRouter({ storage, encryptionKeys, egress: { allow: [api_base] } });
  return { router, stop: () => router.close().then(() => client.close()) };
}

const [first, second] = [await startNode(), await startNode()];
const call = () =>
  second.router.chatCompletion('acme', {
    model: 'my-team-model',
    messages: [{ role: 'user', content: 'Who are you?' }],
  });

try {
  const { model_id } = await first.router.addModel('acme', {
    model_name: 'my-team-model',
    litellm_params: { model: 'openai/gpt-4o', api_key: apiKey, api_base },
  });
  const answer = (await call()).choices[0]?.message.content;
  assert.equal(answer, "Acme's model");
  console.log(`added at the first node, called at the second: ${answer}`);

  await first.router.deleteModel('acme', model_id);
  const removed = performance.now();
  for (;;) {
    const error: unknown = await call().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (isRouterError(error) && error.code === 'model_not_found') break;
    assert.ok(performance.now() - removed < 5_000, 'maxStalenessMs is over');
  }
  console.log('removed at the first node, gone at the second');
  await first.router.deleteTeam('acme');
} finally {
  await Promise.all([first.stop(), second.stop()]);
  await provider.stop();
}
