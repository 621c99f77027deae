import {
  generateEncryptionKey,
  type ModelBody,
  type ModelPatch,
  memoryStorage,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { keyBody, keyPatch, modelBody, modelPatch, teamBody, teamPatch } from '../../src/schemas/bodies.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const secret = 'sk-0123456789abcdefcb07';
const messages = [{ role: 'user' as const, content: 'hello' }];

let provider: RecordingProvider;
let elsewhere: RecordingProvider;
let storage: Storage;
let router: TeamModelRouter;

beforeEach(async () => {
  [provider, elsewhere] = await Promise.all([recordingProvider(), recordingProvider()]);
  storage = memoryStorage();
  router = new TeamModelRouter({
    storage,
    encryptionKeys: [generateEncryptionKey('k1')],
    egress: { allow: [provider.url, elsewhere.url] },
  });
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await Promise.all([provider.close(), elsewhere.close()]);
});

const body = (more: object = {}): ModelBody => ({
  model_name: 'm',
  litellm_params: { model: 'm', api_key: secret, api_base: provider.url, num_retries: 0, ...more },
});

const azure = (more: object = {}): ModelBody => {
  const { api_key: _, ...params } = body({
    model: 'azure/m',
    api_version: '2024-10-21',
    ...more,
  }).litellm_params;
  return { model_name: 'm', litellm_params: params };
};

const entra = { tenant_id: 'tenant', client_id: 'client', client_secret: 'a-client-secret' };

const everything = async () =>
  (await storage.list('', { limit: 1000 })).entries.map(({ key, value }) => [key, value]);

/** It is refused by the name of its field, in all three ways of sending a model, and nothing changes. */
async function refusedEverywhere(given: ModelBody, param: unknown): Promise<void> {
  const { model_id } = await router.addModel('acme', body());
  const before = await everything();
  const refusal = { code: 'invalid_request', param };
  await expect(router.addModel('acme', given)).rejects.toMatchObject(refusal);
  await expect(router.addSharedModel(given)).rejects.toMatchObject(refusal);
  await expect(router.testModel('acme', given)).rejects.toMatchObject(refusal);
  const { model_name: _, ...patch } = given;
  await expect(router.updateModel('acme', model_id, patch as ModelPatch)).rejects.toMatchObject(refusal);
  expect(await everything()).toEqual(before);
  expect([...provider.requests, ...elsewhere.requests]).toEqual([]);
}

interface Schema {
  type?: string | string[];
  properties?: Record<string, Schema>;
  anyOf?: Schema[];
}

/** The paths of all that a body may hold, down to where it is a text, or of a form of its own. */
function pathsOf(schema: Schema, path: string[] = []): string[][] {
  const choices = (schema.anyOf ?? [schema]).filter(({ type }) => type !== 'null');
  return choices.flatMap((choice) =>
    choice.properties === undefined
      ? [path]
      : Object.entries(choice.properties).flatMap(([name, inner]) => pathsOf(inner, [...path, name])),
  );
}

function withValue(path: readonly string[], value: unknown): Record<string, unknown> {
  const [name = '', ...rest] = path;
  return { [name]: rest.length === 0 ? value : withValue(rest, value) };
}

/** Ways of putting a reference into a field, whatever it holds. */
const wrapped: ((reference: string) => unknown)[] = [
  (reference) => reference,
  (reference) => [reference],
  (reference) => ({ default: reference }),
  (reference) => ({ 'x-own': reference }),
  (reference) => ({ deep: [{ deeper: { deepest: reference } }] }),
  (reference) => [{ m: [reference] }],
];

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is what other systems replace
const placeholder = '${SECRET}';

const references = [
  'os.environ/SECRET',
  ' OS.Environ/SECRET',
  'env:SECRET',
  'file:/etc/passwd',
  'FILE:///etc/passwd',
  placeholder,
  `x${placeholder}y`,
];

describe('a reference to something of the host', () => {
  const doors: Record<string, [z.ZodType, (given: never, id: string, token: string) => Promise<unknown>]> = {
    addModel: [modelBody, (given) => router.addModel('acme', given, { operator: true })],
    addSharedModel: [modelBody, (given) => router.addSharedModel(given, { operator: true })],
    testModel: [modelBody, (given) => router.testModel('acme', given)],
    updateModel: [modelPatch, (given, id) => router.updateModel('acme', id, given)],
    createTeam: [teamBody, (given) => router.createTeam(given)],
    updateTeam: [teamPatch, (given) => router.updateTeam('acme', given)],
    createKey: [keyBody, (given) => router.createKey('acme', given)],
    updateKey: [keyPatch, (given, _, token) => router.updateKey('acme', token, given)],
  };
  const fields = Object.entries(doors).flatMap(([door, [schema]]) =>
    pathsOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema).map(
      (path) => [door, path.join('.')] as const,
    ),
  );

  it('is rejected in every field', () => {
    expect(fields.length).toBeGreaterThan(100);
    for (const field of [
      'litellm_params.api_base',
      'litellm_params.extra_headers',
      'litellm_params.extra_body',
      'model_info.metadata',
    ])
      expect(fields).toContainEqual(['addModel', field]);
  });

  it.each(fields)('is refused by %s in %s', async (door, field) => {
    const { model_id } = await router.addModel('acme', body());
    const { token } = await router.createKey('acme', {});
    const before = await everything();
    const [, send] = doors[door] ?? [];
    // What else a model needs is there, so that the field alone is at fault.
    const whole = door.endsWith('Model') && door !== 'updateModel' ? body() : undefined;
    for (const reference of references) {
      for (const wrap of wrapped) {
        const path = field.split('.');
        const given = merged(whole ?? {}, withValue(path, wrap(reference)));
        const error = await send?.(given as never, model_id, token).then(
          () => expect.unreachable(JSON.stringify(given)),
          (thrown: unknown) => thrown,
        );
        expect(error, JSON.stringify(given)).toMatchObject({
          code: 'invalid_request',
          param: expect.stringContaining(field),
        });
        expect((error as Error).message).not.toContain('SECRET');
      }
    }
    expect(await everything()).toEqual(before);
    expect(provider.requests).toEqual([]);
  });
});

function merged(base: object, over: Record<string, unknown>): object {
  const result: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(over)) {
    const inner = result[name];
    const both =
      typeof inner === 'object' &&
      inner !== null &&
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      name !== 'extra_headers';
    result[name] = both ? merged(inner, value as Record<string, unknown>) : value;
  }
  return result;
}

describe('a secret', () => {
  const masks = [
    '',
    ' ',
    '\t',
    'sk-...cb07',
    '...',
    '....',
    '...cb07',
    ' sk-...cb07 ',
    '****',
    '\u2022\u2022\u2022\u2022',
    '........',
  ];

  it.each(masks)('that is empty or masked is refused: %j', async (value) => {
    await refusedEverywhere(body({ api_key: value }), 'litellm_params.api_key');
    await refusedEverywhere(azure({ azure_ad_token: value }), 'litellm_params.azure_ad_token');
    await refusedEverywhere(azure({ ...entra, client_secret: value }), 'litellm_params.client_secret');
    // A header may well be blank; it is a masked one that was posted back.
    if (value.trim() !== '' || value === '')
      await refusedEverywhere(body({ extra_headers: { 'x-own': value } }), 'litellm_params.extra_headers');
  });

  it('that a settings page posts back as it was shown is refused, and the stored one stays', async () => {
    for (const given of [
      body({ extra_headers: { 'x-own': 'a-header-of-our-own' } }),
      azure({ azure_ad_token: 'an-azure-token-of-ours' }),
      azure(entra),
    ]) {
      const { model_id, litellm_params } = await router.addModel('acme', given);
      const before = await everything();
      await expect(
        router.updateModel('acme', model_id, { litellm_params } as ModelPatch),
      ).rejects.toMatchObject({ code: 'invalid_request' });
      expect(await everything()).toEqual(before);
    }
  });
});

const forbiddenHeaders = [
  'host', 'Host', 'HOST', 'authorization', 'Authorization', 'api-key', 'API-Key', 'x-api-key', 'cookie', 'Cookie', 'set-cookie',
  'content-length', 'Content-Length', 'content-type', 'transfer-encoding', 'Transfer-Encoding', 'te', 'trailer', 'connection', 'Connection',
  'keep-alive', 'upgrade', 'expect', 'accept-encoding', 'proxy-authorization', 'Proxy-Authorization', 'proxy-connection', 'proxy-authenticate',
  'proxy-anything', 'x-forwarded-for', 'X-Forwarded-Host', 'forwarded', 'via',
]; // biome-ignore format: a list

describe('extra_headers', () => {
  it.each(forbiddenHeaders)('may not set %s', (name) =>
    refusedEverywhere(body({ extra_headers: { [name]: 'a-value' } }), 'litellm_params.extra_headers'),
  );

  it.each<[string, unknown]>([
    ['a line break in a value', { 'x-own': 'a\r\nhost: x' }],
    ['a line feed in a value', { 'x-own': 'a\nb' }],
    ['a carriage return at the end', { 'x-own': 'a\r' }],
    ['a line break in a name', { 'x-own\r\nhost': 'x' }],
    ['a colon in a name', { 'x-own: x': 'x' }],
    ['a space in a name', { 'host ': 'x' }],
    ['no name', { '': 'x' }],
    ['U+0000', { 'x-own': 'a\u0000b' }],
    ['U+2028', { 'x-own': 'a\u2028b' }],
    ['U+010A, whose last byte is a line feed', { 'x-own': 'a\u010ab' }],
    ['one name in two spellings', { 'x-own': 'a', 'X-Own': 'b' }],
    ['a value that is no text', { 'x-own': ['a', 'b'] }],
    ['a list', ['x-own', 'a']],
    ['33 of them', Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`x-${index}`, 'x']))],
    ['__proto__', JSON.parse('{"__proto__":"x"}')],
  ])('may not hold %s', (_, extra_headers) =>
    refusedEverywhere(body({ extra_headers }), expect.stringContaining('litellm_params.extra_headers')),
  );

  it('go along as they are otherwise', async () => {
    await router.addModel('acme', body({ extra_headers: { 'X-Own': 'its value', 'openai-beta': 'x' } }));
    await router.chatCompletion('acme', { model: 'm', messages });
    expect(provider.requests[0]?.headers).toMatchObject({
      'x-own': 'its value',
      'openai-beta': 'x',
      authorization: `Bearer ${secret}`,
    });
  });
});

describe('a stored secret stays with its destination', () => {
  const own = { 'x-own': 'a-header-of-our-own' };
  const moves: [string, () => ModelBody, () => Record<string, unknown>][] = [
    ['another host', () => body(), () => ({ api_base: elsewhere.url })],
    ['another path', () => body(), () => ({ api_base: `${provider.url}/elsewhere` })],
    ['another scheme', () => body(), () => ({ api_base: provider.url.replace('http:', 'https:') })],
    ['another port', () => body(), () => ({ api_base: provider.url.replace(/\d+$/, '443') })],
    ['no api_base', () => body(), () => ({ api_base: null })],
    ['another provider', () => body(), () => ({ custom_llm_provider: 'hosted_vllm' })],
    ["another provider, by the model's prefix", () => body(), () => ({ model: 'groq/m' })],
    ['another organization', () => body({ organization: 'org-1' }), () => ({ organization: 'org-2' })],
    ['a first organization', () => body(), () => ({ organization: 'org-1' })],
    ['no organization', () => body({ organization: 'org-1' }), () => ({ organization: null })],
    ['another project', () => body({ project: 'proj-1' }), () => ({ project: 'proj-2' })],
    ['no project', () => body({ project: 'proj-1' }), () => ({ project: null })],
    ['another tenant', () => azure(entra), () => ({ tenant_id: 'other' })],
    ['another client', () => azure(entra), () => ({ client_id: 'other' })],
  ];
  const withOwn = ({ litellm_params, ...rest }: ModelBody): ModelBody => ({
    ...rest,
    litellm_params: { ...litellm_params, extra_headers: own },
  });
  const secretsIn = ({ litellm_params: { api_key, client_secret, azure_ad_token } }: ModelBody) =>
    Object.fromEntries(
      Object.entries({ api_key, client_secret, azure_ad_token }).filter(([, value]) => value !== undefined),
    );

  it.each(moves)('and does not go along to %s', async (_, given, move) => {
    const { model_id } = await router.addModel('acme', withOwn(given()));
    const before = await everything();
    const secrets = secretsIn(given());
    // None of them, or not all.
    for (const some of [{}, secrets, { extra_headers: own }]) {
      const moved = router.updateModel('acme', model_id, { litellm_params: { ...move(), ...some } });
      await expect(moved).rejects.toMatchObject({
        code: 'api_key_required',
        status: 400,
        param: expect.stringMatching(/^litellm_params\.(api_key|client_secret|extra_headers)/),
      });
    }
    expect(await everything()).toEqual(before);
    expect(elsewhere.requests).toEqual([]);
  });

  it.each(moves.filter(([how]) => !/scheme|port|no api_base|prefix/.test(how)))(
    'and goes to %s if it is sent again',
    async (_, given, move) => {
      const { model_id } = await router.addModel('acme', withOwn(given()));
      await router.updateModel('acme', model_id, {
        litellm_params: { ...move(), ...secretsIn(given()), extra_headers: own },
      });
      expect((await router.getModel('acme', model_id)).litellm_params).toMatchObject(
        Object.fromEntries(Object.entries(move()).filter(([, value]) => value !== null)),
      );
    },
  );

  it.each([
    ['base', (text: string) => text.replaceAll(provider.url, elsewhere.url)],
    ['path', (text: string) => text.replaceAll(`${provider.url}/v1`, `${provider.url}/elsewhere`)],
    ['organization', (text: string) => text.replaceAll('org-1', 'org-2')],
    ['project', (text: string) => text.replaceAll('proj-1', 'proj-2')],
    ['provider', (text: string) => text.replace('"provider":"openai"', '"provider":"hosted_vllm"')],
  ])('though its %s is edited in the database: it does not open, and the others work', async (_, edit) => {
    const { model_id } = await router.addModel('acme', body({ organization: 'org-1', project: 'proj-1' }));
    await router.addModel('acme', {
      ...body({ api_base: `${elsewhere.url}/other` }),
      model_name: 'untouched',
    });
    const stored = await storage.get('team/acme');
    if (stored === undefined || stored === 'unchanged') return expect.unreachable();
    const edited = edit(stored.value);
    expect(edited).not.toBe(stored.value);
    await storage.put('team/acme', edited, stored.version);
    // Read again, as another process would.
    await router.updateTeam('acme', { metadata: { touched: true } });
    await expect(router.chatCompletion('acme', { model: 'm', messages })).rejects.toMatchObject({
      code: 'credential_unreadable',
    });
    expect(await router.testModel('acme', { id: model_id }).catch((error: unknown) => error)).toMatchObject({
      code: 'credential_unreadable',
    });
    expect([...provider.requests, ...elsewhere.requests]).toEqual([]);
    const { data } = await router.listModels('acme');
    expect(data.map(({ model_name, model_info }) => [model_name, model_info.needs_reentry ?? false])).toEqual(
      [
        ['m', true],
        ['untouched', false],
      ],
    );
    await router.chatCompletion('acme', { model: 'untouched', messages });
    expect(elsewhere.requests.map(({ url }) => url)).toEqual(['/other/chat/completions']);
  });
});
