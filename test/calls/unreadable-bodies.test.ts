import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let router: TeamModelRouter;

beforeAll(async () => {
  provider = await recordingProvider((_, response) => sendJson(response, 200, { ok: true }));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url },
  });
});
beforeEach(() => {
  provider.requests.length = 0;
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const text = JSON.stringify({ model: 'm', messages: [] });
const json = { 'content-type': 'application/json' };
const chat = `${teamBaseUrl}/chat/completions`;

function post(init: object, input: string | Request = chat): Promise<Response> {
  return router.fetchFor('acme')(input, {
    method: 'POST',
    headers: json,
    duplex: 'half',
    ...init,
  } as RequestInit);
}

async function refused(response: Response): Promise<{ param: string | null; message: string }> {
  const { error } = (await response.json()) as { error: { code: string; param: string; message: string } };
  expect({ status: response.status, code: error.code, message: error.message }).toMatchObject({
    status: 400,
    code: 'invalid_request',
  });
  expect(provider.requests).toHaveLength(0);
  return error;
}

class UnreadableBlob extends Blob {
  override stream(): never {
    throw new Error('The file is gone: sk-0123456789abcdef');
  }
}

function lockedStream(): ReadableStream {
  const stream = new Blob([text]).stream();
  stream.getReader();
  return stream;
}

async function* chunks(...values: unknown[]) {
  yield* values;
}

const formType = { 'content-type': 'multipart/form-data; boundary=limit', 'x-team-model': 'm' };
const uploads = `${teamBaseUrl}/audio/transcriptions`;

describe('fetchFor', () => {
  it.each<[string, () => unknown, RegExp]>([
    ['a locked stream', lockedStream, /must not be locked or already read/],
    ['a Blob that cannot be read', () => new UnreadableBlob([text]), /cannot be read/],
    ['a body without text', () => Symbol('body'), /cannot be read/],
    [
      'an iterable without an iterator',
      () => ({ [Symbol.asyncIterator]: () => undefined }),
      /cannot be read/,
    ],
    ['an iterator without next', () => ({ [Symbol.asyncIterator]: () => ({}) }), /cannot be read/],
    ['an iterator that yields text', () => chunks(text), /Uint8Array/],
    ['an iterator that yields null', () => chunks(null), /Uint8Array/],
    ['an iterator that yields a list', () => chunks(Buffer.from(text), [1]), /Uint8Array/],
    [
      'a stream that yields text',
      () => new ReadableStream({ start: (controller) => controller.enqueue(text) }),
      /Uint8Array/,
    ],
  ])('rejects %s, as JSON and as a form', async (_, body, message) => {
    for (const response of [
      await post({ body: body() }),
      await post({ body: body(), headers: formType }, uploads),
    ]) {
      expect(await refused(response)).toMatchObject({
        param: 'body',
        message: expect.stringMatching(message),
      });
    }
  });

  it('rejects a Request whose body was read', async () => {
    const request = new Request(chat, { method: 'POST', headers: json, body: text });
    await request.text();
    const error = await refused(await router.fetchFor('acme')(request));
    expect(error.message).toContain('must not be locked or already read');
  });

  it('rejects a form with a file that cannot be read', async () => {
    const body = new FormData();
    body.append('model', 'm');
    body.append('file', new Blob(['sound']), 'a.mp3');
    Object.assign(body.get('file') as File, { stream: new UnreadableBlob([]).stream });
    await refused(await router.fetchFor('acme')(uploads, { method: 'POST', body }));
  });

  it('returns the reason of an aborted signal rather than the fault of the body', async () => {
    const reason = new Error('The caller left.');
    const call = post({ body: lockedStream(), signal: AbortSignal.abort(reason) });
    await expect(call).rejects.toBe(reason);
  });

  it.each<[string, unknown]>([
    ['an empty object', {}],
    ['text', 'signal'],
    ['a controller', new AbortController()],
    ['an object without throwIfAborted', { aborted: false, addEventListener() {}, removeEventListener() {} }],
  ])('rejects %s as a signal', async (_, signal) => {
    expect(await refused(await post({ body: text, signal }))).toMatchObject({ param: 'signal' });
    const call = router.chatCompletion(
      'acme',
      { model: 'm', messages: [] },
      { signal: signal as AbortSignal },
    );
    await expect(call).rejects.toMatchObject({ status: 400, code: 'invalid_request', param: 'signal' });
  });
});
