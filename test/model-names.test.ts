import { type Caller, isRouterError, type ModelBody, type TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  everything,
  type GatewayFixture,
  gatewayFixture,
  masterKey,
  outcome,
  send,
} from './support/gateway.ts';
import {
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from './support/recording-provider.ts';

// LiteLLM's wildcards, and its words for many models: honoured, or refused with what to write, and never taken literally.

let provider: RecordingProvider;
let house: GatewayFixture;
let router: TeamModelRouter;
let gateway: Gateway;

beforeAll(async () => {
  provider = await recordingProvider((_request, response) => sendJson(response, 200, chatCompletion('x')));
});
afterAll(() => provider.close());
beforeEach(async () => {
  house = gatewayFixture({ egress: { allow: [provider.url] } });
  ({ router, gateway } = house);
  await router.addModel('acme', body('alpha'));
  await router.addModel('acme', body('beta'));
  await router.addSharedModel(body('common'));
});

const body = (model_name: string, model = 'gpt-4o'): ModelBody => ({
  model_name,
  litellm_params: { model, api_key: 'sk-0123456789', api_base: provider.url },
});

const patterns = ['openai/*', 'gpt-*', '*/gpt-4o', 'gpt-*-mini', '**', ' * ', 'gpt-.*'];
const words = ['all-team-models', 'all-proxy-models', 'no-default-models'];
const misspelt = ['All-Team-Models', 'all_team_models', 'all proxy models', ' no-default-models'];

async function refused(promise: unknown, param: string, says = /./): Promise<void> {
  const error = await Promise.resolve(promise).then(
    () => expect.unreachable('it was taken'),
    (thrown: unknown) => thrown,
  );
  if (!isRouterError(error)) throw error;
  expect({ code: error.code, param: error.param }).toEqual({ code: 'invalid_request', param });
  expect(error.message).toMatch(says);
}

async function refusedOverHttp(line: string, sent: unknown, param: string): Promise<void> {
  const answer = await send(gateway, line, { key: masterKey, body: sent });
  expect([outcome(answer), answer.json]).toEqual([
    '400 invalid_request',
    { error: expect.objectContaining({ param }) },
  ]);
}

const namesFor = async (key: string) => {
  const { json } = await send(gateway, 'GET /v1/models', { key });
  return (json as { data: { id: string }[] }).data.map(({ id }) => id).sort();
};
const call = async (key: string, model: string, more: object = {}) =>
  outcome(await send(gateway, 'POST /v1/chat/completions', { key, body: { model, messages: [], ...more } }));

describe('a model', () => {
  it('is not called by a pattern or a word for many', async () => {
    const { model_id: id } = await router.addModel('acme', body('gamma'));
    const before = await everything(house.storage);
    for (const name of [...patterns, ...words, ...misspelt, '*']) {
      await refused(router.addModel('acme', body(name)), 'model_name');
      await refused(router.addSharedModel(body(name)), 'model_name');
      await refused(router.testModel('acme', body(name)), 'model_name');
      await refused(router.updateModel('acme', id, { model_name: name }), 'model_name');
      await refusedOverHttp('POST /model/new', body(name), 'model_name');
      await refusedOverHttp(`PATCH /model/${id}/update`, { model_name: name }, 'model_name');
    }
    expect(await everything(house.storage)).toBe(before);
  });

  it('is no pattern of its provider, as LiteLLM writes all models of one', async () => {
    for (const model of ['*', 'openai/*', 'gpt-*', 'azure/*']) {
      await refused(
        router.addModel('acme', body('m', model)),
        'litellm_params.model',
        /Add a model for each/,
      );
      await refused(router.addModel('acme', body('*', model)), 'model_name', /Add a model for each/);
      await refused(router.addSharedModel(body('m', model)), 'litellm_params.model');
      await refusedOverHttp('POST /model/new', body('m', model), 'litellm_params.model');
    }
  });
});

describe('a key', () => {
  it.each(['all-team-models', 'all-proxy-models', '*'])('with %s may call all of its team', async (word) => {
    await router.updateTeam('acme', { models: ['common'] });
    for (const models of [[word], ['alpha', word]]) {
      const made = await router.createKey('acme', { models });
      expect(made.models).toEqual(['all-team-models']);
      const overHttp = await send(gateway, 'POST /key/generate', {
        key: masterKey,
        body: { team_id: 'acme', models },
      });
      const { key: limited } = await router.createKey('acme', { models: ['alpha'] });
      await router.updateKey('acme', limited, { models });
      const { key: renewed } = await router.createKey('acme', { models: ['alpha'] });
      const { key: again } = await router.regenerateKey('acme', renewed, { models });
      for (const key of [made.key, (overHttp.json as { key: string }).key, limited, again]) {
        expect(await namesFor(key)).toEqual(['alpha', 'beta', 'common']);
        expect(await call(key, 'beta')).toBe('200');
        expect(outcome(await send(gateway, 'GET /team/info', { key }))).toBe('200');
      }
    }
  });

  it('with no-default-models may call no model, and with names only these', async () => {
    const { key: none } = await router.createKey('acme', { models: ['no-default-models'] });
    expect(await namesFor(none)).toEqual([]);
    expect(await call(none, 'alpha')).toBe('404 model_not_found');
    const some = await router.createKey('acme', { models: ['no-default-models', 'alpha'] });
    expect(some.models).toEqual(['alpha']);
    expect(await namesFor(some.key)).toEqual(['alpha']);
  });

  it('takes no name with spaces or invisible characters around it', async () => {
    const { token } = await router.createKey('acme', { models: ['alpha'] });
    const litellm_params = { model: 'openai/real', api_key: 'sk-0123456789abcdef' };
    for (const name of ['alpha ', ' alpha', 'alpha\u00a0', 'alpha\u200b', '\ufeffalpha', '\u2003alpha']) {
      const models = ['alpha', name];
      await refused(router.createKey('acme', { models }), 'models[1]', /Remove spaces/);
      await refused(router.updateKey('acme', token, { models }), 'models[1]', /Remove spaces/);
      await refused(router.createTeam({ models }), 'models[1]', /Remove spaces/);
      await refused(router.updateTeam('acme', { models }), 'models[1]', /Remove spaces/);
      await refused(
        router.addModel('acme', { model_name: name, litellm_params }),
        'model_name',
        /Remove spaces/,
      );
      await refusedOverHttp('POST /key/generate', { team_id: 'acme', models }, 'models[1]');
    }
    expect((await router.createKey('acme', { models: ['my model'] })).models).toEqual(['my model']);
  });

  it('takes no pattern, no other spelling, and no contradiction', async () => {
    const { token } = await router.createKey('acme', { models: ['alpha'] });
    const before = await everything(house.storage);
    for (const name of [...patterns, ...misspelt]) {
      const models = ['alpha', name];
      await refused(router.createKey('acme', { models }), 'models[1]', /Patterns|spelt/);
      await refused(router.updateKey('acme', token, { models }), 'models[1]');
      await refused(router.regenerateKey('acme', token, { models }), 'models[1]');
      await refusedOverHttp('POST /key/generate', { team_id: 'acme', models }, 'models[1]');
      await refusedOverHttp('POST /key/update', { token, models }, 'models[1]');
    }
    for (const word of ['*', 'all-team-models', 'all-proxy-models'])
      await refused(
        router.createKey('acme', { models: [word, 'no-default-models'] }),
        'models',
        /Send \[\] for none/,
      );
    expect(await everything(house.storage)).toBe(before);
  });

  it('that was stored with a word in its list is not restricted by it', async () => {
    const { key } = await router.createKey('acme', { models: ['alpha'] });
    const stored = await house.storage.get('team/acme');
    if (stored === undefined || stored === 'unchanged') return expect.unreachable();
    await house.storage.put('team/acme', stored.value.replace('["alpha"]', '["*"]'), stored.version);
    await router.updateTeam('acme', { metadata: { read: 'again' } });
    expect(await namesFor(key)).toEqual(['alpha', 'beta']);
    expect(await call(key, 'beta')).toBe('200');
  });
});

describe('a team', () => {
  const sharedOf = async () => namesFor((await router.createKey('acme')).key);

  it.each(['*', 'all-proxy-models'])('with %s may use every shared model', async (word) => {
    for (const change of [
      () => router.updateTeam('acme', { models: [word] }),
      () => router.allowSharedModels('acme', [word]),
      () => send(gateway, 'POST /team/update', { key: masterKey, body: { team_id: 'acme', models: [word] } }),
      () =>
        send(gateway, 'POST /team/model/add', { key: masterKey, body: { team_id: 'acme', models: [word] } }),
    ]) {
      await router.updateTeam('acme', { models: [] });
      await change();
      expect((await router.getTeamInfo('acme')).team_info.models).toEqual(['all-proxy-models']);
      expect(await sharedOf()).toContain('common');
      await router.disallowSharedModels('acme', [word]);
      expect(await sharedOf()).not.toContain('common');
    }
    expect((await router.createTeam({ models: [word] })).models).toEqual(['all-proxy-models']);
  });

  it('with no-default-models may use none but what is named', async () => {
    expect((await router.updateTeam('acme', { models: ['no-default-models'] })).models).toEqual([]);
    expect((await router.updateTeam('acme', { models: ['no-default-models', 'common'] })).models).toEqual([
      'common',
    ]);
  });

  it('takes no pattern, no word for its own models, and no other spelling', async () => {
    const before = await everything(house.storage);
    for (const name of [...patterns, ...misspelt, 'all-team-models']) {
      const models = ['common', name];
      await refused(router.createTeam({ models }), 'models[1]', /Patterns|spelt|own models/);
      await refused(router.updateTeam('acme', { models }), 'models[1]');
      await refused(router.allowSharedModels('acme', models), 'add[1]');
      await refused(router.disallowSharedModels('acme', models), 'remove[1]');
      for (const line of ['POST /team/update', 'POST /team/model/add', 'POST /team/model/delete'])
        await refusedOverHttp(line, { team_id: 'acme', models }, 'models[1]');
      await refusedOverHttp('POST /team/new', { models }, 'models[1]');
    }
    expect(await everything(house.storage)).toBe(before);
  });
});

describe('fallbacks and the model of a client', () => {
  const names = [...patterns, ...words, ...misspelt];

  it('of a team name no pattern, nor lead from one', async () => {
    for (const name of [...names, '*']) {
      for (const fallbacks of [[{ [name]: ['beta'] }], [{ alpha: [name] }]]) {
        const settings = { fallbacks };
        await refused(router.updateTeam('acme', { settings }), 'settings.fallbacks', /an entry for each/);
        await refusedOverHttp('POST /team/update', { team_id: 'acme', settings }, 'settings.fallbacks');
      }
    }
  });

  it('of a call and of a client are refused by name', async () => {
    const { key } = await router.createKey('acme');
    for (const name of [...names, '*']) {
      for (const make of [router.forTeam.bind(router), router.fetchFor.bind(router)]) {
        const given = (options: object) => (async () => void make('acme', options))();
        await refused(given({ fallbacks: ['beta', name] }), 'fallbacks[1]');
        await refused(given({ defaultModel: name }), 'defaultModel');
      }
      expect(await call(key, 'alpha', { fallbacks: [name] }), name).toBe('400 invalid_request');
      const messages = [{ role: 'user' as const, content: 'x' }];
      const inProcess = router.chatCompletion('acme', { model: 'alpha', messages }, { fallbacks: [name] });
      await expect(inProcess).rejects.toMatchObject({
        status: 400,
        param: expect.stringMatching(/^fallbacks/),
      });
    }
  });
});

describe('a caller that the application names itself', () => {
  const ask = async (caller: Caller, model = 'beta') => {
    const answer = await router.dispatch(caller, {
      method: 'POST',
      path: '/v1/chat/completions',
      query: new URLSearchParams(),
      headers: new Headers({ 'content-type': 'application/json' }),
      body: Buffer.from(JSON.stringify({ model, messages: [] })),
    });
    const { error } = JSON.parse(String(answer.body)) as { error?: { param: string } };
    return error === undefined ? answer.status : `${answer.status} ${error.param}`;
  };

  it('may use all, none, or names; patterns are refused', async () => {
    for (const word of ['*', 'all-team-models', 'all-proxy-models'])
      expect(await ask({ teamId: 'acme', models: [word] })).toBe(200);
    expect(await ask({ teamId: 'acme', models: ['no-default-models'] })).toBe('404 model');
    expect(await ask({ teamId: 'acme', models: ['alpha'] })).toBe('404 model');
    for (const models of [['be*'], ['no-default-models', '*']])
      expect(await ask({ teamId: 'acme', models })).toBe('400 models');
  });

  it('may be answered by authenticate alike', async () => {
    const lines: string[] = [];
    const logger = {
      info() {},
      error() {},
      warn: (fields: object, message: string) => lines.push(`${message} ${JSON.stringify(fields)}`),
    };
    const as = (models: string[]) =>
      createGateway(router, { authenticate: () => ({ teamId: 'acme', keyType: 'default', models }), logger });
    const asked = async (models: string[]) =>
      outcome(await send(as(models), 'POST /v1/chat/completions', { body: { model: 'beta', messages: [] } }));
    for (const word of ['*', 'all-team-models', 'all-proxy-models']) {
      expect(await asked([word])).toBe('200');
      const { json } = await send(as([word]), 'GET /model/info');
      expect((json as { data: unknown[] }).data).toHaveLength(2);
    }
    expect(await asked(['no-default-models'])).toBe('404 model_not_found');
    expect(await asked(['alpha', 'be*'])).toBe('401 invalid_api_key');
    await vi.waitFor(() => expect(lines.join()).toContain('"field":"models.1"'));
  });

  it('may change what it may use, by the words too', async () => {
    for (const word of ['*', 'all-team-models', 'all-proxy-models'])
      await router.addModel('acme', body('beta'), { models: [word] });
    for (const models of [['no-default-models'], ['alpha']])
      await expect(router.addModel('acme', body('beta'), { models })).rejects.toMatchObject({
        code: 'permission_denied',
      });
    await refused(router.addModel('acme', body('beta'), { models: ['be*'] }), 'models[0]');
  });
});
