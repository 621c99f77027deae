import type { Authenticate } from 'team-model-router/http';
import { createGateway } from 'team-model-router/http';
import { beforeEach, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';

let house: GatewayFixture;
let key: string;

beforeEach(async () => {
  house = gatewayFixture();
  key = (await house.router.createKey('acme')).key;
});

const own = (authenticate: Authenticate, more: object = {}) =>
  createGateway(house.router, { authenticate, ...more });
const answering = (value: unknown) => own(() => value as never);

describe("the application's own authenticate", () => {
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['false', false],
    ['true', true],
    ['a text', 'acme'],
    ['an empty object', {}],
    ['a list', [{ teamId: 'acme', keyType: 'default' }]],
    ['an empty team', { teamId: '', keyType: 'default' }],
    ['a blank team', { teamId: ' ', keyType: 'default' }],
    ['a team that is no text', { teamId: 7, keyType: 'default' }],
    ['a team that is null', { teamId: null, keyType: 'default' }],
    ['a lone surrogate', { teamId: '\ud800', keyType: 'default' }],
    ['no key type', { teamId: 'acme' }],
    ['an unknown key type', { teamId: 'acme', keyType: 'admin' }],
    ['a key type of the prototype', { teamId: 'acme', keyType: 'constructor' }],
    ['both at once', { master: true, teamId: 'acme', keyType: 'default' }],
    ['a master that is no true', { master: 'true' }],
    ['a master of 1', { master: 1 }],
    ['no master', { master: false }],
    ['a field too many', { teamId: 'acme', keyType: 'default', role: 'admin' }],
    ['a misspelt restriction', { teamId: 'acme', keyType: 'default', model: ['alpha'] }],
    ['a restriction that is no list', { teamId: 'acme', keyType: 'default', models: 'alpha' }],
    ['a restriction that is null', { teamId: 'acme', keyType: 'default', models: null }],
  ])('that returns %s rejects the request', async (_name, value) => {
    for (const answered of [value, Promise.resolve(value)]) {
      for (const line of [
        'GET /v1/models',
        'GET /team/info',
        'GET /team/list',
        'POST /v1/chat/completions',
      ]) {
        expect(outcome(await send(answering(answered), line, { key }))).toBe('401 invalid_api_key');
      }
      expect(outcome(await send(answering(answered), 'GET /health/liveness'))).toBe('200');
    }
  });

  it('that throws or rejects, rejects the request without details', async () => {
    const fails = () => {
      throw Object.assign(new Error('the session store at redis://user:password@host is down'), {
        status: 200,
      });
    };
    for (const authenticate of [fails, async () => fails()]) {
      const answer = await send(own(authenticate), 'GET /v1/models', { key });
      expect(outcome(answer)).toBe('401 invalid_api_key');
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      expect(answer.text).not.toMatch(/redis|session store|password/);
    }
  });

  it('replaces team keys altogether', async () => {
    const gateway = own((request) =>
      request.headers.get('cookie') === 'session=1' ? { teamId: 'globex', keyType: 'read_only' } : undefined,
    );
    await house.router.createTeam({ team_id: 'globex' });
    expect(outcome(await send(gateway, 'GET /team/info', { key }))).toBe('401 invalid_api_key');
    const answer = await send(gateway, 'GET /team/info', { key, headers: { cookie: 'session=1' } });
    expect(answer).toMatchObject({ status: 200, json: { team_id: 'globex' } });
    const foreign = await send(gateway, 'GET /team/info?team_id=acme', { headers: { cookie: 'session=1' } });
    expect(outcome(foreign)).toBe('404 team_not_found');
  });

  it.each([
    ['default', ['200', '400 invalid_request', '400 invalid_request', '200', '403 permission_denied']],
    [
      'llm_api',
      [
        '200',
        '400 invalid_request',
        '403 permission_denied',
        '403 permission_denied',
        '403 permission_denied',
      ],
    ],
    ['management', ['200', '403 permission_denied', '400 invalid_request', '200', '403 permission_denied']],
    ['read_only', ['200', '403 permission_denied', '403 permission_denied', '200', '403 permission_denied']],
  ] as const)('may give a user the rights of %s', async (keyType, expected) => {
    const gateway = answering({ teamId: 'acme', keyType, userId: 'ada' });
    const lines = ['GET /v1/models', 'GET /v1/files', 'POST /model/new', 'GET /team/info', 'GET /team/list'];
    const answers = [];
    for (const line of lines)
      answers.push(outcome(await send(gateway, line, { ...(line.startsWith('POST') ? { body: {} } : {}) })));
    expect(answers).toEqual(expected);
  });

  it('names the user who acts, and the operator if it says so', async () => {
    const params = { model: 'gpt-4o', api_key: 'key-of-acme' };
    const body = { model_name: 'alpha', litellm_params: params };
    const member = answering({ teamId: 'acme', keyType: 'management', userId: 'ada' });
    expect((await send(member, 'POST /model/new', { body })).json).toMatchObject({
      created_by: 'ada',
      model_info: { team_id: 'acme' },
    });
    const operator = answering({ master: true, userId: 'root' });
    expect((await send(operator, 'POST /model/new', { body })).json).toMatchObject({
      created_by: 'root',
      model_info: { team_id: null },
    });
  });

  it('is tried after the master key', async () => {
    let asked = 0;
    const gateway = own(
      () => {
        asked += 1;
        return { teamId: 'acme', keyType: 'read_only' };
      },
      { masterKey },
    );
    expect(outcome(await send(gateway, 'GET /team/list', { key: masterKey }))).toBe('200');
    expect(asked).toBe(0);
    expect(outcome(await send(gateway, 'GET /team/list', { key: `${masterKey}x` }))).toBe(
      '403 permission_denied',
    );
    expect(outcome(await send(gateway, 'GET /team/list', { key: masterKey.slice(1) }))).toBe(
      '403 permission_denied',
    );
    expect(asked).toBe(2);
  });

  it('a blocked team is blocked by this door too', async () => {
    await house.router.blockTeam('acme');
    const gateway = answering({ teamId: 'acme', keyType: 'default' });
    for (const line of [
      'GET /v1/models',
      'GET /team/info',
      'GET /model/info',
      'GET /v1/files?model=x',
      'DELETE /model/x',
    ]) {
      expect(outcome(await send(gateway, line)), line).toBe('403 team_blocked');
    }
  });

  it('that reads the body leaves none, and the caller is told', async () => {
    const gateway = own(async (request) => {
      await request.text();
      return { teamId: 'acme', keyType: 'default' };
    });
    for (const line of ['POST /v1/chat/completions', 'POST /model/new']) {
      const answer = await send(gateway, line, { body: { model: 'alpha' } });
      expect(outcome(answer)).toBe('400 invalid_request');
      expect(answer.text).toContain('was read before');
    }
  });
});

describe('the header that carries the key', () => {
  it.each([
    [{ authorization: 'Bearer KEY' }, true],
    [{ authorization: 'bearer   KEY ' }, true],
    [{ 'api-key': 'KEY' }, true],
    [{ authorization: 'KEY' }, true],
    [{ authorization: 'Basic KEY' }, false],
    [{ authorization: 'Bearer KEY, Bearer KEY' }, false],
    [{ authorization: 'BearerKEY' }, false],
    [{ authorization: '', 'api-key': 'KEY' }, true],
    [{ authorization: 'Bearer', 'x-api-key': 'KEY' }, true],
    [{ authorization: 'Bearer ', 'api-key': '', 'x-api-key': 'KEY' }, true],
    [{ 'x-goog-api-key': 'KEY' }, true],
    [{ 'ocp-apim-subscription-key': 'KEY' }, true],
    [{ authorization: 'Bearer sk-another', 'x-litellm-api-key': 'KEY' }, false],
    [{ authorization: 'Basic eDp5', 'x-litellm-api-key': 'Bearer KEY' }, false],
    [{ authorization: 'Bearer KEY', 'x-litellm-api-key': 'sk-another' }, true],
    [{ authorization: 'Bearer KEY', 'x-litellm-api-key': 'Bearer' }, true],
    [{ authorization: 'Bearer KEY', 'api-key': 'sk-another' }, true],
    [{ authorization: 'Bearer sk-another', 'api-key': 'KEY' }, false],
    [{ authorization: 'Basic eDp5', 'api-key': 'KEY' }, false],
    [{ 'x-api-key': 'KEY' }, true],
    [{ 'x-litellm-api-key': 'Bearer KEY' }, true],
    [{ authorization: 'Basic eDp5', 'x-api-key': 'KEY' }, false],
    [{ 'x-other-key': 'KEY' }, false],
    [{ cookie: 'KEY' }, false],
  ])('%j', async (headers, passes) => {
    for (const [secret, line] of [
      [key, 'GET /team/info'],
      [masterKey, 'GET /team/list'],
    ] as const) {
      const sent = Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name, value.replaceAll('KEY', secret)]),
      );
      const answer = await send(house.gateway, line, { headers: sent });
      expect(outcome(answer)).toBe(passes ? '200' : '401 invalid_api_key');
    }
  });

  it('ignores a key in the query', async () => {
    const answer = await send(
      house.gateway,
      `GET /v1/models?key=${key}&api_key=${key}&authorization=Bearer%20${key}`,
    );
    expect(outcome(answer)).toBe('401 invalid_api_key');
  });
});
