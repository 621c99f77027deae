import { setTimeout as sleep } from 'node:timers/promises';
import { generateEncryptionKey, memoryStorage, type RouterError } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { AffinityStore } from '../../src/calls/affinity/affinity-store.ts';
import type { Call } from '../../src/calls/call.ts';
import { Dispatcher } from '../../src/calls/dispatcher.ts';
import { Reporter } from '../../src/calls/receipt/reporter.ts';
import { ModelResolver } from '../../src/calls/routing/authorize.ts';
import { CircuitBreaker } from '../../src/calls/routing/circuit-breaker.ts';
import { RateLimiter } from '../../src/calls/routing/rate-limits.ts';
import { Credentials } from '../../src/calls/upstream/credentials.ts';
import { send } from '../../src/calls/upstream/send.ts';
import { testDeployment } from '../../src/calls/upstream/test-connection.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport, type TransportRequest } from '../../src/egress/transport.ts';
import { Log } from '../../src/logger.ts';
import { MemoryBudget } from '../../src/memory-budget.ts';
import { OpenWork } from '../../src/open-work.ts';
import type { ModelBody } from '../../src/schemas/body-types.ts';
import { KeyRing } from '../../src/secrets/keyring.ts';
import { ModelService } from '../../src/teams/management/model-service.ts';
import { Deployment } from '../../src/teams/records/deployment.ts';
import { RecordStore } from '../../src/teams/records/record-store.ts';
import { SnapshotCache } from '../../src/teams/records/snapshot-cache.ts';
import {
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
  sendError,
  sendJson,
} from '../support/recording-provider.ts';

const authority = 'https://login.microsoftonline.com';

/** A transport that reaches the tests' token server under Microsoft's name. */
class ToTokenServer extends Transport {
  asked: string[] = [];

  override request(request: TransportRequest) {
    if (!request.url.startsWith(authority)) return super.request(request);
    this.asked.push(request.url);
    return super.request({ ...request, url: tokens.url + request.url.slice(authority.length) });
  }
}

let tokens: RecordingProvider;
let azure: RecordingProvider;
let way: ToTokenServer;
let clock: number;
let lifetime: number;
let rejected: Set<string>;
let echoed: string | undefined;
let answerToken: (() => void) | undefined;
let models: ModelService;
let snapshots: SnapshotCache;
let dispatcher: Dispatcher;
let credentials: Credentials;
let ring: KeyRing;

beforeEach(async () => {
  clock = 0;
  lifetime = 3600;
  rejected = new Set();
  echoed = undefined;
  answerToken = undefined;
  tokens = await recordingProvider((request, response) => {
    const form = new URLSearchParams(String(request.body));
    const right =
      form.get('client_secret') === 'the-right-secret' || form.get('client_secret') === 'the-new-secret';
    const access_token = `token-${tokens.requests.length}-for-${form.get('client_secret')}`;
    const answer = () => {
      if (right) sendJson(response, 200, { token_type: 'Bearer', expires_in: lifetime, access_token });
      else
        sendJson(response, 401, {
          error: 'invalid_client',
          error_description: 'AADSTS7000215 tenant-of-acme',
        });
    };
    if (answerToken === undefined) answer();
    else answerToken();
  });
  azure = await recordingProvider((request, response) => {
    const sent = request.headers.authorization ?? '';
    if (rejected.has(sent)) sendError(response, 401, `You sent ${sent}`);
    else if (request.url.includes('/teapot/')) sendError(response, 418, `You sent ${sent}`);
    else sendJson(response, 200, chatCompletion('gpt-4o', echoed));
  });
  const policy = compilePolicy([azure.url, tokens.url]);
  way = new ToTokenServer({ policy });
  const transports = { team: way, shared: way };
  const storage = memoryStorage();
  ring = new KeyRing([generateEncryptionKey()]);
  const now = () => clock;
  snapshots = new SnapshotCache(storage, ring, { maxStalenessMs: 5_000, serveStaleMs: 0, maxTeams: 10, now });
  const registry = new RecordStore(storage, {
    timeoutMs: 5_000,
    now,
    onWrite: (teamId) => snapshots.invalidate(teamId),
  });
  models = new ModelService(registry, storage, ring, { teams: 'implicit', checkBase: () => {} });
  credentials = new Credentials(transports, now);
  const affinity = new AffinityStore(storage, { affinityTtlMs: 60_000 });
  const limits = { maxBodyBytes: 1_000_000, maxJsonBytes: 1_000_000, maxHeldBytes: 1_000_000 };
  dispatcher = new Dispatcher({
    availability: {
      health: new CircuitBreaker(() => performance.now()),
      limits: new RateLimiter(() => performance.now()),
    },
    resolver: new ModelResolver(snapshots, affinity),
    reporter: new Reporter(undefined, new Log(undefined)),
    work: new OpenWork(),
    send: (deployment, call, cancel) => send({ transports, credentials }, deployment, call, cancel),
    affinity,
    budget: new MemoryBudget({ maxBytesInFlight: 10_000_000, maxTeamBytesInFlight: 10_000_000 }),
    limits,
    maxAnswerBytes: 1_000_000,
    random: () => 0,
    now,
    sleep,
  });
});

afterEach(async () => {
  await way.close();
  await Promise.all([tokens.close(), azure.close()]);
});

const entra = (secret: string, model = 'gpt-4o'): ModelBody => ({
  model_name: 'm',
  litellm_params: {
    model: `azure/${model}`,
    api_base: azure.url,
    tenant_id: 'tenant-of-acme',
    client_id: 'client-of-acme',
    client_secret: secret,
  },
});

async function call(teamId: string, asked: Partial<Call> = {}): Promise<{ status: number; text: string }> {
  const answer = await dispatcher.dispatch(
    { teamId },
    {
      method: 'POST',
      path: '/chat/completions',
      query: new URLSearchParams(),
      headers: new Headers({ 'content-type': 'application/json' }),
      body: '{"model":"m","messages":[]}',
      numRetries: 0,
      ...asked,
    },
  );
  return { status: answer.status, text: Buffer.from(answer.body as Uint8Array).toString() };
}

const sent = () => azure.requests.map(({ headers }) => headers.authorization);

test('500 concurrent calls request one token, at a fixed address of Microsoft', async () => {
  await models.add('acme', entra('the-right-secret'));
  const answers = await Promise.all(Array.from({ length: 500 }, () => call('acme')));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  expect(way.asked).toEqual([`${authority}/tenant-of-acme/oauth2/v2.0/token`]);
  expect(tokens.requests).toHaveLength(1);
  expect(Object.fromEntries(new URLSearchParams(String(tokens.requests[0]?.body)))).toEqual({
    grant_type: 'client_credentials',
    client_id: 'client-of-acme',
    client_secret: 'the-right-secret',
    scope: 'https://cognitiveservices.azure.com/.default',
  });
  expect(new Set(sent())).toEqual(new Set(['Bearer token-1-for-the-right-secret']));
  expect(azure.requests[0]?.headers).not.toHaveProperty('api-key');
  expect(azure.everything()).not.toContain('Bearer the-right-secret');
});

test('a token is renewed before its end, while the old one still serves', async () => {
  await models.add('acme', entra('the-right-secret'));
  await call('acme');
  clock = 3_299_000;
  await call('acme');
  expect(tokens.requests).toHaveLength(1);
  clock = 3_301_000;
  await call('acme');
  await call('acme');
  expect(tokens.requests).toHaveLength(2);
  expect(sent()[2]).toBe('Bearer token-1-for-the-right-secret');
  while (sent().at(-1) !== 'Bearer token-2-for-the-right-secret') await call('acme');
  clock += 3_600_000;
  await call('acme');
  expect(sent().at(-1)).toBe('Bearer token-3-for-the-right-secret');
});

test('a second team with the same client and a wrong secret gets nothing', async () => {
  await models.add('acme', entra('the-right-secret'));
  await models.add('mallory', entra('a-wrong-secret'));
  await call('acme');
  const reached = azure.requests.length;
  const { status, text } = await call('mallory');
  expect(status).toBe(424);
  expect(text).toContain('provider_authentication_failed');
  expect(text).not.toMatch(/AADSTS|tenant-of-acme|a-wrong-secret/);
  expect(azure.requests).toHaveLength(reached);
  // And does not ask again for a while: Entra would lock the client for both.
  await call('mallory');
  expect(tokens.requests).toHaveLength(2);
  expect((await call('acme')).status).toBe(200);
});

test('two deployments never share a token, and neither do two versions of a secret', async () => {
  const { model_id: id } = await models.add('acme', entra('the-right-secret'));
  await models.add('other', entra('the-right-secret'));
  await call('acme');
  await call('other');
  await models.update('acme', id, { litellm_params: { client_secret: 'the-new-secret' } });
  await call('acme');
  expect(sent()).toEqual([
    'Bearer token-1-for-the-right-secret',
    'Bearer token-2-for-the-right-secret',
    'Bearer token-3-for-the-new-secret',
  ]);
});

test('a rejected token is dropped once: a second rejection is the answer, and asks for no more', async () => {
  await models.add('acme', entra('the-right-secret'));
  await call('acme');
  rejected.add('Bearer token-1-for-the-right-secret');
  expect((await call('acme')).status).toBe(200);
  expect(tokens.requests).toHaveLength(2);
  rejected.add('Bearer token-2-for-the-right-secret');
  const { status, text } = await call('acme');
  expect(status).toBe(424);
  expect(text).not.toContain('token-2');
  await call('acme');
  expect(tokens.requests).toHaveLength(2);
});

test('a token that a provider echoes is taken out of its error', async () => {
  await models.add('acme', entra('the-right-secret', 'teapot'));
  const { status, text } = await call('acme');
  expect(status).toBe(418);
  expect(text).toContain('You sent Bearer');
  expect(text).not.toContain('token-1-for-the-right-secret');
});

test('a token that was rejected in a call was shown by its later good answer', async () => {
  await models.add('acme', entra('the-right-secret'));
  await call('acme');
  rejected.add('Bearer token-1-for-the-right-secret');
  echoed = 'token-1-for-the-right-secret and token-2-for-the-right-secret';
  const { status, text } = await call('acme');
  expect(status).toBe(200);
  expect(text).not.toMatch(/token-[12]-for/);
});

test('an authority that cannot be reached is no refusal, and is asked again', async () => {
  await models.add('acme', entra('the-right-secret'));
  await tokens.close();
  const { status, text } = await call('acme');
  expect(status).toBe(502);
  expect(text).toContain('provider_unreachable');
  await call('acme');
  expect(way.asked).toHaveLength(2);
});

test('a call that is aborted does not wait for its token', async () => {
  await models.add('acme', entra('the-right-secret'));
  const controller = new AbortController();
  answerToken = () => controller.abort(new Error('enough'));
  const aborted = dispatcher.dispatch(
    { teamId: 'acme' },
    {
      method: 'POST',
      path: '/chat/completions',
      query: new URLSearchParams(),
      headers: new Headers(),
      body: '{"model":"m","messages":[]}',
      signal: controller.signal,
    },
  );
  await expect(aborted).rejects.toThrow('enough');
});

describe('a token that does not arrive', () => {
  const inTime = (body: object) => JSON.stringify({ model: 'm', messages: [], ...body });

  it.each<[string, number | undefined, Partial<Call>]>([
    ['the timeout of the call', undefined, { timeoutMs: 50 }],
    ['the header x-litellm-timeout', undefined, { headers: new Headers({ 'x-litellm-timeout': '0.05' }) }],
    ['the timeout of the body', undefined, { body: inTime({ timeout: 0.05 }) }],
    ['the timeout of the deployment', 0.05, {}],
    // The request for the token itself ends after 15 s.
  ])('was waited for beyond %s', { timeout: 10_000 }, async (_, timeout, asked) => {
    const body = entra('the-right-secret');
    await models.add('acme', { ...body, litellm_params: { ...body.litellm_params, timeout } } as ModelBody);
    answerToken = () => {};
    const { status, text } = await call('acme', asked);
    expect([status, JSON.parse(text).error.code]).toEqual([504, 'provider_timeout']);
    expect(azure.requests).toHaveLength(0);
  });
});

test('a test call signs as any call does', async () => {
  const run = async (secret: string) => {
    const prepared = await models.prepareTest('acme', entra(secret));
    if (prepared === undefined) throw new Error('not prepared');
    return testDeployment(way, credentials, new Deployment(ring, 'acme', prepared.name, prepared.deployment));
  };
  expect(await run('the-right-secret')).toMatchObject({ status: 'ok' });
  expect(await run('a-wrong-secret')).toMatchObject({ status: 'key_rejected' });
});

test.each<[string, Partial<ModelBody['litellm_params']>, string]>([
  ['without its tenant', { tenant_id: undefined }, 'litellm_params.tenant_id'],
  ['without its client', { client_id: undefined }, 'litellm_params.client_id'],
  ['for a tenant that climbs', { tenant_id: '../common' }, 'litellm_params.tenant_id'],
  ['for a tenant with a query', { tenant_id: 'a?b' }, 'litellm_params.tenant_id'],
  ['for a provider that is not Azure', { model: 'groq/llama' }, 'litellm_params.client_secret'],
])('a client secret %s is refused', async (_, params, param) => {
  const body = entra('the-right-secret');
  const given = { ...body, litellm_params: { ...body.litellm_params, ...params } } as ModelBody;
  const error = await models.add('acme', given).then(
    () => expect.unreachable(),
    (reason: RouterError) => reason,
  );
  expect(error).toMatchObject({ code: 'invalid_request', param });
});
