import OpenAI from 'openai';
import {
  generateEncryptionKey,
  type ModelView,
  memoryStorage,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from './support/recording-provider.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];

let acmes: RecordingProvider;
let globexes: RecordingProvider;
let operators: RecordingProvider;
let router: TeamModelRouter;
let secret: ModelView;

beforeEach(async () => {
  [acmes, globexes, operators] = [
    await recordingProvider(),
    await recordingProvider(),
    await recordingProvider(),
  ];
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [acmes.url, globexes.url], allowShared: [operators.url] },
  });
  const body = (name: string, url: string, key: string) => ({
    model_name: name,
    litellm_params: { model: `at-${key}`, api_key: key, api_base: url },
  });
  await router.addModel('acme', body('common-name', acmes.url, 'acmes-key'));
  await router.addModel('globex', body('common-name', globexes.url, 'globexes-key'));
  secret = await router.addModel('globex', body('globex-only', globexes.url, 'globexes-key'));
  await router.addSharedModel(body('shared', operators.url, 'operators-key'));
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await Promise.all([acmes, globexes, operators].map((provider) => provider.close()));
});

const everyDoor: Record<string, (team: string, name: string) => Promise<unknown>> = {
  'the model of a chat': (team, model) => router.chatCompletion(team, { model, messages }),
  'the model of a stream': (team, model) => router.chatCompletion(team, { model, messages, stream: true }),
  'the model of embeddings': (team, model) => router.forTeam(team).embeddings.create({ model, input: 'x' }),
  'the model of a form': (team, model) =>
    router.forTeam(team).audio.transcriptions.create({ model, file: new File(['x'], 'x.wav') }),
  'the default model': (team, defaultModel) => router.forTeam(team, { defaultModel }).files.list(),
  'the header x-team-model': (team, model) =>
    router.forTeam(team).files.list({}, { headers: { 'x-team-model': encodeURI(model) } }),
  'the query ?model=': (team, model) => router.forTeam(team).get('/files', { query: { model } }),
  "Azure's path": (team, model) => {
    const path = `/openai/deployments/${encodeURIComponent(model)}/chat/completions`;
    return fetchJson(team, path, JSON.stringify({ model: 'common-name', messages }));
  },
  'the model that is retrieved': (team, model) => router.forTeam(team).models.retrieve(model),
};

async function fetchJson(team: string, path: string, body: string): Promise<unknown> {
  const url = teamBaseUrl.replace('/v1', path);
  const response = await router.fetchFor(team)(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const answer: unknown = await response.json();
  if (!response.ok) {
    throw Object.assign(new Error('refused'), {
      status: response.status,
      error: (answer as { error: object }).error,
    });
  }
  return answer;
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  const thrown = await promise.then(
    () => expect.unreachable('the call was answered'),
    (error: unknown) => error,
  );
  const { status, error } = thrown as { status?: number; error?: unknown };
  return { status, error };
}

const renamed = (value: unknown, from: string, to: string) =>
  JSON.parse(
    JSON.stringify(value).replaceAll(
      JSON.stringify(JSON.stringify(from)).slice(1, -1),
      JSON.stringify(JSON.stringify(to)).slice(1, -1),
    ),
  );

describe.each(Object.keys(everyDoor))('through %s', (door) => {
  const knock = (team: string, name: string) => everyDoor[door]?.(team, name) ?? Promise.resolve();

  it.each(['globex-only', 'id'] as const)("a team does not reach another's %s", async (which) => {
    const name = which === 'id' ? secret.model_id : which;
    await knock('globex', name);
    const before = globexes.requests.length;

    const nobodys = 'nobody-has-this-name';
    const refused = await failure(knock('acme', name));
    expect(refused).toMatchObject({ status: 404, error: { code: 'model_not_found', param: 'model' } });
    expect(renamed(refused, name, nobodys)).toEqual(await failure(knock('acme', nobodys)));
    expect(JSON.stringify(refused)).not.toContain('globexes');
    expect(globexes.requests).toHaveLength(before);
    expect(acmes.requests).toHaveLength(0);

    await knock('globex', name);
  });

  it('an internal name reaches nothing, even for its own team', async () => {
    for (const team of ['acme', 'globex']) {
      expect(await failure(knock(team, secret.model_name))).toMatchObject({ status: 404 });
    }
  });
});

const stateless = Object.keys(everyDoor).filter((door) => !/default|header|query/.test(door));

describe.each(stateless)('through %s', (door) => {
  it('a shared name is unknown until the team may use it', async () => {
    const knock = (team: string, name: string) => everyDoor[door]?.(team, name) ?? Promise.resolve();
    expect(await failure(knock('acme', 'shared'))).toMatchObject({
      status: 404,
      error: { code: 'model_not_found' },
    });
    await router.updateTeam('acme', { models: ['shared'] });
    await knock('acme', 'shared');
    expect(await failure(knock('globex', 'shared'))).toMatchObject({ status: 404 });
  });
});

describe('a name that both teams have', () => {
  it('leads each of them to its own provider, with its own key', async () => {
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        ['acme', 'globex'].map((team) => router.chatCompletion(team, { model: 'common-name', messages })),
      );
    }
    const seen = (provider: RecordingProvider) =>
      new Set(
        provider.requests.map(
          ({ headers, body }) => `${headers.authorization} ${JSON.parse(String(body)).model}`,
        ),
      );
    expect([...seen(acmes)]).toEqual(['Bearer acmes-key at-acmes-key']);
    expect([...seen(globexes)]).toEqual(['Bearer globexes-key at-globexes-key']);
    expect([acmes.requests.length, globexes.requests.length]).toEqual([20, 20]);
  });
});

describe('a shared model', () => {
  beforeEach(() => router.updateTeam('acme', { models: ['shared', 'common-name'] }));

  it("gives way to the team's own model of the same name", async () => {
    await router.addSharedModel({
      model_name: 'common-name',
      litellm_params: { model: 'operators', api_key: 'operators-key', api_base: operators.url },
    });
    await router.chatCompletion('acme', { model: 'common-name', messages });
    expect([acmes.requests.length, operators.requests.length]).toEqual([1, 0]);
    expect((await router.forTeam('acme').models.list()).data.map(({ id }) => id)).toEqual([
      'common-name',
      'shared',
    ]);
  });

  it("is not reached by its id, and its address is not every team's", async () => {
    const { data } = await router.listSharedModels();
    const id = data[0]?.model_info.id ?? '';
    await expect(router.chatCompletion('acme', { model: id, messages })).rejects.toMatchObject({
      status: 404,
    });
    const params = { model: 'x', api_key: 'mine', api_base: operators.url };
    await expect(router.addModel('acme', { model_name: 'x', litellm_params: params })).rejects.toMatchObject({
      code: 'api_base_not_allowed',
    });
  });

  it('serves stateless calls only', async () => {
    const client = router.forTeam('acme', { defaultModel: 'shared' });
    const stateful: (() => Promise<unknown>)[] = [
      () => client.files.list(),
      () => client.batches.list(),
      () => client.responses.retrieve('resp_1'),
      () => client.responses.create({ model: 'shared', input: 'x' }),
      () =>
        client.responses.create({
          model: 'shared',
          input: 'x',
          store: false,
          previous_response_id: 'resp_1',
        }),
      () => client.chat.completions.create({ model: 'shared', messages, store: true }),
      () =>
        client.responses.create({
          model: 'shared',
          store: false,
          input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-of-another' }] }],
        }),
      () =>
        fetchJson(
          'acme',
          '/v1/responses',
          '{"model":"shared","store":false,"input":[{"content":[{"file\\u005fid":"f"}]}]}',
        ),
    ];
    for (const call of stateful) {
      expect(await failure(call())).toMatchObject({ status: 400, error: { code: 'stateful_on_shared' } });
    }
    expect(operators.requests).toHaveLength(0);
    await client.responses.create({ model: 'shared', input: 'x', store: false });
    expect(operators.requests).toHaveLength(1);
  });
});

describe('a team client', () => {
  it('is a real OpenAI client that reaches no other origin', async () => {
    const client = router.forTeam('acme');
    expect(client).toBeInstanceOf(OpenAI);
    const astray = client.withOptions({ baseURL: acmes.url });
    await expect(astray.chat.completions.create({ model: 'common-name', messages })).rejects.toThrow();
    for (const url of [acmes.url, 'https://team-model-router.invalid@127.0.0.1/v1/files']) {
      await expect(router.fetchFor('acme')(url)).rejects.toMatchObject({
        code: 'invalid_request',
        param: 'url',
      });
    }
    expect(acmes.requests).toHaveLength(0);
  });

  it('passes no header of the caller on but the ones that are meant to', async () => {
    await router.fetchFor('acme')(`${teamBaseUrl}/chat/completions?api-version=1&limit=2&key=x`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: 'Bearer of-the-caller',
        'api-key': 'of-the-caller',
        cookie: 'session=of-the-caller',
        'openai-organization': 'of-the-caller',
        'x-forwarded-for': 'of-the-caller',
        'x-team-model': 'of-the-caller',
        'openai-beta': 'assistants=v2',
        'idempotency-key': 'once',
      },
      body: JSON.stringify({ model: 'common-name', messages }),
    });
    const [request] = acmes.requests;
    expect(request?.url).toBe('/v1/chat/completions');
    expect(acmes.everything()).not.toContain('of-the-caller');
    expect(request?.headers).toMatchObject({
      authorization: 'Bearer acmes-key',
      'openai-beta': 'assistants=v2',
      'idempotency-key': 'once',
    });
  });

  it.each(['api_key', 'api_base', 'base_url', 'api_version', 'custom_llm_provider', 'litellm_params'])(
    'may not set %s in a body',
    async (field) => {
      const body = { model: 'common-name', messages, [field]: 'x' };
      await expect(router.chatCompletion('acme', body)).rejects.toMatchObject({ status: 400, param: field });
      expect(acmes.requests).toHaveLength(0);
    },
  );
});
