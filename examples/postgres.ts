/**
 * Two nodes on one PostgreSQL: a change at one takes effect at the other. In an application each node is a process. Here they are
 * two routers with a pool each. The script checks everything that it prints.
 *
 * Needs `"type": "module"` in your package.json, and:
 *
 *     npm install team-model-router openai pg && npm install --save-dev tsx @types/pg @copilotkit/aimock
 *     DATABASE_URL=postgres://user@127.0.0.1:5432/database npx tsx postgres.ts
 */
import { strict as assert } from 'node:assert';
import { LLMock } from '@copilotkit/aimock';
import pg from 'pg';
import { generateEncryptionKey, isRouterError, TeamModelRouter } from 'team-model-router';
import { postgresStorage } from 'team-model-router/storage/postgres';

const connectionString = process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const apiKey = 'sk-acme-key-0123456789abcdef';
const provider = new LLMock({ host: '127.0.0.1', port: 0, auth: { apiKeys: [apiKey] } });
provider.onMessage(/./, { content: "Acme's model" });
const api_base = await provider.start();
// Every node has the same keys. In an application they come from its secret store.
const encryptionKeys = [generateEncryptionKey()];
const table = `example_${process.pid}`;

function startNode() {
  // Without a time-out a server that does not answer keeps the pool's connections waiting.
  const pool = new pg.Pool({ connectionString, connectionTimeoutMillis: 5_000 });
  // The table is made on first use; postgresTableSql prints it for those who run migrations.
  const storage = postgresStorage(pool, { table });
  const router = new TeamModelRouter({ storage, encryptionKeys, egress: { allow: [api_base] } });
  return { router, pool, stop: () => router.close().then(() => pool.end()) };
}

const [first, second] = [startNode(), startNode()];
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
  await first.pool.query(`DROP TABLE ${table}`);
} finally {
  await Promise.all([first.stop(), second.stop()]);
  await provider.stop();
}
