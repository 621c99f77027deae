import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { chatChunks, type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';
import { runs } from '../support/runs.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];

let provider: RecordingProvider;
let event: string;
let receipts: Receipt[];
let router: TeamModelRouter;
const escaped: unknown[] = [];
const note = (error: unknown) => escaped.push(error);

beforeEach(async () => {
  receipts = [];
  escaped.length = 0;
  process.on('uncaughtException', note);
  process.on('unhandledRejection', note);
  provider = await recordingProvider((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`data: ${JSON.stringify(chatChunks('x')[0])}\n\ndata: ${event}\n\n`);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    onCall: (receipt) => receipts.push(receipt),
  });
  // Failures that are the subject of the test do not cool the deployment.
  await router.createTeam({ team_id: 'acme', settings: { allowed_fails: 1_000 } });
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: {
      model: 'openai/x',
      api_key: 'sk-0123456789abcdef',
      api_base: provider.url,
      max_parallel_requests: 1,
    },
  });
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
  process.off('uncaughtException', note);
  process.off('unhandledRejection', note);
});

/** Reads the beginning of a stream and leaves. Returns the status of the receipt, once there is one. */
async function leave(odd: string): Promise<number> {
  event = odd;
  const told = receipts.length;
  const stream = await router.chatCompletion('acme', { model: 'm', messages, stream: true });
  for await (const _ of stream) break;
  stream.controller.abort();
  while (receipts.length === told) await new Promise((resolve) => setImmediate(resolve));
  return receipts.at(-1)?.status ?? 0;
}

it.each([
  ['an object as the code of an error', '{"error":{"message":"x","code":{"toString":1}}}'],
  [
    'an object as the index of a choice',
    '{"choices":[{"index":{"toString":1,"valueOf":1},"finish_reason":"stop"}]}',
  ],
  [
    'an error that is nested 20 000 levels deep',
    `{"error":{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}}`,
  ],
])('ended the process when the client left: %s', async (_, odd) => {
  for (let call = 0; call < 5; call++) await leave(odd);
  expect(receipts).toHaveLength(5);
  expect(receipts.map(({ attempts }) => attempts.length)).toEqual([1, 1, 1, 1, 1]);
  expect(escaped).toEqual([]);
});

it('reports each call once and gives its place back, whatever the last event holds', async () => {
  const odd = fc.jsonValue({ maxDepth: 3 });
  const field = (name: string) => odd.map((value) => ({ [name]: value }));
  const choice = fc
    .tuple(field('index'), field('finish_reason'), field('delta'), field('error'))
    .map((parts) => Object.assign({}, ...parts));
  const given = fc.oneof(
    odd,
    odd.map((error) => ({ error })),
    fc.tuple(odd, odd, odd).map(([code, message, status]) => ({ error: { code, message, status } })),
    fc.array(choice, { maxLength: 3 }).map((choices) => ({ choices })),
    fc.tuple(odd, odd).map(([usage, type]) => ({ usage, type, choices: [] })),
  );
  await fc.assert(
    fc.asyncProperty(given, async (value) => {
      await leave(JSON.stringify(value));
      expect(receipts.at(-1)?.attempts).toHaveLength(1);
      expect(escaped).toEqual([]);
    }),
    { numRuns: runs(500) },
  );
});
