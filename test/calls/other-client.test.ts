import OpenAI from 'openai';
import OpenAI7 from 'openai-7';
import {
  generateEncryptionKey,
  isRouterError,
  memoryStorage,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, beforeEach, describe, expect, expectTypeOf, it } from 'vitest';
import {
  answerAsOpenAI,
  chatChunks,
  type Handler,
  type RecordingProvider,
  recordingProvider,
} from '../support/recording-provider.ts';

// A client of openai 7 beside a router that imports openai 6.

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
  const litellm_params = {
    model: 'm',
    api_key: 'sk-0123456789abcdef',
    api_base: provider.url,
    num_retries: 0,
  };
  await router.addModel('acme', { model_name: 'mine', litellm_params });
  ({ key } = await router.createKey('acme'));
  const masterKey = 'm'.repeat(32);
  server = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});
afterAll(async () => {
  await server.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

beforeEach(() => {
  respond = answerAsOpenAI;
});

const messages = [{ role: 'user' as const, content: 'hello' }];
const clients: [string, () => OpenAI7][] = [
  [
    'in-process',
    () =>
      new OpenAI7({ apiKey: 'team', baseURL: teamBaseUrl, fetch: router.fetchFor('acme'), maxRetries: 0 }),
  ],
  ['over HTTP', () => new OpenAI7({ apiKey: key, baseURL: `${server.url}/v1`, maxRetries: 0 })],
];

describe.each(clients)('a client of openai 7, %s', (_, make) => {
  it('calls with the types of its version', async () => {
    const body: OpenAI7.ChatCompletionCreateParamsNonStreaming = { model: 'mine', messages };
    const answer = await make().chat.completions.create(body);
    expectTypeOf(answer).toEqualTypeOf<OpenAI7.ChatCompletion & { _request_id?: string | null }>();
    expect(answer.choices).toHaveLength(1);
  });

  it('throws errors that isRouterError knows', async () => {
    const error: unknown = await make()
      .chat.completions.create({ model: 'nobody-has-this', messages })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OpenAI7.APIError);
    expect(error).not.toBeInstanceOf(OpenAI.APIError);
    if (!isRouterError(error)) return expect.unreachable('it was not known');
    expect(error.code).toBe('model_not_found');
  });

  it('throws the error of a stream that broke off, which isRouterError knows', async () => {
    respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`data: ${JSON.stringify(chatChunks('a b')[0])}\n\n`, () => response.destroy());
    };
    const read = async () => {
      const stream = await make().chat.completions.create({ model: 'mine', messages, stream: true });
      for await (const _ of stream);
    };
    const error: unknown = await read().catch((thrown: unknown) => thrown);
    expect(isRouterError(error) && error.code).toBe('provider_unreachable');
  });

  it("throws a provider's rejection, for which isRouterError returns false", async () => {
    respond = (_request, response) => {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(
        '{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"invalid_request"}}',
      );
    };
    const error: unknown = await make()
      .chat.completions.create({ model: 'mine', messages })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ status: 400, code: 'invalid_request' });
    expect(isRouterError(error)).toBe(false);
  });
});

it('returns false for the error of a call without a router', async () => {
  const client = new OpenAI7({ apiKey: 'x', baseURL: `${provider.url}/v1`, maxRetries: 0 });
  respond = (_request, response) => {
    response.writeHead(401, { 'content-type': 'application/json' });
    response.end('{"error":{"message":"no","type":"x","param":null,"code":"invalid_api_key"}}');
  };
  const error: unknown = await client.chat.completions
    .create({ model: 'm', messages })
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'invalid_api_key' });
  expect(isRouterError(error)).toBe(false);
});
