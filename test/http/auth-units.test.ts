import { describe, expect, it } from 'vitest';
import { RouterError } from '../../src/errors.ts';
import { createKeyAuthenticator, createSessionAuthenticator } from '../../src/http/auth/authenticate.ts';
import { refuseCrossSite } from '../../src/http/auth/cross-site.ts';
import { mayManage, type Permission, permitted } from '../../src/http/auth/permissions.ts';
import { namedTeam, teamOf, toActor, toCaller } from '../../src/http/auth/principal.ts';
import { markLogged, RefusalLog } from '../../src/http/auth/refusal-log.ts';
import type { NodeBindings } from '../../src/http/messages/bindings.ts';
import { Log } from '../../src/logger.ts';
import type { TeamModelRouter } from '../../src/router.ts';
import type { Principal, TeamPrincipal } from '../../src/teams/principal.ts';

const operator: Principal = { master: true };
const team = (more: Partial<TeamPrincipal> = {}): TeamPrincipal => ({
  teamId: 'acme',
  keyType: 'default',
  ...more,
});
const fault = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('toCaller', () => {
  it('keeps the team, its names, and whether it can change models', () => {
    expect(toCaller(operator)).toStrictEqual({ teamId: null });
    expect(toCaller(team())).toStrictEqual({ teamId: 'acme' });
    expect(toCaller(team({ models: ['a'] }))).toStrictEqual({ teamId: 'acme', models: ['a'] });
    expect(toCaller(team({ models: [] }))).toStrictEqual({ teamId: 'acme', models: [] });
    expect(toCaller(team({ keyType: 'llm_api' }))).toStrictEqual({ teamId: 'acme', mayManage: false });
    expect(toCaller(team({ keyType: 'read_only', models: ['a'] }))).toStrictEqual({
      teamId: 'acme',
      models: ['a'],
      mayManage: false,
    });
    expect(toCaller(team({ keyType: 'management' }))).toStrictEqual({ teamId: 'acme' });
  });
});

describe('toActor', () => {
  it('keeps the user, the operator and the names of a restricted key', () => {
    expect(toActor(operator)).toStrictEqual({ operator: true });
    expect(toActor({ master: true, userId: 'ops' })).toStrictEqual({ userId: 'ops', operator: true });
    expect(toActor(team())).toStrictEqual({});
    expect(toActor(team({ userId: 'u', models: ['a'] }))).toStrictEqual({ userId: 'u', models: ['a'] });
  });
});

describe('teamOf and namedTeam', () => {
  const unknown = { code: 'team_not_found' };

  it("return the principal's team and refuse any other", () => {
    for (const read of [teamOf, namedTeam]) {
      expect(read(team(), undefined)).toBe('acme');
      expect(read(team(), 'acme')).toBe('acme');
      expect(fault(() => read(team(), 'globex'))).toMatchObject(unknown);
      expect(fault(() => read(team(), ''))).toMatchObject(unknown);
    }
  });

  it('need a name from the operator', () => {
    expect(namedTeam(operator, 'globex')).toBe('globex');
    expect(fault(() => namedTeam(operator, undefined))).toMatchObject({
      code: 'invalid_request',
      param: 'team_id',
      message: expect.stringContaining('team_id: '),
    });
  });
});

describe('permitted', () => {
  const all: Permission[] = ['open', 'names', 'calls', 'models', 'info', 'master'];
  const matrix: [Principal, Permission[]][] = [
    [operator, all],
    [team(), ['open', 'names', 'calls', 'models', 'info']],
    [team({ keyType: 'llm_api' }), ['open', 'names', 'calls']],
    [team({ keyType: 'management' }), ['open', 'names', 'models', 'info']],
    [team({ keyType: 'read_only' }), ['open', 'names', 'info']],
  ];

  it.each(matrix)('%j: %j', (principal, granted) => {
    for (const permission of all) {
      if (granted.includes(permission)) expect(permitted(principal, permission)).toBe(principal);
      else expect(fault(() => permitted(principal, permission))).toMatchObject({ code: 'permission_denied' });
    }
    expect(mayManage(principal)).toBe(granted.includes('models'));
  });

  it('says what is missing', () => {
    expect(fault(() => permitted(team(), 'master'))).toMatchObject({ message: 'This needs the master key.' });
    expect(fault(() => permitted(team({ keyType: 'llm_api' }), 'info'))).toMatchObject({
      message: 'A key of type llm_api may not do this.',
    });
  });
});

describe('refuseCrossSite', () => {
  const sent = (headers: Record<string, string>, answered: Record<string, string> = {}) =>
    fault(() =>
      refuseCrossSite(new Request('http://gateway.test', { headers }), (name) => answered[name] ?? null),
    );
  const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://other.test' };
  const refused = {
    code: 'permission_denied',
    message: expect.stringMatching(/^Cross-site requests are not /),
  };
  const cookie = { ...foreign, cookie: 'a=b' };
  const forAll = { 'access-control-allow-origin': '*' };
  const forOrigin = { 'access-control-allow-origin': 'https://other.test' };
  const withCredentials = { 'access-control-allow-credentials': 'true' };

  it('lets requests of the same site and of no browser pass', () => {
    for (const site of ['same-origin', 'same-site', 'none'])
      expect(sent({ 'sec-fetch-site': site, cookie: 'a=b' })).toBeUndefined();
    expect(sent({ cookie: 'a=b' })).toBeUndefined();
  });

  it('refuses another site unless CORS has invited it', () => {
    expect(sent(foreign)).toMatchObject(refused);
    expect(sent(foreign, forAll)).toBeUndefined();
    expect(sent(foreign, forOrigin)).toBeUndefined();
    expect(sent(foreign, { 'access-control-allow-origin': 'https://third.test' })).toMatchObject(refused);
    expect(sent({ 'sec-fetch-site': 'cross-site' })).toMatchObject(refused);
  });

  it('refuses cookies that CORS does not allow', () => {
    expect(sent(cookie, forOrigin)).toMatchObject(refused);
    expect(sent(cookie, { ...forOrigin, 'access-control-allow-credentials': 'false' })).toMatchObject(
      refused,
    );
    expect(sent(cookie, { ...forOrigin, ...withCredentials })).toBeUndefined();
    expect(sent(cookie, withCredentials)).toMatchObject(refused);
  });
});

const masterKey = 'the-master-key-0123456789-0123456789';

describe('createKeyAuthenticator', () => {
  const router = { verifyKey: (key: string) => ({ key }) } as unknown as TeamModelRouter;
  const authenticate = (headers: Record<string, string>, master: string | undefined = masterKey) =>
    createKeyAuthenticator(router, master)(new Headers(headers)) as unknown;
  const missing = (headers: Record<string, string>) =>
    expect(fault(() => authenticate(headers))).toMatchObject({ code: 'invalid_api_key' });

  it('reads the first header that is not empty', () => {
    const names = [
      'authorization',
      'api-key',
      'x-api-key',
      'x-litellm-api-key',
      'x-goog-api-key',
      'ocp-apim-subscription-key',
    ];
    for (const [index, name] of names.entries()) {
      const later = Object.fromEntries(names.slice(index).map((each) => [each, `sk-${each}`]));
      const earlier = Object.fromEntries(names.slice(0, index).map((each) => [each, 'Bearer ']));
      expect(authenticate({ ...earlier, ...later })).toEqual({ key: `sk-${name}` });
    }
  });

  it('reads a key with or without Bearer, in any case and with spaces around it', () => {
    for (const value of ['sk-a', 'Bearer sk-a', 'bearer  sk-a', 'BEARER sk-a', ' Bearer sk-a ', ' sk-a '])
      expect(authenticate({ authorization: value })).toEqual({ key: 'sk-a' });
  });

  it('finds no key in an empty header, and in another scheme', () => {
    for (const value of ['', ' ', 'Bearer', 'Bearer ', 'bearer   ']) {
      missing({ authorization: value });
      expect(authenticate({ authorization: value, 'api-key': 'sk-b' })).toEqual({ key: 'sk-b' });
    }
    missing({ authorization: 'Basic sk-a' });
    missing({ authorization: 'Bearer sk-a sk-b' });
    missing({ authorization: 'Basic sk-a', 'api-key': 'sk-b' });
    missing({});
  });

  it('takes exactly the master key for the operator', () => {
    expect(authenticate({ authorization: `Bearer ${masterKey}` })).toEqual({ master: true });
    for (const other of [masterKey.slice(1), `${masterKey}x`, masterKey.replace('t', 'x')])
      expect(authenticate({ authorization: other })).toEqual({ key: other });
    const without = createKeyAuthenticator(router, undefined);
    expect(without(new Headers({ 'api-key': masterKey })) as unknown).toEqual({ key: masterKey });
  });
});

describe('createSessionAuthenticator', () => {
  const lines: { level: string; fields: object; message: string }[] = [];
  const write = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: { ...fields }, message });
  };
  const log = new Log({ info: write('info'), warn: write('warn'), error: write('error') });
  const ask = async (answer: () => unknown, headers: Record<string, string> = {}) => {
    lines.length = 0;
    const authenticate = createSessionAuthenticator(answer as never, masterKey, log);
    const request = new Request('http://gateway.test', { headers });
    const outcome = await (async () => authenticate(request, {}, () => null))().catch((error) => error);
    await new Promise(setImmediate);
    return { outcome, lines: [...lines] };
  };
  const refused = {
    code: 'invalid_api_key',
    message: 'The request is not authenticated: its session or token is missing, unknown or expired.',
  };

  it('returns the principal without what means nothing', async () => {
    expect((await ask(() => ({ teamId: 'acme', keyType: 'default', userId: null }))).outcome).toEqual({
      teamId: 'acme',
      keyType: 'default',
    });
    expect((await ask(() => ({ teamId: 'acme', keyType: 'llm_api', models: ['a'] }))).outcome).toEqual({
      teamId: 'acme',
      keyType: 'llm_api',
      models: ['a'],
    });
    expect((await ask(() => ({ master: true, userId: 'ops' }))).outcome).toEqual({
      master: true,
      userId: 'ops',
    });
    expect((await ask(() => ({ master: false, teamId: 'acme', keyType: 'default' }))).outcome).toEqual({
      master: false,
      teamId: 'acme',
      keyType: 'default',
    });
    expect((await ask(() => ({ teamId: 'acme', keyType: 'default', userId: 'user' }))).outcome).toMatchObject(
      {
        userId: 'user',
      },
    );
    expect((await ask(() => ({ master: true, userId: '' }))).outcome).toMatchObject(refused);
    expect((await ask(() => ({ master: true, userId: 'u'.repeat(256) }))).outcome).toHaveProperty('master');
    expect((await ask(() => ({ master: true, userId: 'u'.repeat(257) }))).outcome).toMatchObject(refused);
  });

  it('takes the master key without asking the application, and before the site of the page', async () => {
    const headers = { authorization: `Bearer ${masterKey}`, 'sec-fetch-site': 'cross-site' };
    const { outcome } = await ask(() => expect.unreachable('was asked'), headers);
    expect(outcome).toEqual({ master: true });
  });

  it('does not ask the application for a page of another site', async () => {
    const { outcome } = await ask(() => expect.unreachable('was asked'), { 'sec-fetch-site': 'cross-site' });
    expect(outcome).toMatchObject({ code: 'permission_denied' });
  });

  it('refuses silently without an answer, and logs a line for an invalid one', async () => {
    for (const empty of [undefined, null]) {
      const { outcome, lines: written } = await ask(() => empty);
      expect([outcome, written]).toEqual([expect.objectContaining(refused), []]);
    }
    const invalid = await ask(() => ({ teamId: 'acme', keyType: 'admin' }));
    expect(invalid.outcome).toMatchObject(refused);
    expect(invalid.lines).toEqual([
      { level: 'warn', fields: { field: 'keyType' }, message: 'authenticate returned an invalid result' },
    ]);
    const nested = await ask(() => ({ teamId: 'acme', keyType: 'default', models: ['a', 7] }));
    expect(nested.lines).toMatchObject([{ fields: { field: 'models.1' } }]);
    const text = await ask(() => 'acme');
    expect(text.lines).toMatchObject([{ fields: { field: '' } }]);
    const thrown = await ask(() => {
      throw new Error('down');
    });
    expect(thrown.outcome).toMatchObject(refused);
    expect(thrown.lines).toMatchObject([
      { level: 'warn', fields: { error: { name: 'Error' } }, message: 'authenticate threw' },
    ]);
  });
});

it('hands the requests of Node and Fastify to the application', async () => {
  const seen: unknown[] = [];
  const answer = (_: Request, context: unknown) => {
    seen.push(context);
    return { master: true as const };
  };
  const authenticate = createSessionAuthenticator(answer, masterKey, new Log(undefined));
  const [incoming, fastify] = [{ rawHeaders: [] }, {}];
  const bindings = { incoming, fastify, outgoing: {} } as unknown as NodeBindings;
  await authenticate(new Request('http://gateway.test'), bindings, () => null);
  expect(seen).toEqual([{ incoming, fastify }]);
});

describe('RefusalLog', () => {
  const noted = async (errors: object[], bindings?: NodeBindings) => {
    const lines: unknown[] = [];
    const write = (level: string) => (fields: object, message: string) =>
      void lines.push([level, { ...fields }, message]);
    const log = new RefusalLog(new Log({ info: write('info'), warn: write('warn'), error: write('error') }));
    for (const error of errors) log.note(error, bindings);
    await new Promise(setImmediate);
    return lines;
  };
  const from = (remoteAddress?: string) =>
    ({ incoming: { socket: remoteAddress === undefined ? undefined : { remoteAddress } } }) as NodeBindings;

  it.each(['invalid_api_key', 'key_blocked', 'team_blocked'] as const)(
    'writes %s as a warning',
    async (code) => {
      expect(await noted([new RouterError(code, 'no')])).toStrictEqual([
        ['warn', { code }, 'authentication failed'],
      ]);
    },
  );

  it('writes the address of the client if there is one', async () => {
    const error = new RouterError('invalid_api_key', 'no');
    expect(await noted([error], from('192.0.2.1'))).toStrictEqual([
      ['warn', { code: 'invalid_api_key', address: '192.0.2.1' }, 'authentication failed'],
    ]);
    expect(await noted([error], from())).toStrictEqual([
      ['warn', { code: 'invalid_api_key' }, 'authentication failed'],
    ]);
  });

  it('writes the hint for the operator, with the field if there is one', async () => {
    const hint = 'Allow it.';
    expect(
      await noted([
        new RouterError('api_base_not_allowed', 'no', { hint, param: 'api_base' }),
        new RouterError('invalid_request', 'no', { hint }),
        new RouterError('invalid_request', 'no', { param: 'x' }),
      ]),
    ).toStrictEqual([
      ['warn', { code: 'api_base_not_allowed', param: 'api_base', hint }, 'address not allowed'],
      ['error', { code: 'invalid_request', hint }, 'request could not be handled'],
    ]);
  });

  it('leaves out an error that another line reports', async () => {
    const error = new RouterError('invalid_api_key', 'no');
    markLogged(error);
    expect(await noted([error, new Error('no')])).toEqual([]);
  });

  it('writes ten lines in a row', async () => {
    const errors = Array.from({ length: 11 }, () => new RouterError('invalid_api_key', 'no'));
    expect(await noted(errors)).toHaveLength(10);
  });
});
