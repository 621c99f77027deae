import type { ModelView } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routeTable } from '../../src/http/routes/route-table.ts';
import {
  everything,
  type GatewayFixture,
  gatewayFixture,
  masterKey,
  outcome,
  send,
} from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

const bodyLimit = 2_000_000;
const managementLimit = 1_048_576;

let provider: RecordingProvider;
let house: GatewayFixture;
let gateway: Gateway;
let key: string;
let model: ModelView;
let stored: string;

beforeAll(async () => {
  provider = await recordingProvider((_request, response) => sendJson(response, 200, { id: 'x' }));
  house = gatewayFixture({ egress: { allow: [provider.url] } }, { bodyLimit });
  gateway = house.gateway;
  key = (await house.router.createKey('acme')).key;
  const params = { model: 'gpt-4o', api_key: 'key-of-acme', api_base: provider.url };
  model = await house.router.addModel('acme', { model_name: 'alpha', litellm_params: params });
  stored = await everything(house.storage);
});
afterAll(async () => {
  expect(await everything(house.storage), 'bad input changed something').toBe(stored);
  expect(provider.requests, 'bad input reached the provider').toEqual([]);
  await provider.close();
});

const filled = (path: string) => path.replace('{model}', 'alpha').replace(/\{\w+\}/g, 'id-1');
const takesBody = routeTable.filter(({ method }) => method === 'POST' || method === 'PATCH');
const mayHaveNoBody = (line: string) => line === 'POST /key/id-1/regenerate';
const managed = takesBody.filter(({ permission }) => permission !== 'calls');
const calls = takesBody.filter(({ permission }) => permission === 'calls');
const lineOf = ({ method, path }: { method: string; path: string }) => [`${method} ${filled(path)}`] as const;

const json = { 'content-type': 'application/json' };
const asMaster = (line: string, body: string | Uint8Array, headers: Record<string, string> = json) =>
  send(gateway, line, { key: masterKey, headers, body });
const asTeam = (line: string, body: string | Uint8Array, headers: Record<string, string> = json) =>
  send(gateway, line, { key, headers: { 'x-team-model': 'alpha', ...headers }, body });

/** Bytes without a length, a chunk at a time; `pulled` counts them. */
function endless(chunk = 65_536, first = '') {
  const source = { pulled: 0, cancelled: false };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const bytes = new Uint8Array(chunk).fill(32);
        if (source.pulled === 0) bytes.set(Buffer.from(first));
        source.pulled += bytes.length;
        controller.enqueue(bytes);
      },
      cancel() {
        source.cancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { source, body };
}

async function sendStream(line: string, as: string, body: ReadableStream, contentType = 'application/json') {
  const [method = '', path = ''] = line.split(' ');
  const headers = { authorization: `Bearer ${as}`, 'content-type': contentType, 'x-team-model': 'alpha' };
  const response = await gateway.fetch(
    new Request(`http://gateway.test${path}`, { method, headers, body, duplex: 'half' } as RequestInit),
  );
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) as unknown };
}

const foreignTypes = [
  'text/plain',
  'application/x-www-form-urlencoded',
  'application/jsonp',
  'text/json',
  '',
];

describe.each(managed.map(lineOf))('%s', (line) => {
  it.each(['', '{', '{"a":1}}', 'model_name=x', '\ufeff', "{'a':1}"])(
    'refuses what is no JSON: %j',
    async (body) => {
      const answer = await asMaster(line, body);
      if (body === '' && mayHaveNoBody(line)) return expect(outcome(answer)).toBe('404 key_not_found');
      expect(outcome(answer)).toBe('400 invalid_request');
      return expect(answer.text).toMatch(
        /The body is not a JSON object that can be read: [\w ]+ at byte \d+\./,
      );
    },
  );

  it('refuses what is no UTF-8', async () => {
    const answer = await asMaster(line, Buffer.from('{"team_id":"\xe9"}', 'latin1'));
    expect(answer.text).toContain('Malformed JSON body.');
  });

  it.each(['[]', '"text"', 'null', '7', 'true'])('refuses JSON of another shape: %s', async (body) => {
    expect(outcome(await asMaster(line, body))).toBe('400 invalid_request');
  });

  it('names a field that it does not know, and one that hides', async () => {
    const samples: Record<string, object> = {
      '/model/new': { model_name: 'x', litellm_params: { model: 'x' } },
      '/model/add': { model_name: 'x', litellm_params: { model: 'x' } },
      '/model/update': { model_info: { id: model.model_id } },
      '/model/delete': { id: model.model_id },
      '/health/test_connection': { model_info: { id: model.model_id } },
      '/team/new': {},
      '/team/delete': { team_ids: ['acme'] },
      '/team/model/add': { team_id: 'acme', models: ['x'] },
      '/team/model/delete': { team_id: 'acme', models: ['x'] },
      '/key/generate': { team_id: 'acme' },
      '/key/update': { key },
      '/key/regenerate': { key },
      '/key/id-1/regenerate': {},
      '/key/block': { key },
      '/key/unblock': { key },
      '/key/delete': { keys: [key] },
      '/model/id-1/update': {},
    };
    const sample = samples[line.split(' ')[1] ?? ''] ?? { team_id: 'acme' };
    const unknown = await asMaster(line, JSON.stringify({ ...sample, not_a_field: 1 }));
    expect([outcome(unknown), unknown.json]).toEqual([
      '400 invalid_request',
      { error: expect.objectContaining({ param: 'not_a_field' }) },
    ]);
    const hidden = await asMaster(
      line,
      `{"__proto__":{},${JSON.stringify(sample).slice(1)}`.replace(',}', '}'),
    );
    expect([outcome(hidden), hidden.json]).toEqual([
      '400 invalid_request',
      { error: expect.objectContaining({ param: '__proto__' }) },
    ]);
    const long = await asMaster(line, JSON.stringify({ ...sample, ['x'.repeat(100_000)]: 1 }));
    expect(outcome(long)).toBe('400 invalid_request');
    expect(long.text.length).toBeLessThan(2000);
  });

  it.each([...foreignTypes, 'multipart/form-data; boundary=b'])(
    'refuses the content type %j',
    async (type) => {
      const answer = await asMaster(line, '{}', { 'content-type': type });
      expect(outcome(answer)).toBe('400 invalid_request');
      expect(answer.json).toMatchObject({ error: { param: 'content-type' } });
    },
  );

  it('refuses a body over the limit, with a length and without', async () => {
    const announced = await asMaster(line, '{}', { ...json, 'content-length': String(managementLimit + 1) });
    expect(outcome(announced)).toBe('413 request_too_large');
    expect(outcome(await asMaster(line, ' '.repeat(managementLimit + 1)))).toBe('413 request_too_large');
    const { source, body } = endless();
    expect(outcome(await sendStream(line, masterKey, body))).toBe('413 request_too_large');
    expect(source.cancelled).toBe(true);
    expect(source.pulled).toBeLessThanOrEqual(managementLimit + 65_536);
  });
});

describe.each(calls.map(lineOf))('%s', (line) => {
  it.each(['{', '[]', '"text"', 'null', '7', '{"a":1}}', 'model=alpha'])(
    'refuses a body like %j',
    async (body) => {
      expect(outcome(await asTeam(line, body))).toBe('400 invalid_request');
    },
  );

  it.each([
    ['{"model":"alpha","model":"beta"}', 'model'],
    ['{"model":"beta","mod\\u0065l":"alpha"}', 'model'],
    ['{"model":"alpha","messages":[],"messages":[]}', 'messages'],
    ['{"model":"alpha","__proto__":1,"__proto__":2}', '__proto__'],
    ['{"model":"alpha","api_key":"mine"}', 'api_key'],
    ['{"model":"alpha","api\\u005fbase":"http://evil.test"}', 'api_base'],
    ['{"model":"alpha","base_url":"http://127.0.0.1"}', 'base_url'],
    ['{"model":"alpha","api_version":"1"}', 'api_version'],
    ['{"model":"alpha","custom_llm_provider":"openai"}', 'custom_llm_provider'],
    ['{"model":"alpha","litellm_params":{}}', 'litellm_params'],
    ['{"model":["alpha"]}', 'model'],
  ])('refuses %s', async (body, param) => {
    const answer = await asTeam(line, body);
    expect([outcome(answer), answer.json]).toEqual([
      '400 invalid_request',
      { error: expect.objectContaining({ param }) },
    ]);
  });

  it.each(foreignTypes)('refuses the content type %j', async (type) => {
    const answer = await asTeam(line, '{"model":"alpha"}', { 'content-type': type });
    expect(outcome(answer)).toBe('400 invalid_request');
    expect(answer.json).toMatchObject({ error: { param: 'content-type' } });
  });

  it('refuses a body over the limit, with a length and without', async () => {
    const tooLong = { ...json, 'content-length': String(bodyLimit + 1) };
    expect(outcome(await asTeam(line, '{}', tooLong))).toBe('413 request_too_large');
    const { source, body } = endless();
    expect(outcome(await sendStream(line, key, body))).toBe('413 request_too_large');
    expect(source.cancelled).toBe(true);
    expect(source.pulled).toBeLessThanOrEqual(bodyLimit + 65_536);
  });

  it('refuses a form that names a key twice, or one that only the stored model may set', async () => {
    const part = (name: string, value: string) =>
      `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const form = { 'content-type': 'multipart/form-data; boundary=b' };
    for (const parts of [
      part('model', 'alpha') + part('model', 'beta'),
      part('model', 'alpha') + part('api_base', 'http://evil.test'),
      part('model', 'alpha') + part('file"\nContent-Disposition: form-data; name="model', 'beta'),
      part('model', 'alpha') + part('file"\r\n ;name="model', 'beta'),
      part('model', 'alpha') + part('file"; name="model', 'beta'),
      part('model', 'alpha') + part('file"; name*="model', 'beta'),
    ]) {
      const answer = await asTeam(line, `${parts}--b--\r\n`, form);
      expect(outcome(answer)).toBe('400 invalid_request');
    }
  });
});

describe.each(routeTable.filter(({ query }) => query !== undefined).map(lineOf))('%s', (line) => {
  it('rejects an unknown or duplicate query parameter', async () => {
    for (const [query, param] of [
      ['not_a_field=1', 'not_a_field'],
      ['constructor=1', 'constructor'],
      ['__proto__=1', '__proto__'],
      ['team_id=acme&team_id=globex', 'team_id'],
      ['page=1&page=2', 'page'],
    ]) {
      const answer = await send(gateway, `${line}?${query}`, { key: masterKey });
      expect([outcome(answer), answer.json]).toEqual([
        '400 invalid_request',
        { error: expect.objectContaining({ param }) },
      ]);
    }
  });
});

describe('ids', () => {
  it.each([
    ['POST /model/delete', '{"id":"\\ud800"}', '404 model_not_found'],
    ['POST /model/update', '{"model_info":{"id":"a\\udfff"}}', '404 model_not_found'],
    ['POST /health/test_connection', '{"model_info":{"id":"\\ud800"}}', '404 model_not_found'],
    ['POST /model/delete', '{"id":"a\\u0000b"}', '404 model_not_found'],
    ['POST /team/block', '{"team_id":"\\ud800"}', '400 invalid_request'],
    ['POST /team/new', '{"team_id":"a\\r\\nb"}', '400 invalid_request'],
    ['POST /team/delete', '{"team_ids":["../shared"]}', '404 team_not_found'],
    ['POST /key/block', '{"token":"\\ud800"}', '404 key_not_found'],
    ['POST /key/delete', '{"keys":["../team/acme"]}', '404 key_not_found'],
    ['POST /key/block', '{}', '400 invalid_request'],
  ])('that are no text of ours are answered: %s %s', async (line, body, expected) => {
    expect(outcome(await asMaster(line, body))).toBe(expected);
  });

  it.each([
    ['{"id":"x"}', 'model_info'],
    ['{"model_info":{"id":"x"},"api_base":"https://elsewhere.example"}', 'api_base'],
    ['{"model_info":{"id":"x","api_base":"https://elsewhere.example"}}', 'model_info.api_base'],
    ['{"model_info":{"id":"x"},"litellm_params":{"api_base":"https://elsewhere.example"}}', 'model_name'],
  ])('of a test model are reported without others: %s', async (body, param) => {
    const answer = await asMaster('POST /health/test_connection', body);
    expect(outcome(answer)).toBe('400 invalid_request');
    expect(answer.json).toMatchObject({ error: { param } });
  });

  it.each(['%zz', '%ff', '%00', '..%2f..', 'x'.repeat(8000), '__proto__', '%25'])(
    'in the path are too: %s',
    async (id) => {
      for (const as of [masterKey, key]) {
        expect(outcome(await send(gateway, `DELETE /model/${id}`, { key: as }))).toBe('404 model_not_found');
        const patch = { key: as, body: { litellm_params: { timeout: 5 } } };
        expect(outcome(await send(gateway, `PATCH /model/${id}/update`, patch))).toBe('404 model_not_found');
      }
    },
  );

  it('of one key, named by itself and by its hash, revoke it once', async () => {
    const mine = gatewayFixture();
    const made = await mine.router.createKey('acme');
    const body = { keys: [made.key, made.token] };
    const answer = await send(mine.gateway, 'POST /key/delete', { key: masterKey, body });
    expect(answer).toMatchObject({ status: 200, json: { deleted_keys: [made.token] } });
  });

  it('of which one is unknown delete nothing', async () => {
    const body = { keys: [key, 'f'.repeat(64)] };
    expect(outcome(await send(gateway, 'POST /key/delete', { key: masterKey, body }))).toBe(
      '404 key_not_found',
    );
    const teams = { team_ids: ['acme', 'nobody'] };
    expect(outcome(await send(gateway, 'POST /team/delete', { key: masterKey, body: teams }))).toBe(
      '404 team_not_found',
    );
  });
});

const badHeaders: Record<string, string>[] = [
  { 'x-a': '1\r\nx-evil: 1' },
  { 'x-a\r\nx-evil': '1' },
  { 'x a': '1' },
  { 'x-a': 'ключ' },
  { Host: 'evil.test' },
  { 'X-Forwarded-For': '1.1.1.1' },
  { 'transfer-encoding': 'chunked' },
  { 'x-a': '1', 'X-A': '2' },
];

describe('names that would break out of a header', () => {
  it.each<[string, object]>([
    ['model_name', { model_name: 'a\r\nx-evil: 1', litellm_params: { model: 'x' } }],
    ['model_name', { model_name: 'a\u2028b', litellm_params: { model: 'x' } }],
    ['model_name', { model_name: '\ud800', litellm_params: { model: 'x' } }],
    ['litellm_params.model', { model_name: 'a', litellm_params: { model: 'x\nHost: evil' } }],
    ['litellm_params.api_key', { model_name: 'a', litellm_params: { model: 'x', api_key: 'k\r\nx: 1' } }],
    ['litellm_params.organization', { model_name: 'a', litellm_params: { model: 'x', organization: 'o\n' } }],
    ...badHeaders.map((extra_headers): [string, object] => [
      'litellm_params.extra_headers',
      { model_name: 'a', litellm_params: { model: 'x', extra_headers } },
    ]),
  ])('are refused: %s of %j', async (param, body) => {
    for (const line of ['POST /model/new', 'POST /health/test_connection']) {
      const answer = await send(gateway, line, { key, body });
      expect([outcome(answer), answer.json]).toEqual([
        '400 invalid_request',
        { error: expect.objectContaining({ param }) },
      ]);
    }
  });
});

describe('routes', () => {
  const paths = [...new Set(routeTable.map(({ path }) => filled(path)))];

  it.each([
    '/',
    '/v1',
    '/v1/',
    '/v2/chat/completions',
    '/chat',
    '/team',
    '/openai/deployments/alpha',
    '/openai/deployments/alpha/files',
    '/openai/deployments//chat/completions',
    '/v1/v1/models',
    '/openapi.json',
    '/%00',
    '/v1/%6dodels',
  ])('that are not there are 404 in the same shape: %s', async (path) => {
    for (const method of ['GET', 'POST', 'DELETE', 'PATCH', 'PUT', 'OPTIONS']) {
      const answer = await send(gateway, `${method} ${path}`, { key });
      expect(outcome(answer)).toBe('404 not_found');
    }
  });

  /** Answered because an id may be any word: no hint for who meant the path itself. */
  const isById = (method: string, path: string) =>
    method === 'DELETE' && /^(\/v1)?\/models?\/\w+$/.test(path);

  it.each(paths)('take only the methods that Allow names: %s', async (path) => {
    const mine = new Set<string>();
    const allowed = new Set<string>();
    for (const method of ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE', 'PUT', 'OPTIONS', 'QUERY']) {
      const answer = await send(gateway, `${method} ${path}`);
      if (answer.status !== 405) {
        // A model of the provider's account is deleted there: refused with the reason.
        expect([200, 400, 401]).toContain(answer.status);
        if (!isById(method, path)) mine.add(method);
        continue;
      }
      if (method !== 'HEAD') expect(outcome(answer)).toBe('405 method_not_allowed');
      allowed.add(answer.headers.get('allow') ?? '');
      expect(answer.headers.get('access-control-allow-methods')).toBeNull();
    }
    expect(mine.size).toBeGreaterThan(0);
    expect(allowed).toEqual(new Set([expect.any(String)]));
    expect(new Set([...allowed][0]?.split(', '))).toEqual(mine);
  });

  it('HEAD asks no provider: its answer would be thrown away', async () => {
    const answer = await send(gateway, 'HEAD /v1/files/file-1/content', { key });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET']);
    expect((await send(gateway, 'HEAD /v1/models', { key })).status).toBe(200);
    expect((await send(gateway, 'HEAD /health/liveness')).status).toBe(200);
  });

  it('outside of the base path are 404 in the same shape', async () => {
    for (const basePath of ['/llm', '/llm/', '/a/b']) {
      const based = createGateway(house.router, { masterKey, basePath });
      const root = basePath.replace(/\/$/, '');
      expect(outcome(await send(based, `GET ${root}/v1/models`, { key }))).toBe('200');
      expect(outcome(await send(based, `GET ${root}/nothing`, { key }))).toBe('404 not_found');
      expect(outcome(await send(based, `POST ${root}/v1/models`, { key }))).toBe('405 method_not_allowed');
      for (const path of ['/', '/v1/models', `/x${root}/v1/models`, `${root}x/v1/models`]) {
        const answer = await send(based, `GET ${path}`, { key });
        expect(outcome(answer), path).toBe('404 not_found');
        expect(answer.headers.get('content-security-policy')).toBe('sandbox');
      }
    }
  });
});

describe('a page of another origin', () => {
  it('gets no CORS header unless it was asked for', async () => {
    for (const line of ['OPTIONS /v1/chat/completions', 'GET /v1/models', 'GET /health/liveness']) {
      const headers = { origin: 'https://evil.test', 'access-control-request-method': 'POST' };
      const answer = await send(gateway, line, { key, headers });
      expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });

  it('is let in by name, and no other', async () => {
    const open = createGateway(house.router, { masterKey, cors: { origin: 'https://app.test' } });
    const preflight = { origin: 'https://app.test', 'access-control-request-method': 'POST' };
    const asked = await send(open, 'OPTIONS /v1/chat/completions', { headers: preflight });
    expect([asked.status, asked.headers.get('access-control-allow-origin')]).toEqual([
      204,
      'https://app.test',
    ]);
    const called = await send(open, 'GET /v1/models', { key, headers: { origin: 'https://app.test' } });
    expect(called.headers.get('access-control-allow-origin')).toBe('https://app.test');
    expect(called.headers.get('content-security-policy')).toBe('sandbox');
    const refused = await send(open, 'GET /v1/models', { headers: { origin: 'https://app.test' } });
    expect(outcome(refused)).toBe('401 invalid_api_key');
    expect(refused.headers.get('access-control-allow-origin')).toBe('https://app.test');
    const named = createGateway(house.router, { masterKey, cors: { origin: ['https://app.test'] } });
    const evil = await send(named, 'GET /v1/models', { key, headers: { origin: 'https://evil.test' } });
    expect(evil.headers.get('access-control-allow-origin')).toBeNull();
  });

  it("whose judge fails is answered in the one shape, without the judge's words", async () => {
    const origin = () => {
      throw new Error('the database at /srv/secret is down');
    };
    const answer = await send(
      createGateway(house.router, { masterKey, cors: { origin } }),
      'GET /v1/models',
      { key },
    );
    expect(outcome(answer)).toBe('500 internal_error');
    expect(answer.text).not.toContain('secret');
  });
});

describe('a gateway does not start', () => {
  it.each([
    [{}, 'masterKey'],
    [{ masterKey: undefined }, 'masterKey'],
    [{ masterKey: '' }, 'masterKey'],
    [{ masterKey: 'x'.repeat(31) }, 'masterKey'],
    [{ masterKey: `${'x'.repeat(40)} ${'x'.repeat(40)}` }, 'masterKey'],
    [{ masterKey: 'ключ'.repeat(10) }, 'masterKey'],
    [{ masterKey: 7 }, 'masterKey'],
    [{ authenticate: true }, 'authenticate'],
    [{ masterKey, autenticate: () => null }, 'autenticate'],
    [{ masterKey, bodyLimit: Number.NaN }, 'bodyLimit'],
    [{ masterKey, bodyLimit: 0 }, 'bodyLimit'],
    [{ masterKey, bodyLimit: '1mb' }, 'bodyLimit'],
    [{ masterKey, basePath: 'llm' }, 'basePath'],
    [{ masterKey, basePath: '/:team' }, 'basePath'],
    [{ masterKey, cors: true }, 'cors'],
  ])('with %j', (options, param) => {
    expect(() => createGateway(house.router, options as never)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param }),
    );
  });
});
