import type { ServerResponse } from 'node:http';
import OpenAI from 'openai';
import {
  generateEncryptionKey,
  isRouterError,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  answerAsOpenAI,
  chatChunks,
  type Handler,
  type RecordingProvider,
  recordingProvider,
  sendError,
  sendEvents,
} from '../support/recording-provider.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];

let handler: Handler;
let provider: RecordingProvider;
let router: TeamModelRouter;
let receipts: Receipt[];

beforeEach(async () => {
  handler = answerAsOpenAI;
  receipts = [];
  provider = await recordingProvider((request, response) => handler(request, response));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    random: () => 0,
    onCall: (receipt) => {
      receipts.push(receipt);
      throw new Error('a hook that fails must not touch the call');
    },
  });
  await add('m');
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const add = (model: string, more: object = {}) =>
  router.addModel('acme', {
    model_name: 'm',
    litellm_params: {
      model,
      api_key: 'sk-0123456789abcdefcb07',
      api_base: provider.url,
      num_retries: 0,
      ...more,
    },
  });

const ask = (options?: OpenAI.RequestOptions) =>
  router.chatCompletion('acme', { model: 'm', messages }, options);

/** Receipts are told once the caller has its answer. */
async function lastReceipt(): Promise<Receipt | undefined> {
  await new Promise(setImmediate);
  return receipts.at(-1);
}

async function caught(call: () => PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(OpenAI.APIError);
    return error as InstanceType<typeof OpenAI.APIError>;
  }
  return expect.unreachable('the call was answered');
}

async function read(): Promise<string> {
  let text = '';
  for await (const chunk of await router.chatCompletion('acme', { model: 'm', messages, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  return text;
}

const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

/** Writes the pieces, each flushed before `end` is called. */
const streamed =
  (pieces: string[], end: (response: ServerResponse) => void): Handler =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(pieces.join(''), () => end(response));
  };

describe('an error of a call', () => {
  it.each([
    [400, OpenAI.BadRequestError],
    [403, OpenAI.PermissionDeniedError],
    [404, OpenAI.NotFoundError],
    [422, OpenAI.UnprocessableEntityError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
  ])("is the provider's own for a %i", async (status, type) => {
    handler = (_, response) => sendError(response, status, 'in its own words', 'its_own_code');
    const error = await caught(() => ask());
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ status, code: 'its_own_code' });
    expect(error.message).toContain('in its own words');
    expect(isRouterError(error)).toBe(false);
    expect(provider.requests).toHaveLength(1);
  });

  it("is not taken for the router's because the provider uses a code of ours", async () => {
    handler = (_, response) => sendError(response, 404, 'gone', 'model_not_found');
    expect(isRouterError(await caught(() => ask()))).toBe(false);
    expect(isRouterError(await caught(() => router.chatCompletion('acme', { model: 'x', messages })))).toBe(
      true,
    );
    expect(isRouterError(new Error('model_not_found'))).toBe(false);
  });

  it('is 424 for a stored key that the provider rejects, and says which', async () => {
    handler = (_, response) =>
      sendError(response, 401, 'Incorrect API key provided: sk-0123456789abcdefcb07');
    const error = await caught(() => ask());
    expect(error).toMatchObject({
      status: 424,
      code: 'provider_authentication_failed',
      error: { provider_status: 401 },
    });
    expect(error.message).toContain('sk-...cb07');
    expect(error.message).toContain('"m"');
    expect(error.message).not.toContain('sk-0123456789abcdefcb07');
  });

  it('is provider_unreachable for a redirect, which is not followed', async () => {
    handler = (_, response) => {
      response.writeHead(307, { location: `${provider.url}/elsewhere` }).end();
    };
    expect(await caught(() => ask())).toMatchObject({ status: 502, code: 'provider_unreachable' });
    expect(provider.requests).toHaveLength(1);
  });

  it.each([301, 302, 303, 304, 307, 308])('asks a deployment that answers %i only once', async (status) => {
    const params = { model: 'm', api_key: 'sk-0123456789abcdefcb07', api_base: provider.url, num_retries: 2 };
    await router.addModel('acme', { model_name: 'moved', litellm_params: params });
    handler = (_, response) => {
      response.writeHead(status, status === 304 ? {} : { location: `${provider.url}/elsewhere` }).end();
    };
    const { message } = await caught(() => router.chatCompletion('acme', { model: 'moved', messages }));
    const to = status === 304 ? '' : ' to another address';
    expect(message).toContain(`answered ${status}${to}; redirects are not followed. Check api_base.`);
    expect(provider.requests).toHaveLength(1);
  });

  it('asks the other deployment of a pool after a redirect', async () => {
    const params = { model: 'm', api_key: 'sk-0123456789abcdefcb07', num_retries: 2 };
    for (const api_base of [`${provider.url}/moved`, `${provider.url}/v1`])
      await router.addModel('acme', { model_name: 'pair', litellm_params: { ...params, api_base } });
    handler = (request, response) => {
      if (request.url.startsWith('/moved')) response.writeHead(308, { location: '/v1' }).end();
      else answerAsOpenAI(request, response);
    };
    for (let call = 0; call < 8; call++) await router.chatCompletion('acme', { model: 'pair', messages });
    const moved = provider.requests.filter(({ url }) => url.startsWith('/moved'));
    expect(moved.length).toBeGreaterThan(0);
    expect(provider.requests).toHaveLength(8 + moved.length);
  });

  it.each<[string, Handler]>([
    ['a connection that breaks before the answer', (_, response) => response.destroy()],
    [
      'an answer that breaks off',
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 999 });
        response.write('{"id":', () => response.destroy());
      },
    ],
  ])('is provider_unreachable for %s', async (_, given) => {
    handler = given;
    expect(await caught(() => ask())).toMatchObject({ status: 502, code: 'provider_unreachable' });
  });

  it("is provider_timeout after the call's own timeout, in milliseconds", async () => {
    handler = () => {};
    expect(await caught(() => ask({ timeout: 50, maxRetries: 0 }))).toMatchObject({
      status: 504,
      code: 'provider_timeout',
    });
  });

  it("is the client's own abort when the caller leaves", async () => {
    const controller = new AbortController();
    handler = () => controller.abort();
    expect(await caught(() => ask({ signal: controller.signal }))).toBeInstanceOf(OpenAI.APIUserAbortError);
    expect(await lastReceipt()).toMatchObject({ status: 499, attempts: [{ reason: 'aborted' }] });
  });

  it('carries no header of the provider that could act on the application', async () => {
    handler = (_, response) => {
      response.setHeader('set-cookie', 'a=b');
      response.setHeader('access-control-allow-origin', '*');
      response.setHeader('x-request-id', 'its-id');
      sendError(response, 400, 'no');
    };
    const { headers } = await caught(() => ask());
    expect(headers?.get('x-request-id')).toBe('its-id');
    expect(headers?.get('set-cookie')).toBeNull();
    expect(headers?.get('access-control-allow-origin')).toBeNull();
  });
});

describe('a stream', () => {
  it('is read to its end', async () => {
    expect(await read()).toBe('Hello there');
  });

  const [first] = chatChunks('x');
  it.each<[string, Handler]>([
    [
      'ends without a finish reason and without [DONE]',
      streamed([event(first)], (response) => response.end()),
    ],
    [
      'ends in the middle of an event',
      streamed([event(first), 'data: {"id":"x'], (response) => response.end()),
    ],
    [
      'breaks in the middle of an event',
      streamed([event(first), 'data: {"id":"x'], (response) => response.destroy()),
    ],
    ['breaks between two events', streamed([event(first)], (response) => response.destroy())],
  ])('that %s is an error, never silently short', async (_, given) => {
    handler = given;
    const error = await caught(read);
    expect(error).toMatchObject({ code: 'provider_unreachable', status: undefined });
    expect(isRouterError(error)).toBe(true);
  });

  it('that stalls is an error', async () => {
    const { data } = await router.listModels('acme');
    await router.updateModel('acme', data[0]?.model_info.id ?? '', {
      litellm_params: { stream_timeout: 0.05 },
    });
    handler = streamed([event(first)], () => {});
    expect(await caught(read)).toMatchObject({ code: 'provider_timeout' });
  });

  it('that the caller leaves ends at the provider too', async () => {
    const closed = new Promise<void>((resolve) => {
      handler = (_, response) => {
        response.on('close', () => resolve());
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(event(first));
      };
    });
    const stream = await router.chatCompletion('acme', { model: 'm', messages, stream: true });
    for await (const _ of stream) break;
    await closed;
  });

  it('passes on what the provider says of an error', async () => {
    handler = (_, response) =>
      sendEvents(response, [first, { error: { message: 'overloaded', code: 'server_busy' } }]);
    const error = await caught(read);
    expect(error).toMatchObject({ code: 'server_busy' });
    expect(isRouterError(error)).toBe(false);
  });
});

describe('attempts', () => {
  const modelOf = (request: { body: Buffer }) =>
    (JSON.parse(String(request.body)) as { model: string }).model;

  it.each([408, 409, 429, 500, 503, 401, 404])('try another deployment after a %i', async (status) => {
    await add('sibling', { num_retries: 1 });
    const [original] = (await router.listModels('acme')).data;
    await router.updateModel('acme', original?.model_info.id ?? '', { litellm_params: { num_retries: 1 } });
    handler = (request, response) =>
      modelOf(request) === 'm' ? sendError(response, status, 'no') : answerAsOpenAI(request, response);
    expect((await ask()).choices).toHaveLength(1);
    expect(provider.requests.map(modelOf)).toEqual(['m', 'sibling']);
    expect((await lastReceipt())?.attempts.map((attempt) => attempt.status)).toEqual([status, 200]);
  });

  it('use maxRetries of the call, for the same deployment too', async () => {
    let count = 0;
    handler = (request, response) =>
      ++count < 4 ? sendError(response, 500, 'no') : answerAsOpenAI(request, response);
    expect((await ask({ maxRetries: 3 })).choices).toHaveLength(1);
    expect(count).toBe(4);
  });

  it('end, whatever a caller asks for', async () => {
    handler = (_, response) => sendError(response, 500, 'no');
    for (const maxRetries of [0, Number.NaN, -5]) await caught(() => ask({ maxRetries }));
    await caught(() => ask({ maxRetries: 1e9 }));
    expect(provider.requests.length).toBeLessThan(40);
  });

  it('do not repeat what cannot go better', async () => {
    handler = (_, response) => sendError(response, 400, 'no');
    await add('sibling');
    await caught(() => ask({ maxRetries: 5 }));
    expect(provider.requests).toHaveLength(1);
  });

  it('are not made with a key that was taken away meanwhile', async () => {
    const [model] = (await router.listModels('acme')).data;
    handler = async (_, response) => {
      await router.deleteModel('acme', model?.model_info.id ?? '');
      sendError(response, 500, 'no');
    };
    expect(await caught(() => ask({ maxRetries: 2 }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    expect(provider.requests).toHaveLength(1);
  });

  it('use a key that was replaced meanwhile, and not the old one', async () => {
    const [model] = (await router.listModels('acme')).data;
    const id = model?.model_info.id ?? '';
    handler = async (request, response) => {
      if (request.headers.authorization !== 'Bearer sk-0123456789abcdefcb07')
        return answerAsOpenAI(request, response);
      await router.updateModel('acme', id, { litellm_params: { api_key: 'sk-the-new-one' } });
      sendError(response, 500, 'no');
    };
    await ask({ maxRetries: 1 });
    expect(provider.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer sk-0123456789abcdefcb07',
      'Bearer sk-the-new-one',
    ]);
  });
});
