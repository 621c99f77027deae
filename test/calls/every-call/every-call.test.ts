import { LLMock } from '@copilotkit/aimock';
import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
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
import { type Ids, type Row, rows } from './rows.ts';

const target = 'their model';
const version = '2025-04-01-preview';
const masterKey = 'a-master-key-of-32-characters-or-more';

let mock: LLMock;
let provider: RecordingProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let teamKey: string;
/** The call under way: the server answers as its row says. */
let current: { row: Row; path: string };

const answers: Record<string, unknown> = {
  'conversations.items.create': { object: 'list', data: [{ id: 'msg_1', type: 'message' }], has_more: false },
  'responses.inputTokens.count': { object: 'response.input_tokens', input_tokens: 11 },
};
const recorded = ({ id }: Row): unknown =>
  answers[id] ??
  (/(list\w*|search|files\.content)$/.test(id)
    ? {
        object: 'list',
        data: [{ id: 'one', object: 'item' }],
        has_more: false,
        first_id: 'one',
        last_id: 'one',
      }
    : { id: 'obj_1', object: id, created: 1_700_000_000 });

const events = 'data: {"type":"response.completed","n":12345678901234567890}\n\ndata: [DONE]\n\n';

beforeAll(async () => {
  mock = new LLMock({ port: 0 });
  mock
    .onMessage(/./, { content: 'hi' })
    .onEmbedding(/./, { embedding: [0.5, 0.25] })
    .onImage(/./, { image: { url: 'https://images.example/1.png' } })
    .onSpeech(/./, { audio: 'AAAA' })
    .onTranscription({ transcription: { text: 'heard' } })
    .onTranslation({ transcription: { text: 'heard' } });
  await mock.start();
  provider = await recordingProvider((request, response) => {
    const { row, path } = current;
    if (row.mock === undefined && row.stream)
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(events);
    else if (row.mock === undefined) sendJson(response, 200, recorded(row));
    else {
      fetch(`${mock.url}/v1${path}`, {
        method: request.method,
        headers: { 'content-type': request.headers['content-type'] ?? 'application/json' },
        ...(request.body.length === 0 ? {} : { body: new Uint8Array(request.body) }),
      }).then(
        async (answer) => {
          const type = answer.headers.get('content-type') ?? 'application/octet-stream';
          response
            .writeHead(answer.status, { 'content-type': type })
            .end(Buffer.from(await answer.arrayBuffer()));
        },
        () => response.destroy(),
      );
    }
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  for (const { name, params } of targets()) {
    await router.addModel('acme', {
      model_name: name,
      litellm_params: { model: target, num_retries: 0, ...params },
    });
  }
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
  teamKey = (await router.createKey('acme')).key;
});

afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await Promise.all([provider.close(), mock.stop()]);
});

interface Target {
  name: string;
  params: { api_key: string; api_base: string; api_version?: string; custom_llm_provider?: string };
  auth: Record<string, string>;
  /** Where an endpoint's paths stand at this provider. */
  base: (endpoint: Endpoint) => string;
  query: Record<string, string>;
}

const underDeployment =
  /^(chat\.completions|completions|embeddings|images\.(generate|edit)|audio\.\w+(\.\w+)?)(\.create)?$/;

function targets(): Target[] {
  return [
    {
      name: 'on-openai',
      params: { api_key: 'sk-openai-of-acme', api_base: `${provider.url}/v1` },
      auth: { authorization: 'Bearer sk-openai-of-acme' },
      base: () => '/v1',
      query: {},
    },
    {
      name: 'on-azure',
      params: { api_key: 'azure-key-of-acme', api_base: `${provider.url}/resource`, api_version: version },
      auth: { 'api-key': 'azure-key-of-acme' },
      base: ({ id }) =>
        `/resource/openai${underDeployment.test(id) ? `/deployments/${encodeURIComponent(target)}` : ''}`,
      query: { 'api-version': version },
    },
    {
      name: 'on-azure-v1',
      params: {
        api_key: 'azure-v1-of-acme',
        api_base: `${provider.url}/v1s/openai/v1`,
        custom_llm_provider: 'azure',
      },
      auth: { 'api-key': 'azure-v1-of-acme' },
      base: () => '/v1s/openai/v1',
      query: {},
    },
  ];
}

/** The two doors: a client of the team in the process, and any OpenAI client at the gateway. */
const doors = {
  'forTeam()': (name: string) => router.forTeam('acme', { defaultModel: name }),
  'the gateway': (name: string) =>
    new OpenAI({
      apiKey: teamKey,
      baseURL: `${gateway.url}/v1`,
      maxRetries: 0,
      defaultHeaders: { 'x-team-model': name, 'openai-organization': 'org-of-the-caller', cookie: 'a=b' },
      defaultQuery: { 'api-version': 'of-the-caller', unheard: 'of' },
    }),
};

async function fresh(): Promise<Ids> {
  const form = new FormData();
  form.append('file', new File(['{"a":1}'], 'a.jsonl'));
  form.append('purpose', 'batch');
  const make = async (path: string, body: FormData | object) => {
    const init =
      body instanceof FormData
        ? { body }
        : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    return (
      (await (await fetch(`${mock.url}/v1${path}`, { method: 'POST', ...init })).json()) as { id: string }
    ).id;
  };
  const file = await make('/files', form);
  const batch = await make('/batches', {
    input_file_id: file,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  });
  return { file, batch, job: await make('/fine_tuning/jobs', { model: 'gpt-4o-mini', training_file: file }) };
}

function rowOf({ id }: Row): Endpoint {
  const endpoint = endpoints.find((candidate) => candidate.id === id);
  if (endpoint === undefined) throw new Error(`${id} is not in the table`);
  return endpoint;
}

async function contentOf(request: RecordedRequest): Promise<unknown> {
  const type = request.headers['content-type'] ?? '';
  if (request.body.length === 0) return undefined;
  if (!type.startsWith('multipart/')) return JSON.parse(String(request.body));
  const form = await new Response(new Uint8Array(request.body), {
    headers: { 'content-type': type },
  }).formData();
  return [...form].map(([name, value]) => [name, typeof value === 'string' ? value : value.name]).sort();
}

function expectedContent(row: Row, endpoint: Endpoint, ids: Ids): unknown {
  const carries = ['json', 'json_optional', 'form'].includes(endpoint.model);
  if (row.form !== undefined) return [...row.form, ...(carries ? [['model', target]] : [])].sort();
  const json = typeof row.json === 'function' ? row.json(ids) : row.json;
  return json === undefined ? undefined : { ...json, ...(carries ? { model: target } : {}) };
}

/** What the caller got, read to its end. */
async function answerOf(result: unknown): Promise<unknown> {
  if (result instanceof Response) return Buffer.from(await result.arrayBuffer());
  if (typeof result !== 'object' || result === null || !(Symbol.asyncIterator in result) || 'data' in result)
    return result;
  const read: unknown[] = [];
  for await (const event of result as AsyncIterable<unknown>) read.push(event);
  return read;
}

function checkAnswer(row: Row, answer: unknown): void {
  if (row.stream) {
    const bytes = Buffer.isBuffer(answer) ? String(answer) : JSON.stringify(answer);
    expect(Buffer.isBuffer(answer) ? bytes : answer).not.toHaveLength(0);
    if (row.mock === undefined) expect(bytes).toContain('response.completed');
  } else if (row.mock === undefined) {
    const { object: _, ...shape } = recorded(row) as { object?: string; data?: unknown };
    expect(answer).toMatchObject(shape.data === undefined ? shape : { data: shape.data });
  } else expect(answer).toBeTruthy();
}

describe.each(Object.entries(doors))('through %s', (_, door) => {
  describe.each(['on-openai', 'on-azure', 'on-azure-v1'])('%s', (name) => {
    it.each(rows.map((row) => [`${row.id}${row.stream ? ', streamed' : ''}`, row] as const))(
      '%s',
      async (__, row) => {
        const endpoint = rowOf(row);
        const to = targets().find((candidate) => candidate.name === name);
        if (to === undefined) throw new Error(name);
        const ids = row.call.length > 2 ? await fresh() : { file: '', batch: '', job: '' };
        const params = row.path?.(ids) ?? {};
        const path = endpoint.path.replace(/\{(\w+)\}/g, (___, param: string) => params[param] ?? param);
        current = { row, path };
        provider.requests.length = 0;

        checkAnswer(row, await answerOf(await row.call(door(name), name, ids)));

        expect(provider.requests).toHaveLength(1);
        const [request] = provider.requests as [RecordedRequest];
        const url = new URL(request.url, provider.url);
        expect(`${request.method} ${url.pathname}`).toBe(`${endpoint.method} ${to.base(endpoint)}${path}`);
        expect(Object.fromEntries(url.searchParams)).toEqual({ ...row.query, ...to.query });
        expect(await contentOf(request)).toEqual(expectedContent(row, endpoint, ids));
        const { authorization, 'api-key': apiKey, ...others } = request.headers;
        expect({ ...(authorization && { authorization }), ...(apiKey && { 'api-key': apiKey }) }).toEqual(
          to.auth,
        );
        const known =
          /^(host|connection|accept|accept-encoding|openai-beta|user-agent|content-type|content-length|transfer-encoding)$/;
        expect(Object.keys(others).filter((header) => !known.test(header))).toEqual([]);
      },
    );
  });
});

describe.each(Object.entries(doors))('through %s', (_, door) => {
  it('models.list and models.retrieve are answered without a provider, by public names', async () => {
    provider.requests.length = 0;
    const listed = [];
    for await (const model of door('on-openai').models.list()) listed.push(model.id);
    expect(listed.sort()).toEqual(['on-azure', 'on-azure-v1', 'on-openai']);
    expect(await door('on-openai').models.retrieve('on-azure')).toMatchObject({
      id: 'on-azure',
      object: 'model',
    });
    expect(provider.requests).toHaveLength(0);
  });
});

it('only the lists of models are answered by the router itself', () => {
  expect(endpoints.filter(({ local }) => local).map(({ id }) => id)).toEqual([
    'models.list',
    'models.retrieve',
  ]);
});

it("a call that a provider's endpoint lacks is its own 404", async () => {
  current = { row: { id: 'none', call: () => Promise.resolve() }, path: '' };
  const lacking = await recordingProvider((_, response) =>
    sendJson(response, 404, { error: { message: 'No such route: of theirs' } }),
  );
  const other = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [lacking.url] },
  });
  try {
    const params = { model: 'groq/llama', api_key: 'gsk-of-acme', api_base: lacking.url };
    await other.addModel('acme', { model_name: 'm', litellm_params: params });
    const error = await other
      .forTeam('acme')
      .embeddings.create({ model: 'm', input: 'x' })
      .then(
        () => expect.unreachable(),
        (reason: unknown) => reason,
      );
    expect(error).toMatchObject({ status: 404, error: { message: 'No such route: of theirs' } });
  } finally {
    await other.close();
    await lacking.close();
  }
});

it.each(['/unheard/of', '/v1/v1/chat/completions', '/files/a/b/c', '/v1/../admin'])(
  '%s is a 404 in the error shape, and goes nowhere',
  async (path) => {
    provider.requests.length = 0;
    const init = {
      method: 'POST',
      body: '{"model":"on-openai"}',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${teamKey}` },
    };
    const inProcess = await router.fetchFor('acme')(`https://team-model-router.invalid${path}`, init);
    const atGateway = await fetch(gateway.url + path, init);
    for (const answer of [inProcess, atGateway]) {
      expect(answer.status).toBe(404);
      expect(await answer.json()).toMatchObject({
        error: { code: 'not_found', type: 'invalid_request_error' },
      });
    }
    expect(provider.requests).toHaveLength(0);
  },
);
