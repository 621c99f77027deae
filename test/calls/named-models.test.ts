import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { masterKey, send } from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

// Who is meant by a call that names no model, or names one by several doors.

let provider: RecordingProvider;
let router: TeamModelRouter;

beforeAll(async () => {
  provider = await recordingProvider((_, response) =>
    sendJson(response, 200, { id: 'x', object: 'y', data: [] }),
  );
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url] },
  });
  const params = (model: string) => ({ model, api_key: 'sk-one', api_base: `${provider.url}/v1` });
  await router.createTeam({ team_id: 'one', models: ['shared'] });
  await router.createTeam({ team_id: 'two' });
  await router.addSharedModel({ model_name: 'shared', litellm_params: params('shared-model') });
  await router.addModel('one', { model_name: 'mine', litellm_params: params('theirs') });
  await router.createTeam({ team_id: 'three', models: ['shared'] });
  for (const team of ['two', 'three']) {
    for (const name of ['mine', 'other'])
      await router.addModel(team, { model_name: name, litellm_params: params(`their-${name}`) });
  }
});
beforeEach(() => {
  provider.requests.length = 0;
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function call(
  team: string,
  path: string,
  body?: object | FormData,
  headers: Record<string, string> = {},
) {
  const json = body !== undefined && !(body instanceof FormData);
  const response = await router.fetchFor(team)((path.startsWith('/openai') ? '' : teamBaseUrl) + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...(json ? { 'content-type': 'application/json' } : {}), ...headers },
    ...(body === undefined ? {} : { body: json ? JSON.stringify(body) : (body as FormData) }),
  });
  return {
    status: response.status,
    ...((await response.json()) as { error?: { message: string; code: string } }),
  };
}
const arrived = () => String(provider.requests.at(-1)?.body);

describe('null in place of a model', () => {
  const body = { model: null, messages: [], stream: null, store: null };

  it.each<[string, string, string, Record<string, string>]>([
    ["in Azure's form", 'two', '/openai/deployments/other/chat/completions', {}],
    ['with x-team-model', 'two', '/chat/completions', { 'x-team-model': 'other' }],
    ['with ?model=', 'two', '/chat/completions?model=other', {}],
  ])('names none, and the deployment writes its own: %s', async (_, team, path, headers) => {
    expect((await call(team, path, body, headers)).status).toBe(200);
    expect(JSON.parse(arrived())).toEqual({ ...body, model: 'their-other' });
  });

  it('is the only deployment of a team that has one', async () => {
    await router.addModel('lone', {
      model_name: 'a',
      litellm_params: { model: 'm', api_key: 'k', api_base: provider.url },
    });
    expect((await call('lone', '/chat/completions', body)).status).toBe(200);
    expect(JSON.parse(arrived()).model).toBe('m');
  });

  it('is no name where there are several', async () => {
    expect((await call('two', '/chat/completions', body)).error?.message).toContain('"mine", "other"');
  });
});

describe('an API whose model is optional gets a call that names none as it came', () => {
  it.each<[string, object]>([
    ['/images/generations', { prompt: 'x' }],
    ['/images/generations', { prompt: 'x', model: null }],
    ['/moderations', { input: 'x' }],
    ['/responses', { prompt: { id: 'pmpt_1' } }],
    ['/responses/input_tokens', { input: 'x' }],
  ])('%s', async (path, body) => {
    await router.deleteTeam('alone').catch(() => {});
    await router.createTeam({ team_id: 'alone' });
    await router.addModel('alone', {
      model_name: 'a',
      litellm_params: { model: 'm', api_key: 'k', api_base: provider.url, extra_body: { user: 'u' } },
    });
    expect((await call('alone', path, body)).status).toBe(200);
    expect(JSON.parse(arrived())).toEqual({ user: 'u', ...body });
    expect((await call('alone', path, body, { 'x-team-model': 'a' })).status).toBe(200);
    expect(JSON.parse(arrived()).model).toBe('m');
  });

  it('forms of images', async () => {
    const form = new FormData();
    form.set('prompt', 'x');
    form.set('image', new File(['x'], 'x.png'));
    await router.addModel('forms', {
      model_name: 'a',
      litellm_params: { model: 'm', api_key: 'k', api_base: provider.url },
    });
    for (const path of ['/images/edits', '/images/variations']) {
      expect((await call('forms', path, form)).status).toBe(200);
      expect(arrived()).not.toContain('name="model"');
    }
    const spoken = new FormData();
    spoken.set('file', new File(['x'], 'x.mp3'));
    expect((await call('forms', '/audio/transcriptions', spoken)).status).toBe(200);
    expect(arrived()).toContain('name="model"');
  });
});

describe('only what can serve a call is a candidate', () => {
  it.each([
    ['a file list', '/files', undefined],
    ['a batch', '/batches', { input_file_id: 'f' }],
    ['a stored response', '/responses/resp_1', undefined],
    ['a response that is stored', '/responses', { input: 'x' }],
    ['a field that is not known to be stateless', '/chat/completions', { messages: [], something: 1 }],
  ])('%s goes to its only deployment', async (_, path, body) => {
    expect((await call('one', path, body)).status).toBe(200);
    expect(provider.requests).toHaveLength(1);
  });

  it.each([
    ['a file list', '/files', undefined],
    ['a batch', '/batches', { input_file_id: 'f' }],
    ['a field that is not known to be stateless', '/chat/completions', { messages: [], something: 1 }],
  ])('%s that has to name one is told only those that can serve it', async (_, path, body) => {
    const { status, error } = await call('three', path, body);
    expect(status).toBe(400);
    expect(error?.message).toContain('Available models: "mine", "other".');
  });

  it('a call that both can serve has to name one, and the message lists both', async () => {
    const { error } = await call('one', '/chat/completions', { messages: [] });
    expect(error?.message).toContain('"mine", "shared"');
  });
});

describe('doors', () => {
  it('?model= of the list of stored completions is a filter of the API', async () => {
    expect(
      (await call('two', '/chat/completions?model=gpt-4o&limit=2', undefined, { 'x-team-model': 'mine' }))
        .status,
    ).toBe(200);
    expect(provider.requests[0]?.url).toMatch(/\?(limit=2&model=gpt-4o|model=gpt-4o&limit=2)$/);
    expect((await call('one', '/chat/completions?model=gpt-4o')).status).toBe(200);
  });

  it.each([
    ['/responses?beta=true', { model: 'mine', input: 'x' }],
    ['/responses/resp_1?beta=true', undefined],
    ['/responses/resp_1/input_items?beta=true', undefined],
    ['/responses/input_tokens?beta=true', { model: 'mine', input: 'x' }],
  ])('forwards ?beta=true: %s', async (path, body) => {
    expect((await call('two', path, body, { 'x-team-model': 'mine' })).status).toBe(200);
    expect(provider.requests[0]?.url).toContain('beta=true');
  });

  it("the body's model wins over x-team-model, in JSON and in a form", async () => {
    const form = new FormData();
    form.set('model', 'other');
    form.set('file', new File(['x'], 'x.mp3'));
    for (const [path, body] of [
      ['/chat/completions', { model: 'other', messages: [] }],
      ['/audio/transcriptions', form],
    ] as const) {
      expect((await call('two', path, body, { 'x-team-model': 'mine' })).status).toBe(200);
      expect(arrived()).toContain('their-other');
    }
  });

  it('DELETE /models/{id} is refused with what to do instead', async () => {
    const gateway = createGateway(router, { masterKey });
    const { key } = await router.createKey('two');
    for (const path of ['/v1/models/mine', '/models/ft:x']) {
      const { status, json } = await send(gateway, `DELETE ${path}`, { key });
      expect(status).toBe(400);
      expect(json).toMatchObject({
        error: { code: 'invalid_request', message: expect.stringContaining('/model/delete') },
      });
    }
    await expect(router.forTeam('two').models.delete('mine')).rejects.toMatchObject({ status: 400 });
  });
});
