import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import answersOfProviders from '../fixtures/provider-answers.json' with { type: 'json' };
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const key = 'sk-live_9fQ2+Zx/7Lk==Ab3dEfGh1jKlMnOpQr';
const messages = [{ role: 'user' as const, content: 'Hello' }];

let provider: RecordingProvider;
let router: TeamModelRouter;
let answer: { status: number; type: string; body: string };
let receipts: Receipt[] = [];

beforeAll(async () => {
  provider = await recordingProvider((_, response) => {
    response.writeHead(answer.status, { 'content-type': answer.type });
    response.end(answer.body);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url] },
    onCall: (receipt) => receipts.push(receipt),
  });
  const params = { model: 'openai/m', api_key: key, api_base: provider.url, num_retries: 0 };
  await router.addModel('acme', { model_name: 'm', litellm_params: params });
  await router.addSharedModel({ model_name: 'shared', litellm_params: params });
  await router.updateTeam('acme', { models: ['shared'] });
});

afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** The error of an in-process call, and the last attempt of its receipt. */
async function failure(model = 'm') {
  receipts = [];
  const error: unknown = await router
    .chatCompletion('acme', { model, messages }, { maxRetries: 0 })
    .catch((thrown) => thrown);
  await new Promise(setImmediate);
  if (!(error instanceof OpenAI.APIError)) throw error;
  return { error, attempt: receipts[0]?.attempts.at(-1) };
}

describe('errors that are not in OpenAI’s form keep their message in-process', () => {
  it.each([
    ['an array', '[{"error":{"code":400,"message":"The words.","status":"INVALID_ARGUMENT"}}]'],
    ['a detail that is text', '{"detail":"The words."}'],
    ['a detail that is a list', '{"detail":[{"type":"missing","loc":["body","x"],"msg":"The words."}]}'],
    ['a message of its own', '{"message":"The words.","type":"not_found_error","code":"1300"}'],
    [
      'a message that is an object',
      '{"object":"error","message":{"detail":[{"msg":"The words."}]},"code":1}',
    ],
    ['a list of errors', '{"errors":[{"message":"The words."}]}'],
    ['an error that is text', '{"code":"x","error":"The words."}'],
    ['an error that is null', '{"error":null,"message":"The words."}'],
    ['text in JSON', '"The words."'],
    ['problem details', '{"type":"about:blank","title":"Unprocessable","status":422,"detail":"The words."}'],
    ['problem details with a list', '{"title":"Unprocessable","detail":[{"loc":["x"],"msg":"The words."}]}'],
    ['an error within an error', '{"error":{"error":{"message":"The words."}}}'],
    ['an error that is a list', '{"error":[{"message":"The words."}]}'],
    ['an error with a detail', '{"error":{"code":7,"detail":"The words."}}'],
    ['plain text', 'The words.'],
    ['OpenAI’s own', '{"error":{"message":"The words.","type":"t","code":"c","param":null}}'],
  ])('%s', async (_, body) => {
    answer = { status: 422, type: 'application/json', body };
    const { error } = await failure();
    expect(error.message).toContain('The words.');
    expect(error.message).not.toMatch(/Unprocessable|\{\s*"/);
    expect(error.status).toBe(422);
  });

  it('code, type and param are found where the message is', async () => {
    const body = '{"object":"error","message":"No.","type":"rate_limited","param":"p","code":"1300"}';
    answer = { status: 422, type: 'application/json', body };
    expect((await failure()).error).toMatchObject({
      message: '422 No.',
      type: 'rate_limited',
      param: 'p',
      code: '1300',
    });
  });

  it('every recorded answer of a provider that has a message', async () => {
    for (const { status, content_type, body } of answersOfProviders) {
      if (status < 400 || status === 401 || !/message|detail|error"/.test(body) || body.startsWith('<'))
        continue;
      answer = { status, type: content_type ?? 'application/json', body };
      expect((await failure()).error.message, body).not.toContain('(no body)');
    }
  });
});

describe('what a provider says about a key', () => {
  const expired = JSON.stringify({
    error: { message: `Key ${key} expired on Monday; member of no organization.` },
  });

  it.each([
    ['OAuth’s form', '{"error":"invalid_grant","error_description":"The token is revoked."}'],
    ['problem details', '{"title":"Unauthorized","status":401,"detail":"The token is revoked."}'],
    ['an array', '[{"error":{"code":401,"message":"The token is revoked."}}]'],
    ['plain text', 'The token is revoked.'],
  ])('is read from %s', async (_, body) => {
    answer = { status: 401, type: 'application/json', body };
    const { error, attempt } = await failure();
    expect(error.error).toMatchObject({ provider_message: 'The token is revoked.' });
    expect(attempt).toMatchObject({ providerMessage: 'The token is revoked.' });
  });

  it('is in the error’s details and in the receipt at 401, redacted', async () => {
    answer = { status: 401, type: 'application/json', body: expired };
    const { error, attempt } = await failure();
    const words = 'Key sk-...OpQr expired on Monday; member of no organization.';
    expect(error).toMatchObject({ status: 424, error: { provider_status: 401, provider_message: words } });
    expect(attempt).toMatchObject({ status: 401, providerMessage: words });
  });

  it.each([
    ['a scope that is missing', '{"detail":"Missing scope."}'],
    ['an array', '[{"error":{"message":"Missing scope."}}]'],
    ['text', 'Missing scope.'],
  ])('is in the receipt at 403: %s', async (_, body) => {
    answer = { status: 403, type: 'application/json', body };
    expect((await failure()).attempt).toMatchObject({ status: 403, providerMessage: 'Missing scope.' });
  });

  it('is cut after the redaction, so that no half of a secret is left', async () => {
    answer = {
      status: 401,
      type: 'application/json',
      body: JSON.stringify({ message: `${'x'.repeat(1_010)}${key}` }),
    };
    expect(JSON.stringify((await failure()).attempt)).not.toContain(key.slice(0, 10));
  });

  it('is not shown to the teams of a shared deployment, and no part of its key is', async () => {
    answer = { status: 401, type: 'application/json', body: expired };
    const { error, attempt } = await failure('shared');
    expect(JSON.stringify([error.error, error.message])).not.toMatch(/Monday|OpQr/);
    expect(attempt?.providerMessage).toContain('expired on Monday');
  });
});

it('an attempt that did not reach its provider says where and why', async () => {
  const port = await new Promise<string>((resolve) =>
    recordingProvider().then(async (gone) => gone.close().then(() => resolve(gone.url))),
  );
  const heard: Receipt[] = [];
  const own = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [port] },
    onCall: (receipt) => heard.push(receipt),
  });
  const params = { model: 'openai/m', api_key: key, api_base: port, num_retries: 0 };
  await own.addModel('acme', { model_name: 'm', litellm_params: params });
  await own.chatCompletion('acme', { model: 'm', messages }).catch(() => {});
  await new Promise(setImmediate);
  expect(heard[0]?.attempts[0]).toMatchObject({ host: new URL(port).host, cause: 'ECONNREFUSED' });
  await own.close();
});
