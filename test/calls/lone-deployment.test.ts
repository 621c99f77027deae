import type OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

interface Refusal {
  status: number;
  body: string;
  type?: string;
  headers?: Record<string, string>;
}

let refusal: Refusal;
let provider: RecordingProvider;
let router: TeamModelRouter;

beforeEach(async () => {
  provider = await recordingProvider((request, response) => {
    if (!String(request.body).includes('BAD'))
      return sendJson(response, 200, { id: 'c', object: 'chat.completion', choices: [] });
    const { status, body, type = 'application/json', headers } = refusal;
    // The pause before another attempt at the same deployment is at least what the provider asks for.
    response.writeHead(status, { 'content-type': type, 'retry-after-ms': '1', ...headers }).end(body);
    return undefined;
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    random: () => 0,
  });
});

afterEach(async () => {
  await router.close();
  await provider.close();
});

const add = (num_retries: number) =>
  router.addModel('acme', {
    model_name: 'm',
    litellm_params: {
      model: 'openai/m',
      api_key: 'sk-0123456789abcdef',
      api_base: provider.url,
      num_retries,
    },
  });

async function ask(content: string): Promise<unknown> {
  const sent = router.chatCompletion('acme', { model: 'm', messages: [{ role: 'user', content }] });
  return sent.then(
    () => 'answered',
    (error: InstanceType<typeof OpenAI.APIError>) => error.status,
  );
}

const busy: readonly Refusal[] = [
  { status: 429, body: '' },
  { status: 429, body: '{"error":{"message":"no","code":"insufficient_quota"}}' },
  { status: 429, body: '{"error":"The service is temporarily at capacity"}' },
  {
    status: 498,
    body: '{"error":{"message":"Flex tier capacity exceeded","code":"flex_capacity_exceeded"}}',
  },
  { status: 503, body: '{"error":{"message":"busy"}}' },
  { status: 503, body: '<html>503 Service Unavailable</html>', type: 'text/html' },
  { status: 529, body: '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}' },
  { status: 500, body: '{"error":{"message":"The model is overloaded. Please try again later."}}' },
];

describe('a lone deployment whose provider takes no more for now', () => {
  it.each(busy)('answers the next call after $status $body', async (given) => {
    refusal = { ...given, headers: { 'retry-after': '20', 'retry-after-ms': '20000' } };
    await add(0);
    for (let call = 0; call < 5; call++) expect(await ask('BAD')).toBe(given.status);
    for (let call = 0; call < 10; call++) expect(await ask('hello')).toBe('answered');
  });
});

const broken: readonly (Refusal & { seen?: number })[] = [
  { status: 408, body: '{"error":{"message":"timeout"}}' },
  { status: 425, body: '{"error":{"message":"early"}}' },
  { status: 500, body: '{"error":{"message":"could not apply the chat template"}}' },
  { status: 500, body: 'Internal Server Error', type: 'text/plain' },
  { status: 502, body: '<html>502 Bad Gateway</html>', type: 'text/html' },
  { status: 504, body: '<html>504 Gateway Time-out</html>', type: 'text/html' },
  { status: 524, body: 'error code: 524', type: 'text/plain' },
  { status: 200, body: '<html>Sign in</html>', type: 'text/html', seen: 502 },
  { status: 200, body: '{"error":{"message":"oops"}}', seen: 502 },
  { status: 200, body: '{"id":', seen: 502 },
];

describe('a lone deployment at which all attempts of a call fail', () => {
  it.each(broken)('answers the next call after $status $body', async ({ seen, ...given }) => {
    refusal = given;
    await add(4);
    expect(await ask('BAD')).toBe(seen ?? given.status);
    expect(provider.requests).toHaveLength(5);
    expect((await router.health('acme')).deployments).toMatchObject([{ state: 'closed', failures: 1 }]);
    for (let call = 0; call < 10; call++) expect(await ask('hello')).toBe('answered');
  });

  it('cools down at the third such call', async () => {
    refusal = { status: 500, body: '{"error":{"message":"no"}}' };
    await add(4);
    for (let call = 0; call < 3; call++) expect(await ask('BAD')).toBe(500);
    expect(await ask('hello')).toBe(503);
  });
});
