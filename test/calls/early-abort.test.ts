import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  type Storage,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let storage: Storage;
/** What a read of the storage waits for, and who hears that it waits. */
let hold: { until: Promise<void>; reached: () => void } | undefined;

beforeEach(async () => {
  hold = undefined;
  provider = await recordingProvider();
  const inner = memoryStorage();
  storage = {
    ...inner,
    async get(...given) {
      hold?.reached();
      await hold?.until;
      return inner.get(...given);
    },
  };
});

afterEach(() => provider.close());

describe('a caller that leaves before the first attempt', () => {
  it.each([
    ['while its team is looked up', JSON.stringify({ model: 'm', messages: [] })],
    ['while its team is looked up, with a body that comes in pieces', undefined],
  ])('%s was not heard, and its provider asked', async (_, body) => {
    const receipts: Receipt[] = [];
    const options = {
      storage,
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [provider.url] },
      onCall: (receipt: Receipt) => receipts.push(receipt),
    };
    const first = new TeamModelRouter(options);
    await first.addModel('acme', {
      model_name: 'm',
      litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url },
    });
    // It knows nothing of the team yet.
    const router = new TeamModelRouter(options);
    let release = () => {};
    const until = new Promise<void>((resolve) => {
      release = resolve;
    });
    const waits = new Promise<void>((reached) => {
      hold = { until, reached };
    });
    const controller = new AbortController();
    const pieces = async function* () {
      yield Buffer.from(JSON.stringify({ model: 'm', messages: [] }));
    };
    const call = router.fetchFor('acme')(`${teamBaseUrl}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      signal: controller.signal,
      ...(body === undefined ? { body: pieces() as unknown as string, duplex: 'half' } : { body }),
    } as RequestInit);
    await waits;
    const reason = new Error('The caller left.');
    controller.abort(reason);
    release();
    await expect(call).rejects.toBe(reason);
    await new Promise(setImmediate);
    expect(provider.requests).toHaveLength(0);
    expect(receipts).toMatchObject([{ status: 499, code: 'aborted', attempts: [] }]);
    await router.close();
    await first.close();
  });
});

describe('the timeout of a call', () => {
  async function* stuck(head: string) {
    yield Buffer.from(head);
    await new Promise<never>(() => {});
  }
  const form = '--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n';

  it.each([
    ['JSON', 'chat/completions', 'application/json', '{"model":"m",', {}],
    ['a form', 'audio/transcriptions', 'multipart/form-data; boundary=b', form, {}],
    ['JSON, by a header', 'chat/completions', 'application/json', '{', { 'x-litellm-timeout': '0.05' }],
  ])('ends a call whose body stops arriving: %s', async (_, path, contentType, head, more) => {
    const receipts: Receipt[] = [];
    const router = new TeamModelRouter({
      storage,
      encryptionKeys: [generateEncryptionKey()],
      onCall: (receipt) => receipts.push(receipt),
    });
    await router.addModel('acme', {
      model_name: 'm',
      litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef' },
    });
    const timeout = 'x-litellm-timeout' in more ? {} : { timeout: 50 };
    const response = await router.fetchFor('acme', timeout)(`${teamBaseUrl}/${path}`, {
      method: 'POST',
      headers: { 'content-type': contentType, ...more },
      body: stuck(head) as unknown as string,
      duplex: 'half',
    } as RequestInit);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: 'invalid_request', param: 'body', message: expect.stringContaining('timeout') },
    });
    await new Promise(setImmediate);
    expect(receipts).toMatchObject([{ status: 400, code: 'invalid_request', attempts: [] }]);
    await router.close();
  });
});
