import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture } from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const maxBodyBytes = 1_000;
const path = '/v1/chat/completions';
const headers = { 'content-type': 'application/json' };
/** A body of so many bytes, most of which stand in characters of two. */
function bodyOf(bytes: number): string {
  const [before, after] = ['{"model":"m","messages":[{"role":"user","content":"', '"}]}'];
  const left = bytes - before.length - after.length;
  return `${before}${'é'.repeat(Math.floor(left / 2))}${'x'.repeat(left % 2)}${after}`;
}

let provider: RecordingProvider;
let house: GatewayFixture;
let send: Record<string, (body: string) => Promise<Response>>;

beforeAll(async () => {
  provider = await recordingProvider();
  house = gatewayFixture({ egress: { allow: [provider.url] }, maxBodyBytes });
  const { router, gateway } = house;
  const litellm_params = { model: 'openai/gpt-4o', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
  const authorization = `Bearer ${(await router.createKey('acme')).key}`;
  const post = (body: string | Blob | Buffer<ArrayBuffer>) => ({ method: 'POST', headers, body });
  send = {
    text: (body) => router.fetchFor('acme')(path, post(body)),
    bytes: (body) => router.fetchFor('acme')(path, post(Buffer.from(body))),
    'a blob': (body) => router.fetchFor('acme')(path, post(new Blob([body]))),
    'a request to the gateway': async (body) =>
      gateway.request(path, { ...post(body), headers: { ...headers, authorization } }),
  };
});

afterAll(async () => {
  await house.router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

beforeEach(() => void provider.requests.splice(0));

describe.each(['text', 'bytes', 'a blob', 'a request to the gateway'])('maxBodyBytes counts %s', (way) => {
  it('in bytes: one more is refused, and not sent', async () => {
    expect((await send[way]?.(bodyOf(maxBodyBytes)))?.status).toBe(200);
    expect(provider.requests).toHaveLength(1);
    const refused = await send[way]?.(bodyOf(maxBodyBytes + 1));
    expect(refused?.status).toBe(413);
    expect(await refused?.json()).toMatchObject({ error: { code: 'request_too_large' } });
    expect(provider.requests).toHaveLength(1);
  });
});
