import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { answerAsOpenAI, type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let router: TeamModelRouter;
let openai: OpenAI;
let arrived: (() => void) | undefined;

const body = { model: 'm', messages: [{ role: 'user' as const, content: 'hello' }] };

beforeEach(async () => {
  arrived = undefined;
  provider = await recordingProvider((request, response) => {
    if (arrived === undefined) answerAsOpenAI(request, response);
    else arrived();
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: { model: 'gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url },
  });
  openai = router.forTeam('acme');
});
afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** What arrived of the last call, but for what differs from connection to connection. */
function last(): { url: string | undefined; headers: unknown; body: string | undefined } {
  const request = provider.requests.at(-1);
  return { url: request?.url, headers: request?.headers, body: request?.body.toString() };
}

it.each([undefined, null, 'hello', []])('rejects a call with %j as its body', async (given) => {
  const call = router.chatCompletion('acme', given as unknown as typeof body);
  await expect(call).rejects.toMatchObject({ code: 'invalid_request', param: 'body' });
  expect(provider.requests).toEqual([]);
});

it('is an OpenAI client', () => {
  expect(openai).toBeInstanceOf(OpenAI);
});

it('sends a plain call as it sends the same call with every option', async () => {
  await openai.chat.completions.create(body);
  const plain = last();
  await openai.chat.completions.create(body, { headers: {}, query: {}, timeout: 5_000, maxRetries: 1 });
  expect(last()).toEqual(plain);
  await router.chatCompletion('acme', body);
  expect(last()).toEqual(plain);
  expect(plain.body).toBe('{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}');
});

it('sends the headers that may go along, of the call and of the client', async () => {
  await openai.chat.completions.create(body, { headers: { 'OpenAI-Beta': 'of-the-call', 'x-other': 'no' } });
  expect(last().headers).toMatchObject({ 'openai-beta': 'of-the-call' });
  expect(last().headers).not.toHaveProperty('x-other');
  await openai
    .withOptions({ defaultHeaders: { 'OpenAI-Beta': 'of-the-client' } })
    .chat.completions.create(body);
  expect(last().headers).toMatchObject({ 'openai-beta': 'of-the-client' });
});

it("what one call's fetch does to its headers stays with that call", async () => {
  const { fetch } = openai as unknown as { fetch: typeof globalThis.fetch };
  const meddling = openai.withOptions({
    fetch: (input, init) => {
      if (init?.headers instanceof Headers) init.headers.set('openai-beta', 'meddled');
      return fetch(input as string, init);
    },
  });
  await meddling.chat.completions.create(body);
  expect(last().headers).toMatchObject({ 'openai-beta': 'meddled' });
  await openai.chat.completions.create(body);
  expect(last().headers).not.toHaveProperty('openai-beta');
});

it.each([false, true])('an abort ends the call while the provider is silent (stream: %s)', async (stream) => {
  const controller = new AbortController();
  arrived = () => controller.abort();
  const call = openai.chat.completions.create({ ...body, stream }, { signal: controller.signal });
  await expect(call).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
  expect(provider.requests).toHaveLength(1);
});

it('does not begin a call that is aborted already', async () => {
  const call = openai.chat.completions.create(body, { signal: AbortSignal.abort() });
  await expect(call).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
  expect(provider.requests).toHaveLength(0);
});

it('rejects an invalid timeout, as the client does', async () => {
  await expect(openai.chat.completions.create(body, { timeout: -1 })).rejects.toThrow('timeout');
  expect(provider.requests).toHaveLength(0);
});

it('gives the raw response, with the names of the call', async () => {
  const { data, response } = await openai.chat.completions.create(body).withResponse();
  expect(data.choices[0]?.message.content).toEqual(expect.any(String));
  expect(response).toBeInstanceOf(Response);
  expect(response.headers.get('x-litellm-model-group')).toBe('m');
});
