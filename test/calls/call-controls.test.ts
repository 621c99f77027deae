import fc from 'fast-check';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { scanBody } from '../../src/calls/json/body.ts';
import { controlNames } from '../../src/calls/json/control-names.ts';
import { writeBody } from '../../src/calls/json/writer.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';
import { runs } from '../support/runs.ts';

let provider: RecordingProvider;
let router: TeamModelRouter;
let status = 200;
const receipts: Receipt[] = [];

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    const failing = status !== 200 && String(request.body).includes('"failing');
    sendJson(
      response,
      failing ? status : 200,
      failing ? { error: { message: 'no' } } : { id: 'x', object: 'y' },
    );
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    onCall: (receipt) => void receipts.push(receipt),
  });
  const api_base = `${provider.url}/v1`;
  for (const [name, more] of [
    ['mine', {}],
    ['failing', {}],
    ['failing-proxy', { allow_fields: ['cache'] }],
    ['proxy', { allow_fields: ['cache', 'tags', 'mock_response'] }],
  ] satisfies [string, { allow_fields?: string[] }][]) {
    const litellm_params = { model: name, api_key: 'sk-one', api_base, ...more };
    await router.addModel('acme', { model_name: name, litellm_params });
  }
});
beforeEach(() => {
  provider.requests.length = 0;
  status = 200;
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function call(body: object | string, path = '/chat/completions') {
  const response = await router.fetchFor('acme')(teamBaseUrl + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const json = (await response.json()) as { error?: { code: string; param: string; message: string } };
  return { status: response.status, ...json.error };
}

const sent = () => JSON.parse(String(provider.requests[0]?.body)) as Record<string, unknown>;

describe("LiteLLM's call controls in a body", () => {
  it('are used, and none of them reaches the provider', async () => {
    const body = {
      fallbacks: ['mine'],
      num_retries: 0,
      model: 'failing',
      timeout: 5,
      messages: [],
      stream_timeout: 1.5,
      tags: ['a', 'b'],
    };
    status = 500;
    expect((await call(body)).status).toBe(200);
    expect(provider.requests.map(({ body: text }) => JSON.parse(String(text)))).toEqual([
      { model: 'failing', messages: [] },
      { model: 'mine', messages: [] },
    ]);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(receipts.at(-1)).toMatchObject({ tags: ['a', 'b'], fallbacks: ['mine'] });
  });

  it('leave metadata.tags where they are, and in the receipt', async () => {
    const metadata = { tags: ['x'], user: 'u' };
    expect((await call({ model: 'mine', metadata, input: 'x' }, '/responses')).status).toBe(200);
    expect(sent().metadata).toEqual(metadata);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(receipts.at(-1)?.tags).toEqual(['x']);
  });

  it('are not given if they are null', async () => {
    const nulls = Object.fromEntries(controlNames.map((name) => [name, null]));
    expect((await call({ ...nulls, model: 'mine', stream: null, store: null })).status).toBe(200);
    expect(sent()).toEqual({ model: 'mine', stream: null, store: null });
  });

  it.each([
    ...['cache', 'caching', 'guardrails', 'drop_params', 'allowed_openai_params', 'context_window_fallbacks'],
    ...['mock_response', 'mock_testing_fallbacks', 'litellm_metadata', 'max_retries', 'no-log'],
  ])('%s is refused by name', async (name) => {
    for (const path of ['/chat/completions', '/embeddings', '/responses'])
      expect(await call({ model: 'mine', [name]: true }, path)).toMatchObject({ status: 400, param: name });
    expect(provider.requests).toEqual([]);
  });

  it.each([
    ...['user_config', 'callbacks', 'policies', 'secret_fields', 'model_config', 'headers', 'client_secret'],
    ...['langfuse_secret', 'langsmith_api_key', 'dd_api_key', 'arize_space_key', 'aws_secret_access_key'],
    ...['s3_secret_access_key', 'vertex_credentials', 'azure_password', 'gcs_path_service_account'],
    ...['_litellm_strip_stream_usage', 'slack_webhook_url', 'another_service_api_key'],
  ])('%s, which may carry a secret of another service, never reaches the provider', async (name) => {
    const body = { model: 'mine', [name]: 'sk-of-another-service' };
    expect(await call(body)).toMatchObject({ status: 400, code: 'invalid_request', param: name });
    expect(provider.requests).toEqual([]);
  });

  it('are told in one error', async () => {
    const body = { model: 'mine', langfuse_secret: 'x', num_retries: -1, cache: {}, timeout: 'soon' };
    const { message } = await call(body);
    for (const name of ['langfuse_secret', 'num_retries', 'cache', 'timeout'])
      expect(message).toContain(name);
    const keyed = await call({ model: 'mine', user_config: {}, api_key: 'x', base_url: 'x' });
    expect(keyed).toMatchObject({ status: 400, param: 'api_key' });
    expect(keyed.message).toBe('user_config, api_key, base_url may not be set by a call.');
  });

  it('are refused in a spelling that a lenient parser folds', async () => {
    for (const name of ['Langfuse_Secret', 'DD_API_KEY', 'aws\u005fx', 'Cache'])
      expect(await call(`{"model":"mine","${name}":"x"}`), name).toMatchObject({ status: 400 });
    expect(provider.requests).toEqual([]);
  });

  it.each([
    ['fallbacks', 'mine'],
    ['fallbacks', [{ model: 'mine' }]],
    ['fallbacks', Array(11).fill('mine')],
    ['num_retries', -1],
    ['num_retries', '2'],
    ['timeout', 0],
    ['timeout', 100_000],
    ['stream_timeout', {}],
    ['tags', 'x'],
    ['tags', ['x'.repeat(20_000)]],
  ])('%s: a wrong value is refused (%j)', async (name, value) => {
    expect(await call({ model: 'mine', [name]: value })).toMatchObject({
      status: 400,
      code: 'invalid_request',
      param: name,
    });
  });

  it('fallbacks are names that the caller may use', async () => {
    expect(await call({ model: 'mine', fallbacks: ['theirs'] })).toMatchObject({ code: 'model_not_found' });
  });

  it("a fallback that refuses a control does not hide the failure of the call's own model", async () => {
    status = 500;
    const body = { model: 'failing-proxy', cache: {}, num_retries: 0, fallbacks: ['mine'] };
    expect(await call(body)).toMatchObject({ status: 500, message: 'no' });
    expect(provider.requests).toHaveLength(1);
  });

  it('go to a provider that takes them itself', async () => {
    expect((await call({ model: 'proxy', cache: { a: 1 }, tags: { b: 2 }, mock_response: 'x' })).status).toBe(
      200,
    );
    expect(sent()).toEqual({ model: 'proxy', cache: { a: 1 }, tags: { b: 2 }, mock_response: 'x' });
    expect(await call({ model: 'proxy', guardrails: [] })).toMatchObject({ param: 'guardrails' });
  });

  it("leave other servers' fields alone", async () => {
    const fields = {
      top_k: 1,
      guided_json: {},
      options: {},
      keep_alive: 1,
      chat_template_kwargs: {},
      ttl: 3,
    };
    expect((await call({ model: 'mine', ...fields })).status).toBe(200);
    expect(sent()).toEqual({ model: 'mine', ...fields });
  });
});

it('what is cut out of a body leaves the rest as it was written', () => {
  const names = ['model', 'tags', 'timeout', 'a', 'b', 'num_retries', 'c'];
  const member = fc.tuple(
    fc.constantFrom(' ', '', '\n\t'),
    fc.constantFrom('"m"', '[1,{"x":",}"}]', '1.50', '{}'),
  );
  fc.assert(
    fc.property(
      fc.shuffledSubarray(names),
      fc.array(member, { minLength: 7, maxLength: 7 }),
      fc.boolean(),
      fc.boolean(),
      (keys, values, extra, long) => {
        const padding = long ? `"${'p'.repeat(70_000)}"` : '"p"';
        const members = keys.map((key, index) => {
          const [space = '', value = ''] = values[index] ?? [];
          return `${space}"${key}"${space}:${space}${key === 'model' ? '"mine"' : value}${space}`;
        });
        const text = `{${[...members.slice(0, 3), `"pad":${padding}`, ...members.slice(3)].join(',')}}`;
        const bytes = Buffer.from(text);
        const cut = ['tags', 'timeout', 'num_retries'];
        const written = writeBody(bytes, scanBody(bytes), {
          model: 'theirs',
          extra: extra ? { a: 'default', z: 1 } : undefined,
          cut: keys.filter((key) => cut.includes(key)),
        });
        const { tags: _, timeout: __, num_retries: ___, ...rest } = JSON.parse(text);
        const expected = { ...(extra ? { a: 'default', z: 1 } : {}), ...rest, model: 'theirs' };
        expect(JSON.parse(Buffer.concat([written].flat()).toString())).toEqual(expected);
      },
    ),
    { numRuns: runs(2_000) },
  );
});
