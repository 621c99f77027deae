import { type ModelBody, memoryStorage, type TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { managementRoutes } from '../../src/http/routes/route-table.ts';
import { keyBody, modelBody, teamBody } from '../../src/schemas/bodies.ts';
import { keyRegeneration } from '../../src/teams/management/key-regeneration.ts';
import { gatewayFixture, masterKey, send } from '../support/gateway.ts';
import {
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

// null in an optional field means "not given", wherever something is made or listed; in updates it clears.

type Fields = Record<string, unknown>;
interface Schema {
  properties?: Record<string, Schema>;
  required?: string[];
  anyOf?: Schema[];
  not?: object;
}

let provider: RecordingProvider;
let router: TeamModelRouter;
let gateway: Gateway;
let modelId: string;
let key: string;

beforeAll(async () => {
  provider = await recordingProvider((_request, response) => sendJson(response, 200, chatCompletion('x')));
});
afterAll(() => provider.close());

beforeEach(async () => {
  router = gatewayFixture({ storage: memoryStorage(), egress: { allow: [provider.url] } }).router;
  gateway = createGateway(router, { masterKey });
  await router.createTeam({ team_id: 'acme' });
  modelId = (await router.addModel('acme', model())).model_id;
  key = (await router.createKey('acme', { key_alias: 'mine', metadata: { a: 1 } })).key;
});

const model = (): ModelBody => ({
  model_name: 'm',
  litellm_params: { model: 'gpt-4o', api_key: 'sk-0123456789', api_base: provider.url },
});

const jsonOf = (schema: z.ZodType) =>
  z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema;

/** The paths of all fields that may be absent, at every depth. */
function optionalPaths({ anyOf, properties = {}, required = [] }: Schema, path: string[] = []): string[][] {
  if (anyOf !== undefined) return anyOf.flatMap((choice) => optionalPaths(choice, path));
  return Object.entries(properties).flatMap(([name, inner]) => [
    ...(required.includes(name) ? [] : [[...path, name]]),
    ...optionalPaths(inner, [...path, name]),
  ]);
}

function withNull(body: Fields, [name = '', ...rest]: readonly string[]): Fields {
  return { ...body, [name]: rest.length === 0 ? null : withNull((body[name] ?? {}) as Fields, rest) };
}

function without(body: Fields, [name = '', ...rest]: readonly string[]): Fields {
  const { [name]: inner, ...others } = body;
  return rest.length === 0 || inner === undefined
    ? others
    : { ...body, [name]: without(inner as Fields, rest) };
}

/** A body that each route takes, with what it cannot do without. */
const bodies: Record<string, (path: readonly string[]) => Fields> = {
  '/model/new': () => ({ ...model(), model_info: { team_id: 'acme' } }),
  '/model/add': () => ({ ...model(), model_info: { team_id: 'acme' } }),
  '/model/update': ([field]) => (field === 'model_info' ? { id: modelId } : { model_info: { id: modelId } }),
  '/model/{id}/update': () => ({}),
  '/model/delete': () => ({ id: modelId }),
  '/health/test_connection': ({ length, 0: field }) =>
    length === 1 && (field === 'model_name' || field === 'litellm_params')
      ? { model_info: { id: modelId } }
      : { ...model() },
  '/team/new': () => ({}),
  '/team/delete': () => ({ team_ids: ['acme'] }),
  '/team/model/add': () => ({ team_id: 'acme', models: ['x'] }),
  '/team/model/delete': () => ({ team_id: 'acme', models: ['x'] }),
  '/key/generate': () => ({ team_id: 'acme' }),
  '/key/delete': () => ({ keys: [key], key_aliases: ['mine'] }),
  '/key/{key}/regenerate': () => ({}),
};
function bodyFor(path: string, field: readonly string[]): Fields {
  const made = bodies[path]?.(field);
  if (made !== undefined) return made;
  if (path.startsWith('/team/')) return { team_id: 'acme' };
  // A key is named by itself or by its hash.
  return field[0] === 'key' ? { token: key } : { key };
}

const isUpdate = (path: string) => path.endsWith('/update');

/** An answer without what differs each time. */
function steady(text: string): unknown {
  const differs = /(^|_)(id|at|key|token|name)$|^model_aliases$|^expires$/;
  return JSON.parse(text, (name, value: unknown) => {
    const isHash = typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
    return (differs.test(name) && value !== null) || isHash ? 'set' : value;
  });
}

const taking = managementRoutes.flatMap((route) => {
  const { body } = route;
  return body === undefined ? [] : route.paths.map((path) => ({ ...route, body, path }));
});
const filled = (path: string) => path.replace('{id}', modelId).replace('{key}', key);
const post = (method: string, path: string, body: Fields) =>
  send(gateway, `${method} ${filled(path)}`, { key: masterKey, body });

it('every route that takes a body is here', () => {
  expect(taking.length).toBeGreaterThan(18);
  expect(taking.flatMap(({ body }) => optionalPaths(jsonOf(body))).length).toBeGreaterThan(150);
});

const withOptional = taking.filter(({ body }) => optionalPaths(jsonOf(body)).length > 0);

describe.each(
  withOptional.map(({ method, path, body }) => [`${method} ${path}`, method, path, body] as const),
)('%s', (_, method, path, schema) => {
  // Without its address a model that is tested would be asked for at OpenAI's.
  const fields = [...new Set(optionalPaths(jsonOf(schema)).map((field) => field.join('.')))].filter(
    (name) => !(path === '/health/test_connection' && name.endsWith('api_base')),
  );

  it('takes null in each field that may be absent, as if it were absent or cleared', async () => {
    for (const name of fields) {
      const field = name.split('.');
      // Each has a gateway of its own, since tests of connections are few a minute.
      const { router: other } = gatewayFixture({
        storage: memoryStorage(),
        egress: { allow: [provider.url] },
      });
      router = other;
      gateway = createGateway(router, { masterKey });
      const prepare = async () => {
        await router.createTeam({ team_id: 'acme' });
        modelId = (await router.addModel('acme', model())).model_id;
        key = (await router.createKey('acme', { key_alias: 'mine', metadata: { a: 1 } })).key;
      };
      await prepare();
      const body = without(bodyFor(path, field), field);
      const withoutField = await post(method, path, body);
      expect(withoutField.status, `${name}: ${withoutField.text}`).toBe(200);
      await router.deleteTeam('acme').catch(() => {});
      await prepare();
      const answer = await post(method, path, withNull(bodyFor(path, field), field));
      // The secrets go with the destination that they are for.
      const needsMore = isUpdate(path) && /api_key_required/.test(answer.text);
      if (needsMore) continue;
      expect(answer.status, `${name}: ${answer.text}`).toBe(200);
      if (!isUpdate(path)) expect(steady(answer.text), name).toEqual(steady(withoutField.text));
    }
  });
});

describe.each(
  managementRoutes
    .filter(({ query }) => query !== undefined)
    .flatMap(({ method, paths, query }) => paths.map((path) => [`${method} ${path}`, query] as const)),
)('%s', (line, query) => {
  const needed = () =>
    line === 'GET /team/info' ? '&team_id=acme' : line === 'GET /key/info' ? `&key=${key}` : '';
  const numbers = /^(page|size|page_size|sort_by|sort_order|return_full_object|include_team_keys)$/;

  it('takes an empty value, and null, in each field of the query that is no text, as if it were absent', async () => {
    const names = optionalPaths(jsonOf(query as z.ZodType)).map(([name = '']) => name);
    const bare = await send(gateway, `${line}?${needed()}`, { key: masterKey });
    expect(bare.status).toBe(200);
    for (const name of names.filter((each) => numbers.test(each))) {
      for (const value of ['', 'null']) {
        const answer = await send(gateway, `${line}?${name}=${value}${needed()}`, { key: masterKey });
        expect(answer.text, name).toBe(bare.text);
      }
    }
  });
});

describe('in-process', () => {
  const nulls = (schema: z.ZodType, base: object = {}) =>
    optionalPaths(jsonOf(schema)).reduce<Fields>((body, path) => {
      const [first = ''] = path;
      // A field below one that is null already has no place.
      return first in body && body[first] === null ? body : withNull(body, path);
    }, base as Fields);
  it('every optional field of a new model, team and key may be null', async () => {
    const bare = await router.addModel('globex', model());
    const whole = await router.addModel(
      'globex',
      nulls(modelBody, { ...model(), litellm_params: { model: 'gpt-4o' } }) as never,
    );
    expect(whole.litellm_params).toEqual({ model: 'gpt-4o' });
    expect(Object.keys(whole.model_info)).toEqual(Object.keys(bare.model_info));
    expect(whole.created_by).toBe('default_user_id');
    const inner = { ...model(), model_info: { id: null, team_id: null, mode: null, metadata: null } };
    expect((await router.addSharedModel(inner)).model_info).not.toHaveProperty('mode');
    expect(await router.testModel('globex', inner)).toMatchObject({ status: 'ok' });

    const team = await router.createTeam(nulls(teamBody) as never);
    expect(team).toMatchObject({
      team_id: expect.stringMatching(/./),
      team_alias: null,
      models: [],
      metadata: {},
      blocked: false,
      settings: {},
    });
    const settings = {
      fallbacks: null,
      timeout: null,
      num_retries: null,
      cooldown_time: null,
      allowed_fails: null,
    };
    expect((await router.createTeam({ settings })).settings).toEqual({});

    const made = await router.createKey('acme', nulls(keyBody) as never);
    expect(made).toMatchObject({
      key_alias: null,
      key_type: 'default',
      models: ['all-team-models'],
      expires: null,
      metadata: {},
    });
    const again = await router.regenerateKey('acme', made.key, nulls(keyRegeneration) as never);
    expect(again).toMatchObject({ key_alias: null, models: ['all-team-models'], expires: null });
  });

  it('so may the options of a list', async () => {
    const page = { cursor: null, limit: null, keys: null } as never;
    expect((await router.listTeams(page)).teams).toHaveLength(1);
    expect((await router.listTeams(null as never)).teams).toHaveLength(1);
    expect((await router.listAllKeys({ cursor: null, limit: null } as never)).keys).toHaveLength(1);
  });

  it('in updates null clears, as documented, and a field that cannot be cleared stays', async () => {
    const { model_id } = await router.addModel('acme', {
      model_name: 'full',
      litellm_params: { ...model().litellm_params, timeout: 5, rpm: 5, extra_body: { a: 1 } },
      model_info: { mode: 'chat', description: 'd', metadata: { a: 1 } },
    });
    const changed = await router.updateModel('acme', model_id, {
      model_name: null,
      litellm_params: { model: null, timeout: null, rpm: null, extra_body: null },
      model_info: { id: null, team_id: null, mode: null, description: null, metadata: null },
    } as never);
    expect(changed.litellm_params).toEqual({
      model: 'gpt-4o',
      api_base: provider.url,
      api_key: expect.any(String),
    });
    expect(changed.model_info).toEqual({ ...changed.model_info, team_public_model_name: 'full' });
    for (const field of ['mode', 'description', 'metadata'])
      expect(changed.model_info).not.toHaveProperty(field);
    const patch = { key_alias: null, key_type: null, models: null, duration: null, metadata: null } as never;
    const { key: limited } = await router.createKey('acme', {
      key_alias: 'x',
      key_type: 'llm_api',
      models: ['m'],
      duration: '1d',
    });
    expect(await router.updateKey('acme', limited, patch)).toMatchObject({
      key_alias: null,
      key_type: 'llm_api',
      models: ['all-team-models'],
      expires: null,
    });
  });

  it('a required field stays required', async () => {
    for (const body of [
      { ...model(), model_name: null },
      { ...model(), litellm_params: null },
      { model_name: 'm', litellm_params: { model: null } },
    ])
      await expect(router.addModel('acme', body as never)).rejects.toMatchObject({ code: 'invalid_request' });
  });
});
