import { randomUUID } from 'node:crypto';
import OpenAI, { toFile } from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  answerAsOpenAI,
  type Handler,
  type RecordingProvider,
  recordingProvider,
} from '../support/recording-provider.ts';

// Calls that a client may make in a form of its own: a header on every call, forms as other libraries write them.

let provider: RecordingProvider;
let respond: Handler = answerAsOpenAI;
let router: TeamModelRouter;
let server: GatewayServer;
let key: string;

beforeAll(async () => {
  provider = await recordingProvider((request, response) => respond(request, response));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  for (const name of ['one', 'two']) {
    const litellm_params = { model: `p-${name}`, api_key: 'sk-0123456789abcdef', api_base: provider.url };
    await router.addModel('acme', { model_name: name, litellm_params });
  }
  ({ key } = await router.createKey('acme'));
  server = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(32) }), { port: 0 });
});
afterEach(() => {
  respond = answerAsOpenAI;
  provider.requests.length = 0;
});
afterAll(async () => {
  await server.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const withImages: Handler = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end('{"created":1,"data":[]}');
};

const file = (size: number, name: string) => toFile(Buffer.alloc(size), name);
const client = (team?: string) =>
  new OpenAI({
    apiKey: key,
    baseURL: `${server.url}/v1`,
    maxRetries: 0,
    ...(team === undefined ? {} : { defaultHeaders: { 'x-team-model': team } }),
  });
const modelOf = (body: string) => /p-(one|two)/.exec(body)?.[0];
const last = () => {
  const request = provider.requests.at(-1);
  return { url: request?.url, model: modelOf(request?.body.toString('latin1') ?? '') };
};

describe('x-team-model among the default headers of a client', () => {
  it('leaves the filter of stored completions alone', async () => {
    respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"object":"list","data":[],"has_more":false}');
    };
    await client('one').chat.completions.list({ model: 'gpt-4o', limit: 3 });
    expect(last().url).toBe('/v1/chat/completions?model=gpt-4o&limit=3');
  });

  it('gives way to the model of a form, whatever its order', async () => {
    await client('one').audio.transcriptions.create({ file: await file(1_000, 'a.wav'), model: 'two' });
    expect(last().model).toBe('p-two');
    await client('two').audio.transcriptions.create({ model: 'one', file: await file(1_000, 'a.wav') });
    expect(last().model).toBe('p-one');
  });

  it('may name an unknown model if the body names one', async () => {
    await client('nobody-has-this').chat.completions.create({ model: 'two', messages: [] });
    expect(last().model).toBe('p-two');
  });

  it('names the model of a form without one, and of a file', async () => {
    respond = withImages;
    await client('two').images.edit({ image: await file(1_000, 'a.png'), prompt: 'x' });
    expect(last().model).toBe('p-two');
    respond = answerAsOpenAI;
    await client('two').files.create({ file: await file(1_000, 'a.jsonl'), purpose: 'batch' });
    expect(last().url).toBe('/v1/files');
  });
});

describe('a form', () => {
  const crlf = '\r\n';
  const formOf = (head: string, { before = '' } = {}) =>
    [
      `${before}--B`,
      `content-disposition: form-data; ${head}`,
      'content-type: audio/wav',
      '',
      'DATA',
      '--B',
      'content-disposition: form-data; name="model"',
      '',
      'one',
      '--B--',
      '',
    ].join(crlf);
  const plain = 'name="file"; filename="a.wav"';

  it.each<[string, string, string]>([
    ['a file name with ; name= in quotes', formOf('name="file"; filename="a; name=model.wav"'), ''],
    [
      'a file name with a quoted name in percent signs',
      formOf('name="file"; filename="a%22; name=%22model.wav"'),
      '',
    ],
    ['an extended file name', formOf(`${plain}; filename*=UTF-8''a%3B%20name%3Dmodel.wav`), ''],
    ['a Windows path as file name', formOf('name="file"; filename="C:\\dir\\a.wav"'), ''],
    ['names without quotes', formOf('name=file; filename=a.wav'), ''],
    ['names in capitals', formOf('NAME="file"; FILENAME="a.wav"'), ''],
    ['two line breaks before the first boundary', formOf(plain, { before: crlf + crlf }), ''],
    ['a preamble', formOf(plain, { before: `A message in parts.${crlf}` }), ''],
    ['a quoted boundary', formOf(plain), 'multipart/form-data; boundary="B"'],
    ['a charset before its boundary', formOf(plain), 'Multipart/Form-Data; charset=utf-8; Boundary=B'],
  ])('with %s is read, in-process and over HTTP', async (_, text, type) => {
    const body = Buffer.from(text, 'latin1');
    for (const [base, send] of [
      [teamBaseUrl, router.fetchFor('acme')],
      [`${server.url}/v1`, fetch],
    ] as const) {
      const headers = {
        authorization: `Bearer ${key}`,
        'content-type': type || 'multipart/form-data; boundary=B',
      };
      const response = await send(`${base}/audio/transcriptions`, { method: 'POST', headers, body });
      expect(response.status, await response.text()).toBe(200);
      expect(last().model).toBe('p-one');
    }
  });

  it('of two large images with its model at the end is sent on where the router is in the process', async () => {
    respond = withImages;
    const image = [await file(6_500_000, 'a.png'), await file(6_500_000, 'b.png')];
    await router.forTeam('acme').images.edit({ image, prompt: 'x', model: 'one' });
    expect(provider.requests.at(-1)?.body.length).toBeGreaterThan(13_000_000);
    expect(last().model).toBe('p-one');
  });
});

describe('a client with its own retries asks a failing provider no more often than the router does', () => {
  const failing: Handler = (_request, response) => {
    response.writeHead(503, { 'content-type': 'application/json', 'retry-after-ms': '1' });
    response.end('{"error":{"message":"no"}}');
  };
  const withRetries = async () => {
    const team = randomUUID();
    const litellm_params = { model: 'p-one', api_key: 'sk-0123456789abcdef', api_base: provider.url };
    await router.addModel(team, { model_name: 'one', litellm_params });
    const { key: apiKey } = await router.createKey(team);
    return new OpenAI({ apiKey, baseURL: `${server.url}/v1` });
  };

  it.each<[string, (openai: OpenAI) => Promise<unknown>]>([
    ['a stream', (openai) => openai.chat.completions.create({ model: 'one', messages: [], stream: true })],
    ['embeddings', (openai) => openai.embeddings.create({ model: 'one', input: 'x' })],
    ['a file', async (openai) => openai.files.create({ file: await file(10, 'a'), purpose: 'batch' })],
    [
      'a form',
      async (openai) => openai.audio.transcriptions.create({ model: 'one', file: await file(10, 'a.wav') }),
    ],
  ])('by %s', async (_, call) => {
    respond = failing;
    const error: unknown = await call(await withRetries()).catch((thrown: unknown) => thrown);
    if (!(error instanceof OpenAI.APIError)) return expect.unreachable('the call was answered');
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(provider.requests).toHaveLength(3);
  });
});
