import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let router: TeamModelRouter;
const receipts: Receipt[] = [];
let answer = { status: 200, type: 'text/event-stream', body: '' };

beforeAll(async () => {
  provider = await recordingProvider((_, response) => {
    response.writeHead(answer.status, { 'content-type': answer.type }).end(answer.body);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    onCall: (receipt) => receipts.push(receipt),
  });
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: {
      model: 'openai/m',
      api_key: 'sk-0123456789abcdef',
      api_base: provider.url,
      num_retries: 0,
    },
  });
});
beforeEach(() => {
  receipts.length = 0;
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** JSON objects that JavaScript cannot turn into a number or into text. */
const odd = '{"toString":1,"valueOf":1}';

function call(stream: boolean): Promise<Response> {
  return router.fetchFor('acme')(`${teamBaseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', messages: [], stream }),
  });
}

describe('an object where a number is expected', () => {
  const first = '{"choices":[{"index":0,"delta":{"content":"x"}}]}';

  it('as the index of a choice does not end the stream', async () => {
    const last = `{"choices":[{"index":${odd},"delta":{},"finish_reason":"stop"}]}`;
    const body = `data: ${first}\n\ndata: ${last}\n\n`;
    answer = { status: 200, type: 'text/event-stream', body };
    expect(await (await call(true)).text()).toBe(body);
    await new Promise(setImmediate);
    expect(receipts.map(({ status, code }) => ({ status, code }))).toEqual([
      { status: 200, code: undefined },
    ]);
  });

  it.each(['code', 'status'])(
    'as the %s of an error event leaves it an error of the provider',
    async (name) => {
      const body = `data: {"error":{"${name}":${odd},"message":"no"}}\n\n`;
      answer = { status: 200, type: 'text/event-stream', body };
      const response = await call(true);
      expect(response.status).toBe(502);
      expect(await response.text()).not.toContain('internal_error');
    },
  );
});
