import OpenAI, { AzureOpenAI } from 'openai';
import { AzureOpenAI as AzureOpenAI7 } from 'openai-7';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type RecordedRequest,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../../support/recording-provider.ts';
import { type Ids, type Row, rows } from './rows.ts';

const masterKey = 'a-master-key-of-32-characters-or-more';
const apiVersion = '2025-04-01-preview';
const ids: Ids = { file: 'file-1', batch: 'batch_1', job: 'ftjob-1' };

let provider: RecordingProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let apiKey: string;
let otherKey: string;
let streaming = false;
/** What the client under test has sent, as it wrote it. */
const sent: string[] = [];

const events = 'data: {"type":"response.completed","response":{"id":"resp_1"}}\n\ndata: [DONE]\n\n';

beforeAll(async () => {
  provider = await recordingProvider((_, response) => {
    if (streaming) response.writeHead(200, { 'content-type': 'text/event-stream' }).end(events);
    else sendJson(response, 200, { id: 'obj_1', object: 'list', data: [], has_more: false, text: 'x' });
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url] },
  });
  for (const [model_name, api_key, more] of [
    ['on-openai', 'sk-openai-of-acme', {}],
    ['org/on-openai', 'sk-slash-of-acme', {}],
    ['on-azure', 'azure-key-of-acme', { api_version: '2024-10-21' }],
    ['org/on-azure', 'azure-slash-of-acme', { api_version: '2024-10-21' }],
  ] as const) {
    const litellm_params = { model: 'theirs', num_retries: 0, api_key, api_base: provider.url, ...more };
    await router.addModel('acme', { model_name, litellm_params });
  }
  await router.addModel('other', {
    model_name: 'others/model',
    litellm_params: { model: 'theirs', api_key: 'sk-of-the-other', api_base: provider.url },
  });
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
  apiKey = (await router.createKey('acme')).key;
  otherKey = (await router.createKey('other')).key;
});

afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const noting = (send: typeof fetch): typeof fetch =>
  (async (input: string | URL | Request, init?: RequestInit) => {
    const { protocol, pathname, searchParams } = new URL(input instanceof Request ? input.url : input);
    // The client tries once what its `fetch` can do, with a URL that names no server.
    if (protocol !== 'data:')
      sent.push(`${(init?.method ?? 'GET').toUpperCase()} ${pathname} ${searchParams.get('api-version')}`);
    return send(input, init);
  }) as typeof fetch;

type Forms = Record<string, (name: string) => { baseURL?: string; endpoint?: string; deployment?: string }>;

/** The ways in which an application points the client at a router. */
const forms = (base: string): Forms => ({
  'an endpoint': () => ({ endpoint: base }),
  'an endpoint and a deployment': (name) => ({ endpoint: base, deployment: name }),
  'a base /openai/v1': () => ({ baseURL: `${base}/openai/v1` }),
  'a base /v1': () => ({ baseURL: `${base}/v1` }),
});

const doors: Record<string, { base: () => string; send: typeof fetch }> = {
  'the gateway': { base: () => gateway.url, send: fetch },
  fetchFor: {
    base: () => 'https://team-model-router.invalid',
    send: (input, init) => router.fetchFor('acme')(input, init),
  },
};

const clients = {
  'openai 6': AzureOpenAI,
  'openai 7': AzureOpenAI7 as unknown as typeof AzureOpenAI,
};

/** Reads the answer to its end. */
async function consume(result: unknown): Promise<void> {
  if (result instanceof Response) await result.arrayBuffer();
  else if (typeof result === 'object' && result !== null && Symbol.asyncIterator in result)
    for await (const _ of result as AsyncIterable<unknown>);
}

const withoutBoundary = ({ body, headers }: RecordedRequest) => {
  const boundary = /boundary=(.+)/.exec(headers['content-type'] ?? '')?.[1];
  const text = body.toString('latin1');
  return boundary === undefined ? text : text.replaceAll(boundary, 'boundary');
};

/** The one request that a call makes at the provider. */
async function requestOf(row: Row, client: OpenAI, name: string) {
  provider.requests.length = 0;
  sent.length = 0;
  streaming = row.stream === true;
  await consume(await row.call(client, name, ids));
  expect(provider.requests).toHaveLength(1);
  const [request] = provider.requests as [RecordedRequest];
  const { authorization, 'api-key': key, accept } = request.headers;
  const type = request.headers['content-type']?.replace(/boundary=.*/, '');
  const { method, url } = request;
  return { method, url, authorization, key, accept, type, body: withoutBoundary(request) };
}

const defaultHeaders = (name: string) => ({ 'x-team-model': name });

describe.each(Object.entries(clients))("AzureOpenAI's calls, of %s", (_, Client) => {
  describe.each(Object.entries(doors))('through %s', (_door, { base, send }) => {
    describe.each(['org/on-openai', 'org/on-azure'])('to %s', (name) => {
      it.each(rows.map((row) => [`${row.id}${row.stream ? ', streamed' : ''}`, row] as const))(
        '%s is the same call as without its prefix, in each form',
        async (_id, row) => {
          const headers = defaultHeaders(name);
          const plain = new OpenAI({
            apiKey,
            baseURL: `${base()}/v1`,
            fetch: send,
            maxRetries: 0,
            defaultHeaders: headers,
          });
          const expected = await requestOf(row, plain, name);
          for (const [form, options] of Object.entries(forms(base()))) {
            const client = new Client({
              apiKey,
              apiVersion,
              maxRetries: 0,
              fetch: noting(send),
              defaultHeaders: headers,
              ...options(name),
            });
            expect(await requestOf(row, client, name), form).toEqual(expected);
            expect(sent, form).toEqual([expect.stringContaining(` ${apiVersion}`)]);
          }
        },
      );
    });

    it('models are listed and found by name', async () => {
      provider.requests.length = 0;
      for (const [form, options] of Object.entries(forms(base()))) {
        const client = new Client({ apiKey, apiVersion, fetch: send, maxRetries: 0, ...options('on-azure') });
        const listed: string[] = [];
        for await (const { id } of client.models.list()) listed.push(id);
        expect(listed.sort(), form).toEqual(['on-azure', 'on-openai', 'org/on-azure', 'org/on-openai']);
        expect(await client.models.retrieve('org/on-azure'), form).toMatchObject({ id: 'org/on-azure' });
        const deleted = client.models.delete('org/on-azure');
        await expect(deleted, form).rejects.toMatchObject({ status: 400, param: 'model' });
      }
      expect(provider.requests).toEqual([]);
    });
  });

  it('names a model that another team has, and gets what an unknown name gets', async () => {
    provider.requests.length = 0;
    const endpoint = gateway.url;
    const client = new Client({ apiKey, apiVersion, endpoint, maxRetries: 0 });
    const named = (deployment: string) =>
      new Client({
        apiKey,
        apiVersion,
        endpoint,
        deployment,
        maxRetries: 0,
        defaultHeaders: defaultHeaders(deployment),
      });
    const failure = async (call: PromiseLike<unknown>) => {
      const error = await Promise.resolve(call).then(
        () => expect.unreachable(),
        (reason: { status: number; message: string }) => reason,
      );
      return { status: error.status, message: error.message };
    };
    for (const call of [
      (name: string) => client.embeddings.create({ model: name, input: 'x' }),
      (name: string) => named(name).chat.completions.create({ model: 'x', messages: [] }),
      (name: string) =>
        named(name).batches.create({
          input_file_id: 'file-1',
          endpoint: '/v1/embeddings',
          completion_window: '24h',
        }),
      (name: string) => named(name).files.list(),
      (name: string) => named(name).responses.retrieve('resp_1'),
      (name: string) => client.models.retrieve(name),
    ]) {
      const [theirs, unknown] = [await failure(call('others/model')), await failure(call('others/nobody'))];
      expect(theirs.status).toBe(404);
      expect(theirs.message.replace('others/model', 'others/nobody')).toBe(unknown.message);
    }
    expect(provider.requests).toEqual([]);
  });
});

describe('a key of the team', () => {
  it('that may call one model may call no other in any form of a path', async () => {
    const { key } = await router.createKey('acme', { models: ['org/on-openai'] });
    provider.requests.length = 0;
    const send = (method: string, path: string, body?: string) =>
      fetch(gateway.url + path, {
        method,
        headers: { 'api-key': key, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body }),
      });
    const chat = '{"messages":[]}';
    for (const path of ['on-openai', 'org/on-azure', 'org%2Fon-azure']) {
      for (const prefix of ['/openai', '/openai/v1', '/v1', '']) {
        const call = `${prefix}/deployments/${path}/chat/completions?api-version=2025-04-01-preview`;
        expect((await send('POST', call, chat)).status, call).toBe(404);
        const found = await send('GET', `${prefix}/models/${path}`);
        expect(found.status, path).toBe(404);
      }
    }
    expect((await send('GET', '/openai/files?model=on-azure')).status).toBe(404);
    expect(provider.requests).toEqual([]);
    const own = '/openai/deployments/org/on-openai/chat/completions';
    expect((await send('POST', own, chat)).status).toBe(200);
    expect((await send('GET', '/openai/models/org/on-openai')).status).toBe(200);
  });

  it('never reaches a shared deployment with what lives in an account', async () => {
    await router.addSharedModel({
      model_name: 'shared/model',
      litellm_params: { model: 'theirs', api_key: 'sk-of-the-operator', api_base: provider.url },
    });
    await router.updateTeam('other', { models: ['shared/model'] });
    provider.requests.length = 0;
    for (const [method, path] of [
      ['GET', '/openai/files'],
      ['GET', '/openai/v1/responses/resp_1'],
      ['POST', '/openai/deployments/shared/model/batches'],
      ['POST', '/openai/deployments/shared%2Fmodel/batches'],
      ['DELETE', '/openai/vector_stores/vs_1'],
    ] as const) {
      const answer = await fetch(`${gateway.url}${path}?api-version=${apiVersion}`, {
        method,
        headers: {
          authorization: `Bearer ${otherKey}`,
          'x-team-model': 'shared/model',
          'content-type': 'application/json',
        },
        ...(method === 'POST' ? { body: '{}' } : {}),
      });
      expect([answer.status, await answer.json()], path).toMatchObject([
        400,
        { error: { code: 'stateful_on_shared' } },
      ]);
    }
    expect(provider.requests).toEqual([]);
    const stateless = '/openai/deployments/shared/model/chat/completions';
    const answered = await fetch(gateway.url + stateless, {
      method: 'POST',
      headers: { authorization: `Bearer ${otherKey}`, 'content-type': 'application/json' },
      body: '{"messages":[{"role":"user","content":"x"}]}',
    });
    expect(answered.status).toBe(200);
  });
});
