import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { administrativeCall, unknownCall } from '../../src/calls/endpoints/unknown.ts';
import {
  type RecordedRequest,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';
import { runs } from '../support/runs.ts';

const masterKey = 'a-master-key-of-32-characters-or-more';
const json = { 'content-type': 'application/json' };

/** The providers of two teams, and the operator's, which the teams may share. */
let own: RecordingProvider;
let others: RecordingProvider;
let shared: RecordingProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;
let restrictedKey: string;
const receipts: Receipt[] = [];
let answer: (response: Parameters<Parameters<typeof recordingProvider>[0] & object>[1]) => void;

beforeAll(async () => {
  own = await recordingProvider((_, response) => answer(response));
  others = await recordingProvider((_, response) => sendJson(response, 200, { id: 'of-the-other' }));
  shared = await recordingProvider((_, response) => sendJson(response, 200, { id: 'of-the-operator' }));
  const urls = [own.url, others.url, shared.url];
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: urls, allowShared: urls },
    onCall: (receipt) => receipts.push(receipt),
  });
  const params = (provider: RecordingProvider, model: string) => ({
    model,
    num_retries: 0,
    api_key: `sk-of-${model}`,
    api_base: `${provider.url}/v1`,
  });
  await router.addModel('acme', { model_name: 'mine', litellm_params: params(own, 'theirs') });
  await router.addModel('acme', { model_name: 'second', litellm_params: params(own, 'their-second') });
  await router.addModel('globex', { model_name: 'mine', litellm_params: params(others, 'other') });
  await router.addSharedModel({ model_name: 'common', litellm_params: params(shared, 'operators') });
  await router.allowSharedModels('acme', ['common']);
  await router.createTeam({ team_id: 'guest' });
  await router.allowSharedModels('guest', ['common']);
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
  key = (await router.createKey('acme')).key;
  restrictedKey = (await router.createKey('acme', { models: ['mine'] })).key;
});

afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await Promise.all([own.close(), others.close(), shared.close()]);
});

beforeEach(() => {
  for (const provider of [own, others, shared]) provider.requests.length = 0;
  receipts.length = 0;
  answer = (response) => sendJson(response, 200, { id: 'thing_1' });
});

type Sent = { method?: string; headers?: Record<string, string>; body?: string | Uint8Array };

const init = ({ method = 'POST', headers = {}, body }: Sent): RequestInit => ({
  method,
  headers,
  ...(body === undefined ? {} : { body: body as string }),
});

/** The two ways to make a call, as the team `acme`. */
const ways = {
  'fetchFor()': (path: string, sent: Sent) => router.fetchFor('acme')(path, init(sent)),
  'the gateway': (path: string, sent: Sent) =>
    fetch(
      gateway.url + path,
      init({ ...sent, headers: { authorization: `Bearer ${key}`, ...sent.headers } }),
    ),
};

const codeOf = async (response: Response) =>
  `${response.status} ${((await response.json()) as { error?: { code: string } }).error?.code}`;
const arrived = () => own.requests[0] as RecordedRequest;

describe.each(Object.entries(ways))('a call that the table does not have, through %s', (_, send) => {
  const named = { ...json, 'x-team-model': 'mine' };

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])(
    'reaches the deployment that a header names: %s',
    async (method) => {
      const body = method === 'GET' ? undefined : '{"n": 12345678901234567890,\t"tags":["a"], "timeout": 3}';
      const response = await send('/v1/things/thing_1/parts?limit=2&a%5Bb%5D=c%20d', {
        method,
        headers: named,
        ...(body && { body }),
      });
      expect([response.status, await response.json()]).toEqual([200, { id: 'thing_1' }]);
      const { url, headers, body: got } = arrived();
      const { pathname, searchParams } = new URL(url, own.url);
      expect([arrived().method, pathname, [...searchParams]]).toEqual([
        method,
        '/v1/things/thing_1/parts',
        [
          ['limit', '2'],
          ['a[b]', 'c d'],
        ],
      ]);
      expect(String(got)).toBe(body ?? '');
      expect(headers.authorization).toBe('Bearer sk-of-theirs');
      expect(headers['x-team-model']).toBeUndefined();
      await vi.waitFor(() =>
        expect(receipts.at(-1)).toMatchObject({ teamId: 'acme', model: 'mine', status: 200 }),
      );
    },
  );

  it('takes the model of a body that is one of the team, and replaces it', async () => {
    const body = '{"input":"x","model":"second","deep":{"model":"second"}}';
    expect((await send('/v1/things', { headers: named, body })).status).toBe(200);
    expect(String(arrived().body)).toBe('{"input":"x","model":"their-second","deep":{"model":"second"}}');
    expect(arrived().headers.authorization).toBe('Bearer sk-of-their-second');
  });

  it("leaves a model of the provider's own as it is", async () => {
    const body = '{"model":"gpt-of-tomorrow"}';
    expect((await send('/v1/things', { headers: named, body })).status).toBe(200);
    expect(String(arrived().body)).toBe(body);
    expect(arrived().headers.authorization).toBe('Bearer sk-of-theirs');
  });

  it('takes the model of a form in the same way', async () => {
    for (const [model, expected] of [
      ['second', 'their-second'],
      ['tomorrows', 'tomorrows'],
    ]) {
      own.requests.length = 0;
      const form = (name: string) =>
        `--limit\r\nContent-Disposition: form-data; name="model"\r\n\r\n${name}\r\n--limit--\r\n`;
      const headers = { 'content-type': 'multipart/form-data; boundary=limit', 'x-team-model': 'mine' };
      expect((await send('/v1/things', { headers, body: form(model as string) })).status).toBe(200);
      expect(String(arrived().body)).toBe(form(expected as string));
    }
  });

  it('sends any other body as it came', async () => {
    const body = Buffer.from([0, 255, 128, 13, 10]);
    const headers = { ...named, 'content-type': 'application/x-thing; a="b"' };
    expect((await send('/v1/things', { headers, body })).status).toBe(200);
    expect(arrived().body.equals(body)).toBe(true);
    expect(arrived().headers['content-type']).toBe('application/x-thing; a="b"');
  });

  it('gets events as events and anything else as bytes, without a judgement', async () => {
    const events = 'event: thing\ndata: {"error":null}\n\n';
    answer = (response) => response.writeHead(200, { 'content-type': 'text/event-stream' }).end(events);
    const streamed = await send('/v1/things', { headers: named, body: '{}' });
    expect(streamed.headers.get('content-type')).toBe('text/event-stream');
    expect(await streamed.text()).toBe(events);
    for (const [type, text] of [
      ['application/json', '{"error":{"message":"not one"}} and more'],
      ['application/json', ''],
      ['text/plain', 'data: x'],
    ] as const) {
      answer = (response) => response.writeHead(200, { 'content-type': type }).end(text);
      const plain = await send('/v1/things', { headers: named, body: '{"stream":true}' });
      expect([plain.status, await plain.text()]).toEqual([200, text]);
    }
  });

  it("answers with the provider's own error", async () => {
    answer = (response) => sendJson(response, 404, { error: { message: 'No such thing' } });
    const response = await send('/v1/things', { headers: named, body: '{}' });
    expect([response.status, await response.json()]).toEqual([404, { error: { message: 'No such thing' } }]);
  });

  it('has to name a model if the team has several', async () => {
    expect(await codeOf(await send('/v1/things', { headers: json, body: '{}' }))).toBe('400 invalid_request');
    expect(await codeOf(await send('/v1/things?model=nobodys', { headers: json, body: '{}' }))).toBe(
      '404 model_not_found',
    );
    expect((await send('/v1/things?model=second', { headers: json, body: '{}' })).status).toBe(200);
    expect(own.requests.map(({ url }) => url)).toEqual(['/v1/things']);
  });

  it('never reaches a shared deployment', async () => {
    for (const sent of [
      { headers: { ...json, 'x-team-model': 'common' }, body: '{}' },
      { headers: named, body: '{"model":"common"}' },
    ])
      expect(await codeOf(await send('/v1/things', sent))).toBe('400 stateful_on_shared');
    expect([...own.requests, ...shared.requests]).toEqual([]);
  });

  it.each([
    '/v1/organization/users',
    '/v1/organization',
    '/v1/Organization/admin_api_keys',
    '/v1/organizations/x',
    '/v1/admin/keys',
    '/v1/projects/proj_1/roles',
    '/v1/organization;x/users',
  ])('is refused by name if it administers an organization: %s', async (path) => {
    for (const method of ['GET', 'POST', 'DELETE', 'PUT', 'PATCH']) {
      const sent = { method, headers: named, ...(method === 'GET' ? {} : { body: '{}' }) };
      const response = await send(path, sent);
      expect(response.status).toBe(403);
      expect(await response.json()).toMatchObject({
        error: { code: 'permission_denied', message: expect.stringContaining('administers an organization') },
      });
    }
    expect(own.requests).toEqual([]);
  });

  it.each([
    ['a known path in other letters', '/v1/Chat/completions'],
    ['a known path with needless encodings', '/v1/%66iles/file-1'],
    ['a prefix twice', '/v1/v1/things'],
    ['a prefix of Azure', '/v1/openai/things'],
    ['an encoded slash', '/v1/things/a%2Fb'],
    ['an encoded backslash', '/v1/things/a%5Cb'],
    ['an encoding twice', '/v1/things/%252e%252e'],
    ['an empty segment', '/v1/things//x'],
    ['a path outside of /v1', '/things'],
    ["a route of this product's", '/v1/team/info'],
    ['more segments than any path has', `/v1${'/a'.repeat(17)}`],
  ])('is not found: %s', async (__, path) => {
    expect(await codeOf(await send(path, { headers: named, body: '{}' }))).toBe('404 not_found');
    expect(own.requests).toEqual([]);
  });
});

describe('a call that the table does not have', () => {
  it('is no call of a key that is restricted to models', async () => {
    for (const sent of [{ body: '{"model":"mine"}' }, { body: '{}' }, { method: 'GET' }]) {
      const headers = { ...json, authorization: `Bearer ${restrictedKey}`, 'x-team-model': 'mine' };
      const response = await fetch(
        `${gateway.url}/v1/things/gpt-other/completions`,
        init({ ...sent, headers }),
      );
      expect(await codeOf(response)).toBe('403 permission_denied');
    }
    expect(own.requests).toEqual([]);
  });

  it('is no call of a team that has shared models only, nor of the operator', async () => {
    const guest = await router.fetchFor('guest')('/v1/things', init({ headers: json, body: '{}' }));
    expect(await codeOf(guest)).toBe('400 stateful_on_shared');
    const headers = { ...json, authorization: `Bearer ${masterKey}` };
    const operator = await fetch(`${gateway.url}/v1/things`, init({ headers, body: '{}' }));
    expect(await codeOf(operator)).toBe('400 stateful_on_shared');
    expect(shared.requests).toEqual([]);
  });

  it('needs a key at the gateway', async () => {
    expect(await codeOf(await fetch(`${gateway.url}/v1/things`))).toBe('401 invalid_api_key');
  });

  it('may not come as a type that a page of another site may send', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
      const headers = { authorization: `Bearer ${key}`, 'content-type': type, 'x-team-model': 'mine' };
      const response = await fetch(`${gateway.url}/v1/things`, init({ headers, body: 'a=b' }));
      expect(await codeOf(response)).toBe('400 invalid_request');
    }
    expect(own.requests).toEqual([]);
  });

  it('is refused by a router with unknownCalls: refuse', async () => {
    const refusing = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [own.url] },
      unknownCalls: 'refuse',
    });
    const params = { model: 'theirs', api_key: 'sk-of-theirs', api_base: `${own.url}/v1` };
    await refusing.addModel('acme', { model_name: 'mine', litellm_params: params });
    const server = createGateway(refusing, { masterKey });
    const headers = { ...json, authorization: `Bearer ${(await refusing.createKey('acme')).key}` };
    const request = new Request('http://gateway.test/v1/things', init({ headers, body: '{}' }));
    expect(await codeOf(await server.fetch(request))).toBe('404 not_found');
    expect(
      await codeOf(await refusing.fetchFor('acme')('/v1/things', init({ headers: json, body: '{}' }))),
    ).toBe('404 not_found');
    await refusing.close();
    expect(own.requests).toEqual([]);
  });

  it('stays with the account that created its object', async () => {
    const pooled = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [own.url, others.url] },
    });
    for (const provider of [own, others]) {
      const params = { model: 'theirs', api_key: 'sk-of-theirs', api_base: `${provider.url}/v1` };
      await pooled.addModel('acme', { model_name: 'pool', litellm_params: params });
    }
    const send = (path: string, sent: Sent) =>
      pooled.fetchFor('acme', { defaultModel: 'pool' })(path, init({ ...sent, headers: json }));
    for (let turn = 0; turn < 8; turn++) {
      for (const provider of [own, others]) provider.requests.length = 0;
      await send('/v1/things', { body: '{}' });
      const creator = own.requests.length === 1 ? own : others;
      const id = creator === own ? 'thing_1' : 'of-the-other';
      await send(`/v1/things/${id}/parts`, { method: 'GET' });
      expect(creator.requests.map(({ method }) => method)).toEqual(['POST', 'GET']);
    }
    await pooled.close();
  });
});

/** Every reason for which an invented call may be refused. */
const reasons = new Set([
  '400 invalid_request',
  '400 stateful_on_shared',
  '403 permission_denied',
  '404 not_found',
  '404 model_not_found',
  '405 method_not_allowed',
]);

it('whatever is invented below /v1 reaches the own provider byte for byte, or is refused for a reason', async () => {
  const word = fc.constantFrom(
    'things',
    'thing_1',
    'files',
    'chat',
    'completions',
    'models',
    'organization',
    'admin',
  );
  const odd = fc.constantFrom(
    '..',
    '.',
    '%2e%2e',
    '%2f',
    '%5c',
    '',
    'a%20b',
    'a:b',
    '%zz',
    'A',
    "o'k",
    '%61',
    '%E2%82%AC',
  );
  const segment = fc.oneof(
    { weight: 4, arbitrary: word },
    odd,
    fc.stringMatching(/^[a-z0-9_.~!$&()*+,;=:@-]{1,12}$/),
  );
  const member = fc.tuple(
    fc.constantFrom('model', 'input', 'tags', 'timeout', 'headers', 'api_key', 'store', 'file_id', 'nested'),
    fc.oneof(fc.constantFrom('mine', 'second', 'common', 'gpt-x', ''), fc.jsonValue()),
  );
  const body = fc.oneof(
    fc.array(member, { maxLength: 4 }).map((members) => JSON.stringify(Object.fromEntries(members))),
    fc.json(),
    fc.string(),
  );
  const type = fc.constantFrom(
    'application/json',
    'application/x-thing',
    'text/csv',
    'multipart/form-data; boundary=b',
  );
  let reached = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'PATCH'),
      fc.array(segment, { minLength: 1, maxLength: 5 }),
      body,
      type,
      fc.constantFrom(...Object.keys(ways)),
      async (method, segments, text, contentType, way) => {
        for (const provider of [own, others, shared]) provider.requests.length = 0;
        const path = `/v1/${segments.join('/')}`;
        const sent = method === 'GET' ? {} : { body: text };
        const headers = { 'content-type': contentType, 'x-team-model': 'mine' };
        const response = await (ways[way as keyof typeof ways] as typeof fetchLike)(path, {
          method,
          headers,
          ...sent,
        });
        expect([...others.requests, ...shared.requests]).toEqual([]);
        const [request] = own.requests;
        if (request === undefined) {
          if (response.status < 400) return;
          expect(reasons, `${method} ${path}`).toContain(await codeOf(response));
          return;
        }
        const url = new URL(path, own.url);
        const unknown = unknownCall(method, url.pathname.replace(/\/$/, ''));
        expect(administrativeCall(method, url.pathname)).toBeUndefined();
        if (unknown === undefined) return;
        reached += 1;
        expect(request.method).toBe(method);
        expect(request.url).toBe(url.pathname.replace(/\/$/, ''));
        const expected = { mine: 'theirs', second: 'their-second' };
        const model = contentType === 'application/json' ? modelOf(text) : '';
        const written = Object.hasOwn(expected, model)
          ? text.replace(`"model":"${model}"`, `"model":"${expected[model as keyof typeof expected]}"`)
          : text;
        if (method !== 'GET') expect(String(request.body)).toBe(written);
      },
    ),
    { numRuns: runs(1_000) },
  );
  expect(reached).toBeGreaterThan(runs(1_000) / 20);
});

declare const fetchLike: (path: string, sent: Sent) => Promise<Response>;

function modelOf(text: string): string {
  try {
    return String((JSON.parse(text) as { model?: unknown }).model);
  } catch {
    return '';
  }
}
