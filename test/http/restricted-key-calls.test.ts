import type { ModelView } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type GatewayFixture,
  gatewayFixture,
  masterKey,
  outcome,
  type Received,
  type Sent,
  send,
} from '../support/gateway.ts';
import {
  chatChunks,
  type RecordingProvider,
  recordingProvider,
  sendEvents,
  sendJson,
} from '../support/recording-provider.ts';

/** The key may use `alpha`; its team has `beta` too, and is allowed the shared models `common` and `alpha-2`. */
let provider: RecordingProvider;
let house: GatewayFixture;
let alpha: ModelView;
let beta: ModelView;
let key: string;

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    if (request.body.includes('"stream":true')) sendEvents(response, chatChunks('x'));
    else sendJson(response, 200, { id: 'x' });
  });
});
afterAll(() => provider.close());
beforeEach(async () => {
  house = gatewayFixture({ egress: { allow: [provider.url] } });
  const { router } = house;
  alpha = await router.addModel('acme', { model_name: 'alpha', litellm_params: params('alpha-upstream') });
  beta = await router.addModel('acme', { model_name: 'beta', litellm_params: params('beta-upstream') });
  await router.addSharedModel({ model_name: 'common', litellm_params: params('common-upstream') });
  await router.updateTeam('acme', { models: ['common'] });
  key = (await router.createKey('acme', { models: ['alpha'] })).key;
  provider.requests.length = 0;
});

const params = (model: string) => ({ model, api_key: `key-of-${model}`, api_base: provider.url });

type Door = (name: string) => [line: string, sent: Sent];

const form = (fields: Record<string, string>) => ({
  headers: { 'content-type': 'multipart/form-data; boundary=b' },
  body: `${Object.entries(fields)
    .map(([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
    .join('')}--b--\r\n`,
});

const doors: Record<string, Door> = {
  'the body': (model) => ['POST /v1/chat/completions', { body: { model, messages: [] } }],
  'the body, streaming': (model) => ['POST /v1/chat/completions', { body: { model, stream: true } }],
  'the body of a response': (model) => ['POST /responses', { body: { model, input: 'x', store: false } }],
  'a form': (model) => ['POST /v1/audio/transcriptions', form({ model })],
  'the path': (model) => [
    `POST /openai/deployments/${encodeURIComponent(model)}/chat/completions`,
    { body: { messages: [] } },
  ],
  'the path, with an allowed name in the body': (model) => [
    `POST /openai/deployments/${encodeURIComponent(model)}/chat/completions`,
    { body: { model: 'alpha', messages: [] } },
  ],
  'the query': (model) => [`GET /v1/files?model=${encodeURIComponent(model)}`, {}],
  'the query, beside an allowed header': (model) => [
    `GET /v1/files?model=${encodeURIComponent(model)}`,
    { headers: { 'x-team-model': 'alpha' } },
  ],
  'the query, said first': (model) => [`GET /v1/files?model=${encodeURIComponent(model)}&model=alpha`, {}],
  'the header': (model) => ['GET /v1/files', { headers: { 'x-team-model': model } }],
  'the model that is retrieved': (model) => [`GET /v1/models/${encodeURIComponent(model)}`, {}],
};

const ask = (door: Door, name: string, as = key) => {
  const [line, sent] = door(name);
  return send(house.gateway, line, { ...sent, key: as });
};

describe.each(Object.entries(doors))('a key restricted to alpha, by %s', (_name, door) => {
  it('reaches alpha, by its name and by its id', async () => {
    for (const name of ['alpha', alpha.model_id]) expect(outcome(await ask(door, name))).toBe('200');
    expect(provider.everything()).not.toMatch(/beta-upstream|common-upstream/);
  });

  it('reaches no other model, and sees no other model', async () => {
    const names = [
      'beta',
      beta.model_id,
      beta.model_name,
      alpha.model_name,
      'common',
      '*',
      'all-proxy-models',
    ];
    for (const name of names) {
      const answer = await ask(door, name);
      expect(outcome(answer), name).toBe('404 model_not_found');
      const nobodys = await ask(door, 'nobody-has-this');
      expect(answer.text.replaceAll(name, '')).toBe(nobodys.text.replaceAll('nobody-has-this', ''));
    }
    expect(provider.requests).toEqual([]);
    const unrestricted = (await house.router.createKey('acme')).key;
    for (const name of ['beta', beta.model_id]) {
      expect(outcome(await ask(door, name, unrestricted))).toBe('200');
    }
  });

  it('with models: [] it reaches nothing at all', async () => {
    const none = (await house.router.createKey('acme', { models: [] })).key;
    for (const name of ['alpha', alpha.model_id, 'beta', 'common']) {
      expect(outcome(await ask(door, name, none)), name).toBe('404 model_not_found');
    }
    expect(provider.requests).toEqual([]);
  });
});

const idsOf = ({ json }: Received) => (json as { data: { id: string }[] }).data.map(({ id }) => id);

describe('a restricted key', () => {
  it('sees its own names only', async () => {
    expect(idsOf(await send(house.gateway, 'GET /v1/models', { key }))).toEqual(['alpha']);
    const { json } = await send(house.gateway, 'GET /model/info', { key });
    expect((json as { data: { model_name: string }[] }).data.map((row) => row.model_name)).toEqual(['alpha']);
    const none = (await house.router.createKey('acme', { models: [] })).key;
    expect(idsOf(await send(house.gateway, 'GET /v1/models', { key: none }))).toEqual([]);
    expect((await send(house.gateway, 'GET /model/info', { key: none })).json).toMatchObject({
      data: [],
      total_count: 0,
    });
  });

  it('that names no model gets its only one, or a refusal, never the only one of its team', async () => {
    expect(outcome(await send(house.gateway, 'GET /v1/files', { key }))).toBe('200');
    expect(provider.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer key-of-alpha-upstream',
    ]);
    await house.router.deleteModel('acme', alpha.model_id);
    await house.router.updateTeam('acme', { models: [] });
    expect((await house.router.listModels('acme')).data).toHaveLength(1);
    const answer = await send(house.gateway, 'GET /v1/files', { key });
    expect(outcome(answer)).toBe('400 invalid_request');
    expect(answer.text).not.toContain('beta');
    expect(provider.requests).toHaveLength(1);
  });

  it('gets no further by fallbacks in the body, or by a shared model that takes the name of one', async () => {
    const body = { model: 'alpha', messages: [], models: ['beta'] };
    const line = 'POST /v1/chat/completions';
    expect(outcome(await send(house.gateway, line, { key, body }))).toBe('200');
    const further = { ...body, fallbacks: ['beta'] };
    expect(outcome(await send(house.gateway, line, { key, body: further }))).toBe('404 model_not_found');
    await house.router.addSharedModel({ model_name: beta.model_id, litellm_params: params('imitation') });
    await house.router.updateTeam('acme', { models: ['all-proxy-models'] });
    for (const model of [beta.model_id, 'common']) {
      const answer = await send(house.gateway, 'POST /v1/embeddings', { key, body: { model, input: 'x' } });
      expect(outcome(answer)).toBe('404 model_not_found');
    }
    expect(provider.everything()).not.toMatch(/beta-upstream|imitation|common-upstream/);
  });

  it('adds, changes, tests and removes under its own names only', async () => {
    const body = (model_name: string) => ({ model_name, litellm_params: params('x') });
    const tries: [string, string, unknown][] = [
      ['403 permission_denied', 'POST /model/new', body('gamma')],
      ['403 permission_denied', 'POST /model/add', body('beta')],
      ['403 permission_denied', 'POST /health/test_connection', body('gamma')],
      ['403 permission_denied', `PATCH /model/${alpha.model_id}/update`, { model_name: 'beta' }],
      ['404 model_not_found', `PATCH /model/${beta.model_id}/update`, { model_name: 'alpha' }],
      [
        '404 model_not_found',
        'POST /model/update',
        { model_info: { id: beta.model_id }, model_name: 'alpha' },
      ],
      ['404 model_not_found', 'POST /model/delete', { id: beta.model_id }],
      ['404 model_not_found', 'POST /health/test_connection', { model_info: { id: beta.model_id } }],
    ];
    const before = await house.router.listModels('acme');
    for (const [expected, line, sent] of tries) {
      expect(outcome(await send(house.gateway, line, { key, body: sent })), line).toBe(expected);
    }
    expect(outcome(await send(house.gateway, `DELETE /model/${beta.model_id}`, { key }))).toBe(
      '404 model_not_found',
    );
    expect(await house.router.listModels('acme')).toEqual(before);
    expect(provider.requests).toEqual([]);
    for (const [line, sent] of [
      ['POST /model/new', body('alpha')],
      ['POST /health/test_connection', body('alpha')],
      [`PATCH /model/${alpha.model_id}/update`, { litellm_params: { timeout: 5 } }],
      ['POST /model/delete', { id: alpha.model_id }],
    ] as const) {
      expect(outcome(await send(house.gateway, line, { key, body: sent })), line).toBe('200');
    }
  });

  it('follows a change of its names immediately', async () => {
    const call = (model: string) =>
      send(house.gateway, 'POST /v1/chat/completions', { key, body: { model, messages: [] } });
    expect(outcome(await call('alpha'))).toBe('200');
    const change = (models: string[] | null) =>
      send(house.gateway, 'POST /key/update', { key: masterKey, body: { key, models } });
    expect(outcome(await change(['beta']))).toBe('200');
    expect([outcome(await call('alpha')), outcome(await call('beta'))]).toEqual([
      '404 model_not_found',
      '200',
    ]);
    await change(null);
    expect([outcome(await call('alpha')), outcome(await call('common'))]).toEqual(['200', '200']);
  });

  it('is the same when the application says so in place of a key', async () => {
    const gateway = createGateway(house.router, {
      authenticate: () => ({ teamId: 'acme', keyType: 'default', models: ['alpha'] }),
    });
    const call = (model: string) =>
      send(gateway, 'POST /v1/chat/completions', { body: { model, messages: [] } });
    expect(outcome(await call('alpha'))).toBe('200');
    expect(outcome(await call('beta'))).toBe('404 model_not_found');
    expect(outcome(await call(beta.model_id))).toBe('404 model_not_found');
    expect(idsOf(await send(gateway, 'GET /models'))).toEqual(['alpha']);
  });
});
