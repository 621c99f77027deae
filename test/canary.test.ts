import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import { generateEncryptionKey, type Receipt, TeamModelRouter } from 'team-model-router';
import { sqliteStorage } from 'team-model-router/storage/sqlite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  answerAsOpenAI,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from './fixtures/recording-provider.ts';
import { temporaryFolder } from './fixtures/temporary-folder.ts';

const canary = 'sk-canary-7f3a91c2e5d84b60';
const headerCanary = 'header-canary-51b7c09d3e';
const messages = [{ role: 'user' as const, content: 'hello' }];

/** Every form in which a secret could be written down. */
const forms = [canary, headerCanary].flatMap((secret) => {
  const bytes = Buffer.from(secret);
  return [
    secret,
    bytes.toString('hex'),
    // Inside of a longer text base64 comes in three alignments; the middle of each is the same wherever it stands.
    ...[0, 1, 2].map((pad) =>
      Buffer.from('x'.repeat(pad) + secret)
        .toString('base64')
        .slice(pad + 2, -4),
    ),
  ];
});

const heard: string[] = [];

function hear(value: unknown): void {
  heard.push(inspect(value, { showHidden: true, depth: Number.POSITIVE_INFINITY, maxStringLength: null }));
  for (
    let link = value;
    typeof link === 'object' && link !== null;
    link = (link as { cause?: unknown }).cause
  ) {
    heard.push(
      String((link as { message?: unknown }).message),
      String((link as { stack?: unknown }).stack),
      json(link),
    );
  }
}

function json(value: unknown): string {
  const seen = new Set<unknown>();
  return (
    JSON.stringify(value, (_, inner: unknown) => {
      if (typeof inner === 'bigint') return String(inner);
      if (typeof inner !== 'object' || inner === null) return inner;
      if (seen.has(inner)) return undefined;
      seen.add(inner);
      return inner;
    }) ?? ''
  );
}

const file = temporaryFolder()();
let provider: RecordingProvider;
let router: TeamModelRouter;

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    const { model } = JSON.parse(String(request.body) || '{}') as { model?: string };
    const echo = {
      error: {
        message: `You sent ${JSON.stringify(request.headers)}`,
        code: 'x',
        echoed: Buffer.from(canary).toString('base64'),
      },
    };
    if (model === 'reset') response.destroy();
    else if (model === 'cut')
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': 99 })
        .write('{"id":', () => response.destroy());
    else if (model?.startsWith('echo-'))
      sendJson(response, Number(model.slice(5)), echo, { 'x-echo': canary });
    else answerAsOpenAI(request, response);
  });
  router = new TeamModelRouter({
    storage: sqliteStorage(file),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    onCall: (receipt: Receipt) => hear(receipt),
  });
});

afterAll(async () => {
  await router.close();
  await provider.close();
});

it('a key that calls were made with is in nothing that the router stores, shows or throws', async () => {
  const ids: Record<string, string> = {};
  for (const model of [
    'good',
    'reset',
    'cut',
    'echo-400',
    'echo-401',
    'echo-403',
    'echo-404',
    'echo-429',
    'echo-500',
    'echo-302',
  ]) {
    const added = await router.addModel('acme', {
      model_name: model,
      litellm_params: {
        model,
        api_key: canary,
        api_base: provider.url,
        num_retries: 0,
        extra_headers: { 'x-own': headerCanary },
      },
    });
    hear(added);
    ids[model] = added.model_id;
    const call = router.chatCompletion('acme', { model, messages });
    if (model === 'good') hear(await call);
    else
      hear(
        await call.then(
          () => expect.unreachable(model),
          (error: unknown) => error,
        ),
      );
  }
  expect(provider.requests[0]?.headers).toMatchObject({
    authorization: `Bearer ${canary}`,
    'x-own': headerCanary,
  });

  const client = router.forTeam('acme', { defaultModel: 'good' });
  const response = await router.fetchFor('acme')('https://team-model-router.invalid/v1/models');
  hear(await client.embeddings.create({ model: 'good', input: 'x' }));
  hear([await response.text(), response]);
  hear(await router.getTeamInfo('acme'));
  hear(await router.listModels('acme'));
  hear(await router.listTeams());
  hear(await router.testModel('acme', { id: ids['echo-400'] ?? '' }));
  hear([router, client, router.fetchFor('acme'), client.withOptions({})]);

  const id = ids.good ?? '';
  const bad: (() => Promise<unknown>)[] = [
    () =>
      router.addModel('acme', { model_name: canary, litellm_params: { model: 'x', api_key: `${canary}\n` } }),
    () =>
      router.addModel('acme', {
        model_name: 'x',
        litellm_params: { model: 'x', api_key: canary, api_base: 'https://10.0.0.1' },
      }),
    () =>
      router.addModel('acme', {
        model_name: 'x',
        litellm_params: { model: 'x', api_key: [canary] },
      } as never),
    () =>
      router.addModel('acme', {
        model_name: 'x',
        litellm_params: { model: 'x', extra_headers: { host: headerCanary } },
      }),
    () =>
      router.addModel('acme', {
        model_name: 'x',
        litellm_params: { model: 'x', api_base: `https://u:${canary}@x.example` },
      }),
    () => router.updateModel('acme', id, { litellm_params: { api_base: 'https://other.example/v1' } }),
    () => router.updateModel('acme', 'unknown', { litellm_params: { api_key: canary } }),
    () => router.addModel('', { model_name: 'x', litellm_params: { model: 'x', api_key: canary } }),
  ];
  for (const attempt of bad)
    hear(
      await attempt().then(
        () => expect.unreachable(),
        (error: unknown) => error,
      ),
    );

  expect(heard.length).toBeGreaterThan(60);
  for (const text of heard) for (const form of forms) expect(text).not.toContain(form);

  await router.close();
  // With all that SQLite keeps beside the file.
  const folder = dirname(file);
  const stored = readdirSync(folder).map((name) => readFileSync(join(folder, name)).toString('latin1'));
  expect(stored.join('')).toContain('tmr1.');
  for (const bytes of stored) for (const form of forms) expect(bytes).not.toContain(form);
});
