import { memoryStorage, type TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { beforeEach, describe, expect, it } from 'vitest';
import { gatewayFixture, masterKey, send } from '../support/gateway.ts';

type Fields = Record<string, unknown>;

let router: TeamModelRouter;
let gateway: Gateway;

beforeEach(async () => {
  router = gatewayFixture({ storage: memoryStorage() }).router;
  gateway = createGateway(router, { masterKey });
  await router.createTeam({ team_id: 'acme', team_alias: 'Acme', metadata: { a: 1 } });
});

async function ask(path: string, body?: Fields) {
  const line = `${body === undefined ? 'GET' : 'POST'} ${path}`;
  const { status, json } = await send(gateway, line, { key: masterKey, body });
  return { status, json: json as Fields };
}

async function answerOf(path: string, body?: Fields): Promise<Fields> {
  const { status, json } = await ask(path, body);
  expect([status, json.error]).toEqual([200, undefined]);
  return json;
}

const params = { model: 'gpt-4o', api_key: 'sk-0123456789', input_cost_per_token: 0.1, rpm: 7 };
const newModel = (more: Fields = {}) => ({ model_name: 'm', litellm_params: params, model_info: more });

/** A model as it was read, without its masked secret, which has to be sent whole or not at all. */
function withoutSecret(model: Fields): Fields {
  const { api_key: _, ...rest } = model.litellm_params as Fields;
  return { ...model, litellm_params: rest };
}

describe('an object that was read can be changed and written back as it came', () => {
  it.each([
    ['/model/info', { team_id: 'acme' }, '?team_id=acme'],
    ['/model/info, shared', {}, ''],
  ])('a model of %s', async (_, info, query) => {
    await answerOf('/model/new', newModel(info));
    const [row] = (await answerOf(`/model/info${query}`)).data as Fields[];
    const read = withoutSecret(row ?? {});
    const changed = { ...read, litellm_params: { ...(read.litellm_params as Fields), rpm: 8 } };
    await answerOf('/model/update', changed);
    const [after] = (await answerOf(`/model/info${query}`)).data as Fields[];
    const { created_at, updated_at, ...expected } = withoutSecret({ ...row, ...changed });
    expect(withoutSecret(after ?? {})).toMatchObject({
      ...expected,
      created_at,
      model_info: { ...(row?.model_info as Fields), updated_at: expect.any(String) },
    });
    expect(updated_at).toEqual(expect.any(String));
  });

  it('a model that another gateway answered', async () => {
    await answerOf('/model/new', newModel({ team_id: 'acme' }));
    const [row = {}] = (await answerOf('/model/info?team_id=acme')).data as Fields[];
    const { id: _, ...info } = row.model_info as Fields;
    await answerOf('/model/new', { ...row, litellm_params: params, model_info: info });
  });

  it('a model as it was answered when it was added, and its model_id means nothing else', async () => {
    const added = withoutSecret(await answerOf('/model/new', newModel({ team_id: 'acme' })));
    await answerOf('/model/update', { ...added, model_name: 'n' });
    const { model_id } = added;
    for (const body of [{ model_id }, { model_id, model_info: { id: 'x' } }, { model_id, id: model_id }])
      expect(await ask('/model/update', { ...body, model_name: 'o' })).toMatchObject({
        status: 400,
        json: { error: { param: 'model_id', message: expect.stringContaining('Did you mean id?') } },
      });
    const [row] = (await answerOf('/model/info?team_id=acme')).data as Fields[];
    expect(row?.model_name).toBe('n');
  });

  it('a cost in model_info that litellm_params does not have is no answer of ours', async () => {
    const refused = await ask('/model/new', newModel({ team_id: 'acme', input_cost_per_token: 0.2 }));
    expect(refused).toMatchObject({ status: 400, json: { error: { code: 'invalid_request' } } });
  });

  it('a team, from each route that answers it', async () => {
    const routes: (() => Promise<Fields>)[] = [
      async () => (await answerOf('/team/info?team_id=acme')).team_info as Fields,
      async () => ((await answerOf('/team/list')) as unknown as Fields[])[0] ?? {},
      () => answerOf('/team/update', { team_id: 'acme', team_alias: 'Acme' }),
      () => answerOf('/team/block', { team_id: 'acme' }),
    ];
    for (const [at, read] of routes.entries()) {
      const team = await read();
      await answerOf('/team/update', { ...team, metadata: { at } });
      const after = (await answerOf('/team/info?team_id=acme')).team_info as Fields;
      expect(after).toMatchObject({ team_alias: 'Acme', blocked: team.blocked, metadata: { at } });
    }
  });

  it('a key, from each route that answers it', async () => {
    const made = await answerOf('/key/generate', { team_id: 'acme', key_alias: 'a', duration: '30d' });
    const token = made.token as string;
    const routes: (() => Promise<Fields>)[] = [
      async () => made,
      async () => (await answerOf(`/key/info?key=${token}`)).info as Fields,
      async () => ((await answerOf('/key/list?return_full_object=true')).keys as Fields[])[0] ?? {},
      () => answerOf('/key/block', { key: token }),
    ];
    for (const [at, read] of routes.entries()) {
      const key = await read();
      await answerOf('/key/update', { ...key, metadata: { at } });
      const after = (await answerOf(`/key/info?key=${token}`)).info as Fields;
      const same = { key_alias: 'a', expires: made.expires, blocked: key.blocked, models: made.models };
      expect(after).toMatchObject({ ...same, metadata: { at } });
    }
  });

  it('a key does not seem to get another end', async () => {
    const { token } = await answerOf('/key/generate', { team_id: 'acme', duration: '30d' });
    for (const expires of ['2099-01-01T00:00:00.000Z', null])
      expect(await ask('/key/update', { key: token, expires })).toMatchObject({
        status: 400,
        json: { error: { param: 'expires', message: expect.stringContaining('duration') } },
      });
  });
});

describe('blocked of a key', () => {
  it('is taken by /key/generate and /key/update', async () => {
    const made = await answerOf('/key/generate', { team_id: 'acme', blocked: true });
    expect(made.blocked).toBe(true);
    const models = () => send(gateway, 'GET /v1/models', { key: made.key as string });
    expect((await models()).status).toBe(403);
    expect((await answerOf('/key/update', { key: made.key, blocked: false })).blocked).toBe(false);
    expect((await models()).status).toBe(200);
    await answerOf('/key/update', { key: made.key, blocked: true });
    expect((await models()).status).toBe(403);
    await answerOf('/key/update', { key: made.key, blocked: null });
    expect((await models()).status).toBe(200);
    expect((await answerOf('/key/generate', { team_id: 'acme' })).blocked).toBe(false);
  });
});

describe("LiteLLM's fields that ask for nothing", () => {
  it('as its Terraform provider sends them with every model', async () => {
    await answerOf('/model/new', {
      ...newModel({ team_id: 'acme', db_model: true, tier: 'free', base_model: 'gpt-4o' }),
      litellm_params: {
        ...params,
        additional: {},
        merge_reasoning_content_in_choices: false,
        aws_region_name: '',
        drop_params: false,
      },
    });
  });

  it.each([false, '', [], {}, null])('%j is the same as leaving the field out', async (empty) => {
    const keyFields = { tags: empty, allowed_routes: empty, permissions: empty, user_id: empty };
    await answerOf('/key/generate', { team_id: 'acme', ...keyFields, max_budget: null });
    await answerOf('/team/new', { organization_id: empty, admins: empty, model_aliases: empty });
  });

  it.each([
    ['/key/generate', { team_id: 'acme', max_budget: 0 }, 'budgets and spend'],
    ['/key/generate', { team_id: 'acme', expires: '2030-01-01' }, 'duration sets'],
    ['/key/generate', { team_id: 'acme', tags: ['a'] }, 'guardrails, policies, tags'],
    ['/team/new', { key: 'sk-x' }, '/key/generate makes'],
    ['/model/new', { ...newModel({ team_id: 'acme', blocked: true }) }, 'pauses of models'],
    ['/model/new', { ...newModel({ team_id: 'acme' }), key: 'x' }, 'litellm_params.api_key'],
  ])('POST %s %j is refused, and the reason is right for the object', async (path, body, reason) => {
    const { status, json } = await ask(path, body);
    expect(status).toBe(400);
    expect((json.error as Fields).message).toContain(reason);
  });
});
