import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type GatewayFixture,
  gatewayFixture,
  masterKey,
  type Received,
  type Sent,
  send,
} from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let house: GatewayFixture;
let acme: string;
let globex: string;

beforeAll(async () => {
  provider = await recordingProvider((_request, response) => sendJson(response, 200, { id: 'x' }));
});
afterAll(() => provider.close());
beforeEach(async () => {
  house = gatewayFixture({ egress: { allow: [provider.url] } });
  acme = (await house.router.createKey('acme')).key;
  globex = (await house.router.createKey('globex')).key;
});

const params = () => ({ model: 'gpt-4o', api_key: 'key-of-globex', api_base: provider.url });

/** All that an answer is made of, but for what is another with every answer. */
function bytesOf({ status, headers, text }: Received): string {
  const each = /^x-request-id$|^x-litellm-(call-id|response-duration-ms|overhead-duration-ms)$/;
  const shown = [...headers].filter(([name]) => !each.test(name)).map(([name, value]) => `${name}: ${value}`);
  return [status, ...shown.sort(), '', text].join('\n');
}

type Door = [line: string, sent?: Sent];

/** Every way to name a thing by its id; whoever uses it last may find it gone. */
const modelDoors: Record<string, (id: string) => Door> = {
  'GET /model/info': (id) => [`GET /model/info?litellm_model_id=${id}`],
  'GET /v1/model/info': (id) => [`GET /v1/model/info?litellm_model_id=${id}`],
  'GET /v2/model/info': (id) => [`GET /v2/model/info?litellm_model_id=${id}`],
  'GET /v1/models/{id}': (id) => [`GET /v1/models/${id}`],
  'POST /model/update': (id) => [
    'POST /model/update',
    { body: { model_info: { id }, litellm_params: { timeout: 5 } } },
  ],
  'PATCH /model/{id}/update': (id) => [`PATCH /model/${id}/update`, { body: { model_name: 'other' } }],
  'POST /health/test_connection': (id) => ['POST /health/test_connection', { body: { model_info: { id } } }],
  'the model of a call': (id) => ['POST /v1/chat/completions', { body: { model: id, messages: [] } }],
  'the path of a call': (id) => [`POST /openai/deployments/${id}/embeddings`, { body: { input: 'x' } }],
  'the query of a call': (id) => [`GET /v1/files?model=${id}`],
  'the header of a call': (id) => ['GET /v1/batches', { headers: { 'x-team-model': id } }],
  'DELETE /model/{id}': (id) => [`DELETE /model/${id}`],
  'POST /model/delete': (id) => ['POST /model/delete', { body: { id } }],
};

describe.each(Object.entries(modelDoors))("another team's model, through %s", (_name, door) => {
  const add = async (model_name: string, id: string) => {
    const model_info = { team_id: 'globex', id };
    const body = { model_name, litellm_params: params(), model_info };
    return send(house.gateway, 'POST /model/new', { key: masterKey, body });
  };
  const ask = async (key: string, named: string) => {
    const [line, sent] = door(named);
    return send(house.gateway, line, { ...sent, key });
  };

  it('gets the same bytes as an unknown one, and is found by its owner', async () => {
    const id = 'imported-id-1';
    const nobodys = bytesOf(await ask(acme, id));
    expect(nobodys).toMatch(/^404\n/);
    expect(nobodys).toContain('"code":"model_not_found"');
    expect((await add('secret-name', id)).status).toBe(200);
    const requests = provider.requests.length;
    expect(bytesOf(await ask(acme, id))).toBe(nobodys);
    expect(provider.requests.length).toBe(requests);
    expect((await house.router.listModels('globex')).data[0]).toMatchObject({
      model_name: 'secret-name',
      litellm_params: { model: 'gpt-4o' },
    });
    expect((await ask(globex, id)).status).toBe(200);
  });

  it('is no better known by its public or its internal name', async () => {
    const { model_name } = (await add('secret-name', 'imported-id-1')).json as { model_name: string };
    for (const name of ['secret-name', model_name]) {
      const theirs = bytesOf(await ask(acme, name));
      await house.router.deleteModel('globex', 'imported-id-1').catch(() => {});
      expect(bytesOf(await ask(acme, name))).toBe(theirs);
      expect(theirs).toMatch(/^404\n/);
      await add('secret-name', 'imported-id-1');
    }
  });
});

const teamDoors: Record<string, (teamId: string) => Door> = {
  'GET /team/info': (id) => [`GET /team/info?team_id=${id}`],
  'GET /model/info': (id) => [`GET /model/info?team_id=${id}`],
  'POST /model/new': (id) => [
    'POST /model/new',
    { body: { model_name: 'mine', litellm_params: params(), model_info: { team_id: id } } },
  ],
  'POST /model/add': (id) => [
    'POST /model/add',
    { body: { model_name: 'mine', litellm_params: params(), model_info: { team_id: id } } },
  ],
  'POST /health/test_connection': (id) => [
    'POST /health/test_connection',
    { body: { model_name: 'mine', litellm_params: params(), model_info: { team_id: id } } },
  ],
};

describe.each(Object.entries(teamDoors))("another team's id, through %s", (_name, door) => {
  it('gets the same bytes as an unknown one, and is found by its owner', async () => {
    const ask = async (key: string) => {
      const [line, sent] = door('initech');
      return send(house.gateway, line, { ...sent, key });
    };
    const nobodys = bytesOf(await ask(acme));
    expect(nobodys).toMatch(/^404\n/);
    expect(nobodys).toContain('"code":"team_not_found"');
    const { key } = await house.router.createKey('initech');
    expect(bytesOf(await ask(acme))).toBe(nobodys);
    expect((await ask(key)).status).toBe(200);
  });

  it('is no less unknown in an update, whose model is its own', async () => {
    const { model_id: id } = await house.router.addModel('acme', {
      model_name: 'a',
      litellm_params: params(),
    });
    const body = { model_info: { id, team_id: 'initech' }, litellm_params: { timeout: 5 } };
    const ask = async (sent: object) => send(house.gateway, 'POST /model/update', { key: acme, body: sent });
    const nobodys = bytesOf(await ask(body));
    await house.router.createKey('initech');
    expect(bytesOf(await ask(body))).toBe(nobodys);
    expect(nobodys).toMatch(/^404\n/);
    expect((await ask({ ...body, model_info: { id, team_id: 'acme' } })).status).toBe(200);
  });
});

describe("another team's key", () => {
  it.each(['key', 'token'] as const)('by its %s gets the response for an unknown one', async (which) => {
    const theirs = await house.router.createKey('globex', { key_alias: 'theirs' });
    const ask = async (key: string, named: string) =>
      send(house.gateway, `GET /key/info?key=${named}`, { key });
    const refused = bytesOf(await ask(acme, theirs[which]));
    expect(refused).toMatch(/^404\n/);
    expect(refused).toContain('"code":"key_not_found"');
    const found = await ask(globex, theirs[which]);
    expect(found).toMatchObject({ status: 200, json: { info: { key_alias: 'theirs' } } });
    await house.router.deleteKey('globex', theirs.key);
    expect(bytesOf(await ask(acme, theirs[which]))).toBe(refused);
    for (const nobodys of [`sk-${'n'.repeat(43)}`, 'f'.repeat(64), 'no key at all']) {
      expect(bytesOf(await ask(acme, encodeURIComponent(nobodys)))).toBe(refused);
    }
  });
});

describe('an id that a team chooses', () => {
  it('is rejected with the same error whether it exists or not', async () => {
    const body = { model_name: 'mine', litellm_params: params(), model_info: { id: 'wanted' } };
    const ask = async () => bytesOf(await send(house.gateway, 'POST /model/new', { key: acme, body }));
    const nobodys = await ask();
    await send(house.gateway, 'POST /model/new', {
      key: masterKey,
      body: { ...body, model_info: { id: 'wanted', team_id: 'globex' } },
    });
    expect(await ask()).toBe(nobodys);
    expect(nobodys).toMatch(/^400\n/);
  });
});
