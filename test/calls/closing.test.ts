import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../fixtures/recording-provider.ts';

let provider: RecordingProvider;
let asked: Promise<void>;

beforeEach(async () => {
  let tell = () => {};
  asked = new Promise((resolve) => {
    tell = resolve;
  });
  provider = await recordingProvider((request, response) => {
    if (String(request.body).includes('"stream":true'))
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"choices":[]}\n\n');
    tell();
  });
});

afterEach(() => provider.close());

const messages = [{ role: 'user' as const, content: 'hello' }];

it.each([
  ['an open stream', true, false],
  ['an open stream of a shared deployment', true, true],
  ['a call that waits for its answer', false, false],
])('closing the router with %s blamed the provider', async (_, stream, shared) => {
  const receipts: Receipt[] = [];
  const lines: string[] = [];
  const log = (_: object, message: string) => lines.push(message);
  const router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    onCall: (receipt) => receipts.push(receipt),
    logger: { info: log, warn: log, error: log },
  });
  const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.createTeam({ team_id: 'acme', models: ['m'], settings: { allowed_fails: 1 } });
  if (shared) await router.addSharedModel({ model_name: 'm', litellm_params });
  else await router.addModel('acme', { model_name: 'm', litellm_params });
  const call = async () => {
    if (!stream) return router.chatCompletion('acme', { model: 'm', messages });
    for await (const _ of await router.chatCompletion('acme', { model: 'm', messages, stream: true })) {
      // Until it ends.
    }
    return undefined;
  };
  const ended = call().catch((error: { code?: unknown }) => error.code);
  await asked;
  if (stream) await new Promise(setImmediate);
  await router.close();
  expect(await ended).toBe('draining');
  await new Promise(setImmediate);
  expect(receipts).toMatchObject([{ code: 'draining' }]);
  expect(provider.requests).toHaveLength(1);
  expect(lines).not.toContain('deployment cools down');
});
