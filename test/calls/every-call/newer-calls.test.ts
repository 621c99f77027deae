import OpenAI from 'openai-7';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Endpoint, endpoints } from '../../../src/calls/endpoints/table.ts';
import {
  type RecordedRequest,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../../support/recording-provider.ts';
import { type NewerCall, newerCalls } from './newer-calls.ts';
import { rows } from './rows.ts';

const target = 'their model';
const version = '2025-04-01-preview';
const masterKey = 'a-master-key-of-32-characters-or-more';

let provider: RecordingProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let teamKey: string;
/** The row of the call under way: the server answers as it says. */
let current: Endpoint;
let streams = false;

const events =
  'event: thread.run.completed\ndata: {"id":"run_1","n":12345678901234567890}\n\ndata: [DONE]\n\n';
/** Content that looks like an error, or like a part of a stream, whatever it is labelled. */
const content = '{"error":{"message":"a line of a file"}}\n{"error":null}\n';
const page = { object: 'list', data: [{ id: 'one', object: 'item' }], has_more: false, last_id: 'one' };

/** Where each protocol has the paths, and what it adds to the query. */
const places = [
  { name: 'on-openai', base: '/v1', query: {}, params: { api_base: '/v1' } },
  {
    name: 'on-azure',
    base: '/resource/openai',
    query: { 'api-version': version },
    params: { api_base: '/resource', api_version: version },
  },
  {
    name: 'on-azure-v1',
    base: '/v1s/openai/v1',
    query: {},
    params: { api_base: '/v1s/openai/v1', custom_llm_provider: 'azure' },
  },
];

beforeAll(async () => {
  provider = await recordingProvider((_, response) => {
    if (streams) response.writeHead(200, { 'content-type': 'text/event-stream' }).end(events);
    else if (current.answer === 'bytes')
      response.writeHead(200, { 'content-type': 'application/json' }).end(content);
    else if (current.answer === 'text')
      response.writeHead(201, { 'content-type': 'application/sdp' }).end('v=0\r\n');
    else sendJson(response, 200, { id: 'obj_1', ...page });
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  for (const { name, params } of places) {
    const { api_base, ...more } = params;
    await router.addModel('acme', {
      model_name: name,
      litellm_params: {
        model: target,
        num_retries: 0,
        api_key: 'sk-of-acme',
        api_base: provider.url + api_base,
        ...more,
      },
    });
  }
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
  teamKey = (await router.createKey('acme')).key;
});

afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const direct = () =>
  new OpenAI({ apiKey: 'direct', adminAPIKey: 'direct', baseURL: `${provider.url}/v1`, maxRetries: 0 });
const ways = {
  'fetchFor()': (name: string) =>
    new OpenAI({
      apiKey: 'in-process',
      adminAPIKey: 'in-process',
      baseURL: teamBaseUrl,
      maxRetries: 0,
      fetch: router.fetchFor('acme', { defaultModel: name }),
    }),
  'the gateway': (name: string) =>
    new OpenAI({
      apiKey: teamKey,
      adminAPIKey: teamKey,
      baseURL: `${gateway.url}/v1`,
      maxRetries: 0,
      defaultHeaders: { 'x-team-model': name },
    }),
};

/** What of a request has to be alike: everything but the connection, the key and the address of the provider. */
async function seen({ method, url, headers, body }: RecordedRequest, base: string) {
  const { pathname, searchParams } = new URL(url, provider.url);
  const type = headers['content-type'] ?? '';
  const form = type.startsWith('multipart/')
    ? await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData()
    : undefined;
  const read = async (value: string | File) =>
    typeof value === 'string' ? value : [value.name, value.type, await value.text()];
  return {
    method,
    path: decodeURIComponent(pathname.slice(base.length)),
    query: Object.fromEntries(searchParams),
    type: form === undefined ? type : 'multipart/form-data',
    accept: headers.accept,
    beta: headers['openai-beta'],
    body:
      form === undefined
        ? String(body)
        : (await Promise.all([...form].map(async ([name, value]) => [name, await read(value)]))).sort(),
  };
}

/** What the caller got, read to its end. */
async function answerOf(result: unknown): Promise<unknown> {
  if (result instanceof Response) return result.text();
  if (typeof result !== 'object' || result === null || !(Symbol.asyncIterator in result)) return result;
  if ('data' in result) return result.data;
  const read: unknown[] = [];
  for await (const event of result as AsyncIterable<unknown>) read.push(event);
  return read;
}

async function made(call: NewerCall['call'], client: OpenAI, model: string, base: string) {
  provider.requests.length = 0;
  const answer = await answerOf(await call(client, model));
  expect(provider.requests).toHaveLength(1);
  return { answer, request: await seen(provider.requests[0] as RecordedRequest, base) };
}

describe.each(Object.entries(ways))('a call of the newest client through %s', (_, client) => {
  describe.each(places)('$name', ({ name, base, query }) => {
    it.each(newerCalls.map((row) => [`${row.id}${row.stream ? ', streamed' : ''}`, row] as const))(
      'reaches the provider as it does without a router: %s',
      async (__, { id, call, stream = false }) => {
        current = endpoints.find((row) => row.id === id) as Endpoint;
        streams = stream;
        const expected = await made(call, direct(), target, '/v1');
        const { request, answer } = await made(call, client(name), name, base);
        expect(request).toEqual({ ...expected.request, query: { ...expected.request.query, ...query } });
        expect(answer).toEqual(expected.answer);
      },
    );
  });
});

it('every row of the table has a call, and a streamed one if it streams', () => {
  const remote = endpoints.filter(({ local }) => !local);
  const called = [...rows, ...newerCalls];
  expect([...new Set(called.map(({ id }) => id))].sort()).toEqual(remote.map(({ id }) => id).sort());
  const streamed = new Set(called.filter(({ stream }) => stream).map(({ id }) => id));
  expect([...streamed].sort()).toEqual(
    remote
      .filter(({ streams: api }) => api)
      .map(({ id }) => id)
      .sort(),
  );
});
