import { randomUUID } from 'node:crypto';
import {
  generateEncryptionKey,
  memoryStorage,
  RouterError,
  type RouterErrorCode,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from './support/recording-provider.ts';

const key = 'sk-0123456789abcdefcb07';

let provider: RecordingProvider;
let storage: Storage;
let router: TeamModelRouter;

beforeEach(async () => {
  provider = await recordingProvider();
  storage = memoryStorage();
  router = new TeamModelRouter({
    storage,
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const body = (name = 'my-team-model') => ({
  model_name: name,
  litellm_params: { model: 'openai/gpt-4o', api_key: key, api_base: provider.url },
});

async function refusal(promise: Promise<unknown>, code: RouterErrorCode, param?: string | null) {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(RouterError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ code, ...(param === undefined ? {} : { param }) });
}

const ask = (teamId: string, model: string) =>
  router.chatCompletion(teamId, { model, messages: [{ role: 'user', content: 'hello' }] });

const storedKeys = async () =>
  (await storage.list('', { limit: 1000 })).entries.map((entry) => entry.key).sort();

describe('models', () => {
  it('are shown with masked secrets, under the documented fields', async () => {
    const added = await router.addModel('acme', body(), { userId: 'jane' });
    expect(added).toMatchObject({
      model_name: expect.stringMatching(/^model_name_acme_[0-9a-f-]{36}$/),
      litellm_params: { model: 'openai/gpt-4o', api_base: provider.url, api_key: 'sk-...cb07' },
      model_info: { id: added.model_id, team_id: 'acme', team_public_model_name: 'my-team-model' },
      created_by: 'jane',
      updated_by: 'jane',
    });
    expect(await router.getModel('acme', added.model_id)).toEqual(added);
    const { data } = await router.listModels('acme');
    expect(data.map(({ model_name }) => model_name)).toEqual(['my-team-model']);
  });

  it('share one internal name when they share a public one', async () => {
    const [one, two] = [await router.addModel('acme', body()), await router.addModel('acme', body())];
    expect(two.model_id).not.toBe(one.model_id);
    expect(two.model_name).toBe(one.model_name);
    const { team_info } = await router.getTeamInfo('acme');
    expect(team_info.litellm_model_table.model_aliases).toEqual({ 'my-team-model': one.model_name });
  });

  it('are renamed by a patch, and leave no alias behind', async () => {
    const { model_id } = await router.addModel('acme', body());
    await router.updateModel('acme', model_id, { model_name: 'new-name' });
    expect(
      Object.keys((await router.getTeamInfo('acme')).team_info.litellm_model_table.model_aliases),
    ).toEqual(['new-name']);
    await ask('acme', 'new-name');
    await expect(ask('acme', 'my-team-model')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  it('take a new key for the very next call', async () => {
    const { model_id } = await router.addModel('acme', body());
    await ask('acme', 'my-team-model');
    await router.updateModel('acme', model_id, { litellm_params: { api_key: 'sk-another-key-entirely' } });
    await ask('acme', 'my-team-model');
    expect(provider.requests.map(({ headers }) => headers.authorization)).toEqual([
      `Bearer ${key}`,
      'Bearer sk-another-key-entirely',
    ]);
  });

  it('are gone for the very next call', async () => {
    const { model_id } = await router.addModel('acme', body());
    await ask('acme', 'my-team-model');
    expect(await router.deleteModel('acme', model_id)).toEqual({
      message: `Model: ${model_id} deleted successfully`,
    });
    await expect(ask('acme', 'my-team-model')).rejects.toMatchObject({ code: 'model_not_found' });
    await refusal(router.getModel('acme', model_id), 'model_not_found', 'id');
    expect(await storedKeys()).toEqual(['team/acme']);
  });

  it('do not move to another address without their key', async () => {
    const { model_id } = await router.addModel('acme', body());
    const before = await router.getModel('acme', model_id);
    for (const params of [
      { api_base: `${provider.url}/elsewhere` },
      { organization: 'org-x' },
      { api_base: null },
    ]) {
      await refusal(
        router.updateModel('acme', model_id, { litellm_params: params }),
        'api_key_required',
        'litellm_params.api_key',
      );
    }
    expect(await router.getModel('acme', model_id)).toEqual(before);
  });

  it("are found by an operator by their id alone, in the team's record or not at all", async () => {
    const { model_id } = await router.addModel('acme', body());
    const shared = await router.addSharedModel(body('common'));
    expect(await router.findModelTeam(model_id)).toEqual({ team_id: 'acme' });
    expect(await router.findModelTeam(shared.model_id)).toEqual({ team_id: null });
    await router.deleteTeam('acme');
    expect(await router.findModelTeam(model_id)).toBeUndefined();
    expect(await router.findModelTeam(randomUUID())).toBeUndefined();
  });

  it('of another team are an unknown id, and stay as they are', async () => {
    const { model_id } = await router.addModel('acme', body());
    await router.addModel('globex', body());
    const before = await router.getModel('acme', model_id);
    await refusal(router.getModel('globex', model_id), 'model_not_found');
    await refusal(router.deleteModel('globex', model_id), 'model_not_found');
    await refusal(router.updateModel('globex', model_id, { model_name: 'mine' }), 'model_not_found');
    await refusal(router.testModel('globex', { id: model_id }), 'model_not_found');
    expect(await router.getModel('acme', model_id)).toEqual(before);
    expect(provider.requests).toHaveLength(0);
  });

  it.each(['', ' ', 'a\nb', 'x'.repeat(257), '\ud800'])(
    'are not added to a team called %j',
    async (teamId) => {
      await refusal(router.addModel(teamId, body()), 'invalid_request', 'team_id');
      expect(await storedKeys()).toEqual([]);
    },
  );

  it('refuse a body that names another team', async () => {
    const given = { ...body(), model_info: { team_id: 'globex' } };
    await refusal(router.addModel('acme', given), 'invalid_request', 'model_info.team_id');
    await refusal(router.addSharedModel(given), 'invalid_request', 'model_info.team_id');
    expect(await storedKeys()).toEqual([]);
  });

  it.each(['with space', 'a/b', '🦜', '__proto__', 'constructor', 'toString', '%2e%2e'])(
    'may be called %j',
    async (name) => {
      const added = await router.addModel('acme', body(name));
      const { model_aliases } = (await router.getTeamInfo('acme')).team_info.litellm_model_table;
      expect(Object.entries(model_aliases)).toEqual([[name, added.model_name]]);
      await ask('acme', name);
      expect(JSON.parse(String(provider.requests[0]?.body)).model).toBe('gpt-4o');
    },
  );
});

describe('a test call', () => {
  it('says how it went, and stores nothing', async () => {
    expect(await router.testModel('acme', body())).toMatchObject({
      status: 'ok',
      message: expect.any(String),
    });
    const elsewhere = {
      ...body(),
      litellm_params: { ...body().litellm_params, api_base: 'https://10.0.0.1' },
    };
    expect(await router.testModel('acme', elsewhere)).toMatchObject({ status: 'address_not_allowed' });
    const unknown = { ...body(), litellm_params: { ...body().litellm_params, api_kee: 'x' } };
    await refusal(router.testModel('acme', unknown), 'invalid_request', 'litellm_params.api_kee');
    expect(await storedKeys()).toEqual([]);
    expect(provider.requests).toHaveLength(1);
  });

  it('of a stored model takes only its id: another field was dropped silently', async () => {
    const { model_id: id } = await router.addModel('acme', body());
    const shared = await router.addSharedModel(body());
    for (const field of ['api_base', 'api_key', 'model', 'model_info', 'extra_headers']) {
      const given = { id, [field]: 'https://elsewhere.example' };
      await refusal(router.testModel('acme', given), 'invalid_request', field);
      await refusal(router.testSharedModel({ ...given, id: shared.model_id }), 'invalid_request', field);
    }
    await refusal(router.testModel('acme', { ...body(), id }), 'invalid_request', 'id');
    const { model_name } = body();
    await refusal(router.testModel('acme', { id, model_name } as never), 'invalid_request');
    for (const given of [undefined, null, id, [], {}, { id: 1 }])
      await refusal(router.testModel('acme', given as never), 'invalid_request');
    expect(provider.requests).toHaveLength(0);
    expect(await router.testModel('acme', { id })).toMatchObject({
      status: 'ok',
      message: expect.any(String),
    });
  });

  it.each([
    [401, '{}', 'key_rejected'],
    [403, '{}', 'key_rejected'],
    [404, '{"error":{"code":"DeploymentNotFound"}}', 'deployment_not_found'],
    [404, '{"error":{"message":"API version not supported"}}', 'api_version_rejected'],
    [400, '{"error":{"message":"max_tokens is not supported"}}', 'ok'],
    [500, 'secret words of an internal service', 'unreachable'],
    [302, '', 'unreachable'],
  ])('that is answered %i is told as one word', async (status, text, word) => {
    const other = await recordingProvider((_, response) => {
      response.writeHead(status, { 'content-type': 'application/json', location: 'http://127.0.0.1:1/' });
      response.end(text);
    });
    const own = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [other.url] },
    });
    const given = { ...body(), litellm_params: { ...body().litellm_params, api_base: other.url } };
    const told = await own.testModel('acme', given);
    expect(told).toMatchObject({ status: word, message: expect.any(String) });
    // Words that are no JSON error could be those of an internal service.
    expect(JSON.stringify(told)).not.toContain('secret words');
    expect(other.requests).toHaveLength(1);
    await own.close();
    await other.close();
  });
});

describe('teams', () => {
  it('are made by their first model, or on purpose', async () => {
    await refusal(router.getTeamInfo('acme'), 'team_not_found', 'team_id');
    await router.addModel('acme', body());
    expect(await router.getTeamInfo('acme')).toMatchObject({
      team_id: 'acme',
      keys: [],
      team_memberships: [],
    });
    const created = await router.createTeam({ team_alias: 'Globex', metadata: { plan: 'pro' } });
    expect(created).toMatchObject({
      team_alias: 'Globex',
      metadata: { plan: 'pro' },
      models: [],
      blocked: false,
    });
    await refusal(router.createTeam({ team_id: 'acme' }), 'already_exists', 'team_id');
  });

  it('are refused when unknown, if teams are explicit', async () => {
    const strict = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [provider.url] },
      teams: 'explicit',
    });
    await refusal(strict.addModel('acme', body()), 'team_not_found', 'team_id');
    await refusal(strict.listModels('acme'), 'team_not_found', 'team_id');
    await strict.createTeam({ team_id: 'acme' });
    await strict.addModel('acme', body());
    await strict.close();
  });

  it('change only in what is sent', async () => {
    await router.createTeam({ team_id: 'acme', team_alias: 'Acme', metadata: { a: 1 } });
    expect(await router.updateTeam('acme', { metadata: { b: 2 } })).toMatchObject({
      team_alias: 'Acme',
      metadata: { b: 2 },
    });
    expect(await router.updateTeam('acme', { team_alias: null })).toMatchObject({
      team_alias: null,
      metadata: { b: 2 },
    });
    await refusal(router.updateTeam('acme', { team_alais: 'x' } as never), 'invalid_request', 'team_alais');
    await refusal(router.updateTeam('nobody', {}), 'team_not_found');
  });

  it('make no calls while they are blocked', async () => {
    await router.addModel('acme', body());
    await router.addModel('globex', body());
    await ask('acme', 'my-team-model');
    await router.blockTeam('acme');
    await expect(ask('acme', 'my-team-model')).rejects.toMatchObject({ status: 403, code: 'team_blocked' });
    await expect(router.forTeam('acme').models.list()).rejects.toMatchObject({ code: 'team_blocked' });
    await ask('globex', 'my-team-model');
    await router.unblockTeam('acme');
    await ask('acme', 'my-team-model');
    expect(provider.requests).toHaveLength(3);
  });

  it('are listed in pages', async () => {
    const ids = Array.from({ length: 25 }, (_, index) => `team ${index}/é`);
    for (const team_id of ids) await router.createTeam({ team_id });
    const listed = new Set<string>();
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await router.listTeams({ limit: 10, ...(cursor === undefined ? {} : { cursor }) });
      for (const { team_id } of page.teams) listed.add(team_id);
      cursor = page.cursor;
      pages++;
    } while (cursor !== undefined && pages < 10);
    expect([...listed].sort()).toEqual([...ids].sort());
    await refusal(router.listTeams({ limit: 0 }), 'invalid_request', 'limit');
  });

  it('take everything with them when they are deleted', async () => {
    await router.addModel('acme', body());
    await router.addModel('globex', body());
    expect(await router.deleteTeam('acme')).toEqual({ deleted_teams: ['acme'] });
    await refusal(router.deleteTeam('acme'), 'team_not_found');
    await expect(ask('acme', 'my-team-model')).rejects.toMatchObject({ code: 'model_not_found' });
    expect((await storedKeys()).filter((name) => name.startsWith('team/'))).toEqual(['team/globex']);
    expect((await storedKeys()).filter((name) => name.startsWith('model/'))).toHaveLength(1);
  });
});

describe('a router', () => {
  const options = () => ({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });

  it.each([
    ['no storage', { storage: undefined }, 'storage'],
    ['no key', { encryptionKeys: [] }, 'encryptionKeys'],
    [
      'a key of 31 bytes',
      { encryptionKeys: [{ id: 'k', key: Buffer.alloc(31).toString('base64') }] },
      'encryptionKeys[0].key',
    ],
    [
      'a key that is a passphrase',
      { encryptionKeys: [{ id: 'k', key: 'correct horse battery staple' }] },
      'encryptionKeys[0].key',
    ],
    ['an entry that is no host', { egress: { allow: ['ok.example', 'not a host'] } }, 'egress.allow[1]'],
    ['an unknown option', { maxStalenesMs: 1 }, 'maxStalenesMs'],
    ['a negative time', { maxStalenessMs: -1 }, 'maxStalenessMs'],
  ])('is not made with %s', (_, given, param) => {
    expect(() => new TeamModelRouter({ ...options(), ...given } as never)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param }),
    );
  });

  it('closes twice as well as once', async () => {
    const own = new TeamModelRouter(options());
    await Promise.all([own.close(), own.close()]);
    await refusal(own.listModels('acme'), 'draining');
  });

  it('a call after its end is told so, and not tried again', async () => {
    await router.addModel('acme', body());
    await ask('acme', 'my-team-model');
    await router.close();
    const answer = await router.dispatch(
      { teamId: 'acme' },
      {
        method: 'POST',
        path: '/v1/chat/completions',
        query: new URLSearchParams(),
        headers: new Headers({ 'content-type': 'application/json' }),
        body: JSON.stringify({ model: 'my-team-model', messages: [] }),
      },
    );
    expect(answer.status).toBe(503);
    expect(answer.headers['x-litellm-attempted-retries']).toBe('0');
    await expect(ask('acme', 'my-team-model')).rejects.toMatchObject({ status: 503, code: 'draining' });
    expect(provider.requests).toHaveLength(1);
  });
});
