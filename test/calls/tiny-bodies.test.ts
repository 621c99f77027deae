import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const pieces = 200_000;

let provider: RecordingProvider;
let router: TeamModelRouter;
let key: string;

beforeAll(async () => {
  provider = await recordingProvider();
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  key = (await router.createKey('acme')).key;
});

afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** Yields pieces without I/O, and aborts in the third turn of the event loop. */
function tinyPieces(size: number) {
  const controller = new AbortController();
  const counted = { yielded: 0, returned: false };
  async function* body() {
    let turns = 0;
    const count = () => {
      turns += 1;
      if (turns === 3) controller.abort(new Error('enough'));
      else setImmediate(count);
    };
    setImmediate(count);
    try {
      for (; counted.yielded < pieces; counted.yielded++) yield Buffer.alloc(size, ' ');
    } finally {
      counted.returned = true;
    }
  }
  return { body: body(), signal: controller.signal, counted };
}

const json = { 'content-type': 'application/json' };
const form = { 'content-type': 'multipart/form-data; boundary=b' };

describe.each([0, 1, 1_000])('a body that yields pieces of %s bytes without I/O', (size) => {
  it.each<[string, string, Record<string, string>]>([
    ['JSON', '/v1/chat/completions', json],
    ['a form', '/v1/audio/transcriptions', form],
  ])('lets the event loop continue, and ends when its caller aborts: %s', async (_, path, headers) => {
    const { body, signal, counted } = tinyPieces(size);
    const init = { method: 'POST', headers, body, signal, duplex: 'half' } as unknown as RequestInit;
    await expect(router.fetchFor('acme')(path, init)).rejects.toThrow('enough');
    await expect.poll(() => counted.returned).toBe(true);
    expect(counted.yielded).toBeLessThan(4_000);
  });

  it('lets the event loop continue in gateway.fetch', async () => {
    if (size === 0) return;
    const { body, signal, counted } = tinyPieces(size);
    const gateway = createGateway(router, { masterKey: 'm'.repeat(32) });
    const stream = new ReadableStream({
      async pull(controller) {
        const next = await body.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
    });
    const headers = { ...json, authorization: `Bearer ${key}` };
    let yielded = 0;
    signal.addEventListener('abort', () => {
      yielded = counted.yielded;
      void body.return();
    });
    const init = { method: 'POST', headers, body: stream, duplex: 'half' } as RequestInit;
    const response = await gateway.fetch(new Request('http://gateway/v1/chat/completions', init));
    await response.arrayBuffer();
    expect(yielded).toBeGreaterThan(0);
    expect(yielded).toBeLessThan(4_000);
  });
});
