import { createServer } from 'node:net';
import type OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CircuitBreaker } from '../../src/calls/routing/circuit-breaker.ts';
import {
  answerAsOpenAI,
  type RecordedRequest,
  type RecordingProvider,
  recordingProvider,
  sendError,
} from '../support/recording-provider.ts';

const teams = ['acme', 'globex', 'initech'] as const;

let provider: RecordingProvider;
let router: TeamModelRouter;

/** What a caller writes decides what the provider does with it, as a hostile team could bring about. */
function answer(request: RecordedRequest, response: Parameters<typeof answerAsOpenAI>[1]): void {
  const text = String(request.body);
  const [, status] = /fail (\d+)/.exec(text) ?? [];
  if (text.includes('stall')) return;
  if (text.includes('cut')) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {}\n\n', () => response.destroy());
    return;
  }
  if (status === undefined) {
    answerAsOpenAI(request, response);
    return;
  }
  response.setHeader('retry-after', '3600');
  sendError(response, Number(status), 'no');
}

beforeEach(async () => {
  provider = await recordingProvider(answer);
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allowShared: [provider.url, '127.0.0.1', 'http://127.0.0.1'] },
    random: () => 0,
  });
  for (const team_id of teams) await router.createTeam({ team_id, models: ['all-proxy-models'] });
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const share = (model_name: string, more: object = {}) =>
  router.addSharedModel({
    model_name,
    litellm_params: {
      model: `openai/${model_name}`,
      api_key: 'sk-0123456789abcdef',
      api_base: provider.url,
      num_retries: 0,
      ...more,
    },
  });

interface Ask {
  model?: string;
  content?: string;
  stream?: boolean;
  signal?: AbortSignal;
  timeout?: number;
}

/** The answer's text, or the status and code of the error. */
async function ask(team: string, { model = 'common', content = 'hello', stream, signal, timeout }: Ask = {}) {
  const messages = [{ role: 'user' as const, content }];
  const options = { ...(signal && { signal }), ...(timeout && { timeout }) };
  try {
    if (stream) {
      const events = await router.chatCompletion(team, { model, messages, stream }, options);
      for await (const _ of events);
      return 'streamed';
    }
    const { choices } = await router.chatCompletion(team, { model, messages }, options);
    return choices[0]?.message.content;
  } catch (error) {
    const { status, code } = error as InstanceType<typeof OpenAI.APIError>;
    return `${status} ${code}`;
  }
}

const held = '503 no_healthy_deployment';

describe("one team's own failures held a shared deployment off for every team", () => {
  it.each(['429', '500', '502', '503', '529', '408', '401', '403'])('status %s', async (status) => {
    for (const pool of [1, 2]) {
      const model = `pool-of-${pool}`;
      for (let member = 0; member < pool; member++) await share(model);
      for (let call = 0; call < 8; call++) await ask('acme', { model, content: `fail ${status}` });
      expect(await ask('globex', { model })).toBe('Hello there');
      expect(await ask('initech', { model })).toBe('Hello there');
    }
  });

  it("the deployment's timeout, caused by a long prompt", async () => {
    await share('common', { timeout: 0.5 });
    for (let call = 0; call < 4; call++)
      expect(await ask('acme', { content: 'stall' })).toBe(call < 3 ? '504 provider_timeout' : held);
    expect(await ask('globex')).toBe('Hello there');
    expect(await ask('initech')).toBe('Hello there');
  });

  it("the call's short timeout and abort, which affect no other call", async () => {
    await share('common');
    for (let call = 0; call < 4; call++) {
      await ask('acme', { content: 'stall', timeout: 20 });
      await ask('acme', { content: 'stall', signal: AbortSignal.timeout(20) });
    }
    for (const team of teams) expect(await ask(team)).toBe('Hello there');
  });

  it('a stream that the provider breaks off', async () => {
    await share('common');
    for (let call = 0; call < 4; call++) await ask('acme', { content: 'cut', stream: true });
    expect(await ask('acme')).toBe(held);
    expect(await ask('globex', { stream: true })).toBe('streamed');
    expect(await ask('initech')).toBe('Hello there');
  });
});

describe('a shared deployment', () => {
  it('cools down for every team when several teams fail, for at most ten seconds', async () => {
    await share('common');
    await share('common');
    for (let call = 0; call < 2; call++) await ask('acme', { content: 'fail 429' });
    for (let call = 0; call < 2; call++) await ask('globex', { content: 'fail 429' });
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const call = router.chatCompletion('initech', { model: 'common', messages });
    const error = await Promise.resolve(call).catch(
      (thrown) => thrown as InstanceType<typeof OpenAI.APIError>,
    );
    expect(error).toMatchObject({ status: 503, code: 'no_healthy_deployment' });
    const wait = Number((error as InstanceType<typeof OpenAI.APIError>).headers?.get('retry-after'));
    expect(wait).toBeGreaterThan(5);
    expect(wait).toBeLessThanOrEqual(10);
    expect(provider.requests).toHaveLength(4);
  });

  it.each(['429', '498', '503', '529'])('is not held off by status %s if it is alone', async (status) => {
    await share('common');
    for (const team of teams) await ask(team, { content: `fail ${status}` });
    for (const team of teams) expect(await ask(team)).toBe('Hello there');
  });

  it('does not cool down for every team if another team succeeds between the failures', async () => {
    await share('common');
    await ask('acme', { content: 'fail 429' });
    await ask('initech');
    await ask('globex', { content: 'fail 429' });
    expect(await ask('initech')).toBe('Hello there');
  });

  it('cools down for every team after one team finds that it refuses connections', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    await share('common', { api_base: `http://127.0.0.1:${port}` });
    for (let call = 0; call < 3; call++) expect(await ask('acme')).toBe('502 provider_unreachable');
    expect(await ask('globex')).toBe(held);
  });

  it('takes no more attempts of a call than the operator allows', async () => {
    await share('common', { num_retries: 1 });
    await share('by-default', { num_retries: undefined });
    const call = (model: string) => ({
      method: 'POST',
      path: '/chat/completions',
      query: new URLSearchParams(),
      headers: new Headers({ 'content-type': 'application/json', 'x-litellm-num-retries': '20' }),
      body: JSON.stringify({ model, messages: [] }),
    });
    const sent = (model: string, more: object = {}) =>
      router.dispatch({ teamId: 'acme' }, { ...call(model), ...more });
    for (const name of ['fails-2', 'fails-3', 'fails-4']) await share(name, { num_retries: 1 });
    // The pause before an attempt at the same deployment is what the provider asks for: here none.
    const quick = await recordingProvider((_, response) => sendError(response, 409, 'no'));
    try {
      for (const { model_info } of (await router.listSharedModels()).data)
        await router.updateSharedModel(model_info.id, {
          litellm_params: { api_base: quick.url, api_key: 'sk-0123456789abcdef' },
        });
      const counted = async (given: Promise<unknown>) => {
        const before = quick.requests.length;
        await given;
        return quick.requests.length - before;
      };
      expect(await counted(sent('common'))).toBe(2);
      expect(await counted(sent('common', { numRetries: 20 }))).toBe(2);
      expect(await counted(sent('by-default'))).toBe(3);
      await router.updateTeam('acme', { settings: { num_retries: 10 } });
      expect(
        await counted(sent('common', { headers: new Headers({ 'content-type': 'application/json' }) })),
      ).toBe(2);
      // Each fallback is tried once, and the retries of all of them together are bounded.
      const fallbacks = ['fails-2', 'fails-3', 'fails-4'];
      expect(await counted(sent('common', { fallbacks, numRetries: 20 }))).toBe(5);
      // A call may ask for less.
      expect(await counted(sent('common', { numRetries: 0 }))).toBe(1);
    } finally {
      await quick.close();
    }
  });

  it('leaves the other teams their share of its limits', async () => {
    await share('common', { rpm: 10 });
    expect(await ask('globex')).toBe('Hello there');
    let served = 0;
    while ((await ask('acme')) === 'Hello there') served += 1;
    expect(served).toBe(5);
    for (let call = 0; call < 4; call++) expect(await ask('globex')).toBe('Hello there');
    expect(await ask('globex')).toBe('429 rate_limit_exceeded');
  });

  it('gives one team all of its limits if no other team calls', async () => {
    await share('common', { rpm: 10 });
    let served = 0;
    while ((await ask('acme')) === 'Hello there') served += 1;
    expect(served).toBe(10);
  });
});

describe('the probe of a deployment that cools down', () => {
  const policy = { allowedFails: 1, cooldownMs: 1_000 };
  const failure = { reason: 'failed', throttled: false, alone: false, unprovoked: false };
  const own = { id: 'own', teamId: 'acme' };
  const shared = { id: 'shared', teamId: null };

  it('was lost for as long as its caller held it', () => {
    let now = 0;
    const health = new CircuitBreaker(() => now);
    health.recordFailure(own, 'acme', failure, policy);
    now = 1_000;
    expect(health.canRequest(own, 'acme', false, true)).toBe(true);
    health.tryAcquire(own, 'acme');
    expect(health.canRequest(own, 'acme', false, true)).toBe(false);
    now = 6_000;
    expect(health.canRequest(own, 'acme', false, true)).toBe(true);
  });

  it("of a shared one is each team's own, so that no team can hold it", () => {
    let now = 0;
    const health = new CircuitBreaker(() => now);
    for (const team of ['acme', 'globex']) health.recordFailure(shared, team, failure, policy);
    expect(health.canRequest(shared, 'initech', false, true)).toBe(false);
    now = 1_000;
    health.tryAcquire(shared, 'acme');
    expect(health.canRequest(shared, 'acme', false, true)).toBe(false);
    expect(health.canRequest(shared, 'initech', false, true)).toBe(true);
    // A single team that goes on to fail does not hold the others off again.
    health.recordFailure(shared, 'acme', failure, policy);
    expect(health.canRequest(shared, 'initech', false, true)).toBe(true);
    health.tryAcquire(shared, 'initech');
    health.recordResponse(shared, 'initech');
    health.recordSuccess(shared, 'initech');
    expect(health.canRequest(shared, 'globex', false, true)).toBe(true);
    expect(health.canRequest(shared, 'acme', false, true)).toBe(false);
  });

  it('does not forget which team is held off when others succeed', () => {
    const now = 0;
    const health = new CircuitBreaker(() => now);
    health.recordFailure(shared, 'acme', failure, policy);
    health.recordSuccess(shared, 'globex');
    expect(health.canRequest(shared, 'acme', false, false)).toBe(false);
    expect(health.retryAfterMs(shared, 'acme')).toBe(1_000);
    expect(health.retryAfterMs(shared, 'globex')).toBe(0);
  });
});
