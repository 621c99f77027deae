import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type RecordingProvider, recordingProvider } from './recording-provider.ts';

let provider: RecordingProvider;
let router: TeamModelRouter;

beforeAll(async () => {
  provider = await recordingProvider();
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const litellm_params = { model: 'm', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: 'mine', litellm_params });
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const messages = [{ role: 'user' as const, content: 'Grüß Gott' }];

/** What the provider received of a call, and what the caller got. */
async function run(body: object, options: object) {
  const own = vi.spyOn(OpenAI.prototype, 'buildRequest');
  const count = provider.requests.length;
  let result: unknown;
  try {
    result = await router.chatCompletion('acme', body as never, options);
    if (Symbol.asyncIterator in (result as object)) {
      const chunks = [];
      for await (const chunk of result as AsyncIterable<unknown>) chunks.push(chunk);
      result = chunks;
    }
  } catch (error) {
    result = String(error);
  }
  const isSlow = own.mock.calls.length > 0;
  own.mockRestore();
  const sent = provider.requests
    .slice(count)
    .map(({ url, headers, body: bytes }) => [url, headers, String(bytes)]);
  return { isSlow, seen: { result, sent } };
}

/** Compares the fast path of the team client with the path of the installed client. */
export function fastRequestTests(): void {
  describe('the fast path of the team client', () => {
    it.each<[string, object]>([
      ['a plain call', { model: 'mine', messages }],
      ['a call without a stream', { model: 'mine', messages, stream: false }],
      ['a null stream', { model: 'mine', messages, stream: null }],
      ['a stream', { model: 'mine', messages, stream: true }],
      ['an unknown model', { model: 'other', messages }],
    ])('sends %s as the client does', async (_, body) => {
      const fast = await run(body, {});
      // The fast path takes no call with headers.
      const slow = await run(body, { headers: {} });
      expect([fast.isSlow, slow.isSlow]).toEqual([false, true]);
      expect(fast.seen).toEqual(slow.seen);
    });

    it.each<[string, object, object]>([
      ['headers', { model: 'mine', messages }, { headers: { 'x-team-model': 'mine' } }],
      ['a query', { model: 'mine', messages }, { query: { a: 'b' } }],
      ['an object of a class', Object.assign(Object.create({}), { model: 'mine', messages }), {}],
    ])('leaves %s to the client', async (_, body, options) => {
      expect((await run(body, options)).isSlow).toBe(true);
    });
  });
}
