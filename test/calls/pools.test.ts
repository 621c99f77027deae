import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type OpenAI from 'openai';
import {
  type CallOptions,
  callChannelName,
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  answerAsOpenAI,
  type RecordingProvider,
  recordingProvider,
  sendError,
} from '../support/recording-provider.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];

let provider: RecordingProvider;
let router: TeamModelRouter;
let receipts: Receipt[];
/** The status with which each of the provider's models fails, and the headers with it. */
let failing: Map<string, [status: number, headers?: Record<string, string>]>;
let hook: (receipt: Receipt) => unknown;

beforeEach(async () => {
  failing = new Map();
  const kept: Receipt[] = [];
  receipts = kept;
  hook = () => {};
  provider = await recordingProvider((request, response) => {
    const [status, headers] = failing.get(modelOf(request)) ?? [];
    if (modelOf(request) === 'endless') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      return void response.write(
        `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'a' } }] })}\n\n`,
      );
    }
    if (status === undefined) return answerAsOpenAI(request, response);
    for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
    sendError(response, status, 'no');
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    random: () => 0,
    onCall: (receipt) => {
      kept.push(receipt);
      return hook(receipt);
    },
  });
});

afterEach(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** Of a request without a body: `none`. */
const modelOf = ({ body }: { body: Buffer }) =>
  body.length === 0 ? 'none' : (JSON.parse(String(body)) as { model: string }).model;
const called = () => provider.requests.map(modelOf);

const params = (model: string, more: object = {}) => ({
  model: `openai/${model}`,
  api_key: 'sk-0123456789abcdef',
  api_base: provider.url,
  num_retries: 0,
  ...more,
});

async function add(name: string, model: string, more: object = {}): Promise<string> {
  const { model_id } = await router.addModel('acme', {
    model_name: name,
    litellm_params: params(model, more),
  });
  return model_id;
}

const ask = (model: string, options?: CallOptions) =>
  router.chatCompletion('acme', { model, messages }, options);

async function failed(call: PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call;
  } catch (error) {
    return error as InstanceType<typeof OpenAI.APIError>;
  }
  return expect.unreachable('the call was answered');
}

/** Receipts are told once the caller has its answer. */
async function told(): Promise<Receipt[]> {
  await new Promise(setImmediate);
  return receipts;
}

describe('fallbacks', () => {
  beforeEach(async () => {
    for (const name of ['first', 'second', 'third']) await add(name, name);
  });

  it('of the team are tried in order, and chained', async () => {
    await router.updateTeam('acme', {
      settings: { fallbacks: [{ first: ['second'] }, { second: ['third'] }] },
    });
    failing.set('first', [500]).set('second', [401]);
    const { response } = await ask('first').withResponse();
    expect(called()).toEqual(['first', 'second', 'third']);
    expect(response.headers.get('x-litellm-attempted-fallbacks')).toBe('2');
    expect(response.headers.get('x-litellm-model-group')).toBe('third');
    expect(await told()).toMatchObject([
      {
        requestedModel: 'first',
        model: 'third',
        fallbacks: ['second', 'third'],
        status: 200,
        attempts: [{ model: 'first' }, { model: 'second' }, { model: 'third' }],
      },
    ]);
  });

  it('leave the name that was asked for in the receipt, also when its pool cools down or all fail', async () => {
    await router.updateTeam('acme', { settings: { fallbacks: [{ first: ['second'] }] } });
    await add('first', 'first');
    failing.set('first', [429, { 'retry-after': '30' }]);
    for (let call = 0; call < 3; call++) await ask('first');
    failing.set('second', [500]);
    expect((await failed(ask('first'))).code).toBe('no_healthy_deployment');
    expect(called()).toEqual(['first', 'second', 'first', 'second', 'second', 'second']);
    expect(await told()).toMatchObject([
      { requestedModel: 'first', model: 'second', attempts: [{ model: 'first' }, { model: 'second' }] },
      { requestedModel: 'first', model: 'second', attempts: [{ model: 'first' }, { model: 'second' }] },
      { requestedModel: 'first', model: 'second', attempts: [{ model: 'second' }] },
      { requestedModel: 'first', status: 503, attempts: [{ model: 'second' }] },
    ]);
    expect(receipts[3]).not.toHaveProperty('model');
  });

  it('are told by the public name, though the call names a deployment by its id', async () => {
    const [deployment] = (await router.listModels('acme')).data;
    await ask(deployment?.model_info.id ?? '');
    expect(await told()).toMatchObject([{ requestedModel: 'first', model: 'first', fallbacks: [] }]);
  });

  it('of a call replace the team’s, and never reach the provider', async () => {
    await router.updateTeam('acme', { settings: { fallbacks: [{ first: ['second'] }] } });
    failing.set('first', [500]);
    await ask('first', { fallbacks: ['third'] });
    expect((await failed(ask('first', { fallbacks: [] }))).status).toBe(500);
    const fetch = router.fetchFor('acme', { fallbacks: ['third'] });
    const body = JSON.stringify({ model: 'first', messages });
    const headers = {
      'content-type': 'application/json',
      'x-litellm-num-retries': '0',
      'x-litellm-timeout': '20',
    };
    expect((await fetch('/v1/chat/completions', { method: 'POST', headers, body })).status).toBe(200);
    expect(called()).toEqual(['first', 'third', 'first', 'first', 'third']);
    const options = { maxRetries: 1, timeout: 20_000 };
    await ask('second', options);
    await router.forTeam('acme', options).embeddings.create({ model: 'second', input: 'x' }, options);
    expect(provider.everything()).not.toMatch(/fallback|litellm|retries|timeout/i);
  });

  it('that a call names and the team does not have are refused before anything is sent', async () => {
    expect(await failed(ask('first', { fallbacks: ['nobody'] }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    const wrong = { fallbacks: 'second' } as unknown as CallOptions;
    expect(await failed(ask('first', wrong))).toMatchObject({ status: 400, param: 'fallbacks' });
    expect(provider.requests).toHaveLength(0);
  });

  it('do not widen what a key may call', async () => {
    await router.updateTeam('acme', { settings: { fallbacks: [{ first: ['second', 'third'] }] } });
    failing.set('first', [500]);
    const call = {
      method: 'POST',
      path: '/chat/completions',
      query: new URLSearchParams(),
      headers: new Headers({ 'content-type': 'application/json' }),
      body: JSON.stringify({ model: 'first', messages }),
    };
    expect((await router.dispatch({ teamId: 'acme', models: ['first', 'third'] }, call)).status).toBe(200);
    expect((await router.dispatch({ teamId: 'acme', models: ['first'] }, call)).status).toBe(500);
    expect(called()).toEqual(['first', 'third', 'first']);
  });

  it('are not tried for the caller’s errors, and the first failure is reported', async () => {
    await router.updateTeam('acme', { settings: { fallbacks: [{ first: ['second'] }] } });
    failing.set('first', [400]);
    expect((await failed(ask('first'))).status).toBe(400);
    failing.set('first', [503]).set('second', [500]);
    expect((await failed(ask('first'))).status).toBe(503);
    expect(called()).toEqual(['first', 'first', 'second']);
  });

  it('never lead a file to another account', async () => {
    await router.updateTeam('acme', { settings: { fallbacks: [{ first: ['second'] }] } });
    failing.set('none', [500]);
    const client = router.forTeam('acme', { defaultModel: 'first' });
    await failed(client.files.retrieve('file-1'));
    expect(provider.requests).toHaveLength(1);
  });
});

describe('a deployment', () => {
  it('cools down after a 429 for as long as it asks, is passed over, and is probed once', async () => {
    const id = await add('m', 'a', { order: 1, num_retries: 1 });
    await add('m', 'b', { order: 2, num_retries: 1 });
    failing.set('a', [429, { 'retry-after': '30' }]);
    await ask('m');
    await ask('m');
    expect(called()).toEqual(['a', 'b', 'b']);
    const { deployments } = await router.health('acme');
    expect(deployments.find((each) => each.id === id)).toMatchObject({
      state: 'open',
      failures: 1,
      lastError: 'rate_limited',
      model_name: 'm',
    });
    expect(deployments.filter(({ state }) => state === 'closed')).toHaveLength(1);
  });

  it('of a pool in which all cool answers 503 with retry-after', async () => {
    for (let member = 0; member < 2; member++) await add('m', 'a');
    failing.set('a', [429, { 'retry-after': '30' }]);
    for (let call = 0; call < 2; call++) await failed(ask('m'));
    const error = await failed(ask('m'));
    expect(error).toMatchObject({ status: 503, code: 'no_healthy_deployment' });
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(25);
    expect(called()).toEqual(['a', 'a']);
  });

  it('alone was taken out by one 429, so that calls after it were 503', async () => {
    const id = await add('m', 'a');
    const sibling = await add('pool', 'b');
    await add('pool', 'c');
    failing.set('a', [429, { 'retry-after': '20' }]).set('b', [429, { 'retry-after': '20' }]);
    for (const model of ['m', id, sibling]) {
      for (let call = 0; call < 3; call++) {
        const error = await failed(ask(model));
        expect(error).toMatchObject({ status: 429, message: '429 no' });
        expect(error.headers?.get('retry-after')).toBe('20');
      }
    }
    // What is meant by its id alone is answered by itself. Its pool goes to the sibling.
    expect((await ask('pool')).model).toBe('c');
    const { deployments } = await router.health('acme');
    expect(deployments.map(({ state }) => state)).toEqual(['closed', 'open', 'closed']);
    failing.clear();
    expect((await ask('m')).model).toBe('a');
  });

  it('cools down at the allowed_fails-th failure in a row, and a success resets the count', async () => {
    await router.createTeam({ team_id: 'acme', settings: { allowed_fails: 2, cooldown_time: 60 } });
    await add('m', 'a');
    for (const status of [500, 200, 500, 500]) {
      if (status === 200) failing.delete('a');
      else failing.set('a', [status]);
      await Promise.resolve(ask('m')).catch(() => {});
    }
    expect(provider.requests).toHaveLength(4);
    expect((await failed(ask('m'))).code).toBe('no_healthy_deployment');
    expect(provider.requests).toHaveLength(4);
  });

  it('is half-open when its cooldown is over, and closed after an answer', async () => {
    await router.createTeam({ team_id: 'acme', settings: { allowed_fails: 2, cooldown_time: 0 } });
    const id = await add('m', 'a');
    const state = async () => (await router.health('acme')).deployments[0];
    expect(await state()).toEqual({ id, model_name: 'm', state: 'closed', failures: 0 });
    const before = Date.now();
    failing.set('a', [500]);
    await failed(ask('m'));
    expect(await state()).toMatchObject({ state: 'closed', failures: 1, lastError: 'failed' });
    await failed(ask('m'));
    const open = await state();
    expect(open).toEqual({
      id,
      model_name: 'm',
      state: 'half-open',
      failures: 2,
      lastError: 'failed',
      since: expect.any(Number),
    });
    expect(open?.since).toBeGreaterThanOrEqual(before);
    expect(open?.since).toBeLessThanOrEqual(Date.now());
    failing.clear();
    await ask('m');
    expect(await state()).toEqual({ id, model_name: 'm', state: 'closed', failures: 0 });
  });

  it('alone never cools by what the caller does wrong, by its abort, or by its short time', async () => {
    await router.createTeam({ team_id: 'acme', settings: { allowed_fails: 1, cooldown_time: 60 } });
    const id = await add('m', 'a');
    for (const status of [400, 401, 403, 404, 413, 422]) {
      failing.set('a', [status]);
      await failed(ask('m'));
    }
    failing.clear();
    const silent = await recordingProvider(() => {});
    try {
      const leaving = new AbortController();
      const slow = new TeamModelRouter({
        storage: memoryStorage(),
        encryptionKeys: [generateEncryptionKey()],
        egress: { allow: [silent.url] },
      });
      await slow.createTeam({ team_id: 'acme', settings: { allowed_fails: 1 } });
      const litellm_params = { ...params('a'), api_base: silent.url };
      await slow.addModel('acme', { model_name: 'm', litellm_params });
      expect(
        (await failed(slow.chatCompletion('acme', { model: 'm', messages }, { timeout: 30 }))).status,
      ).toBe(504);
      const hurried = await slow.fetchFor('acme')('/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-litellm-timeout': '0.03' },
        body: JSON.stringify({ model: 'm', messages }),
      });
      expect(hurried.status).toBe(504);
      await slow.updateTeam('acme', { settings: { timeout: 0.03 } });
      expect((await failed(slow.chatCompletion('acme', { model: 'm', messages }))).status).toBe(504);
      const left = failed(slow.chatCompletion('acme', { model: 'm', messages }, { signal: leaving.signal }));
      leaving.abort();
      await left;
      expect((await slow.health('acme')).deployments).toMatchObject([{ state: 'closed', failures: 0 }]);
      await slow.close();
    } finally {
      await silent.close();
    }
    expect((await router.health('acme')).deployments).toMatchObject([{ id, state: 'closed', failures: 0 }]);
    await ask('m');
  });

  it('that is shared cools by the defaults, whatever a team says', async () => {
    await router.addSharedModel({ model_name: 'common', litellm_params: params('shared') });
    await router.createTeam({
      team_id: 'acme',
      models: ['common'],
      settings: { allowed_fails: 1, cooldown_time: 3600 },
    });
    await router.createTeam({ team_id: 'globex', models: ['common'] });
    failing.set('shared', [500]);
    await failed(ask('common'));
    failing.clear();
    await router.chatCompletion('globex', { model: 'common', messages });
  });

  it('takes no more than its rpm, and then the sibling does', async () => {
    await add('m', 'a', { order: 1, rpm: 2 });
    await add('m', 'b', { order: 2, rpm: 1 });
    for (let call = 0; call < 3; call++) await ask('m');
    expect(called()).toEqual(['a', 'a', 'b']);
    const error = await failed(ask('m'));
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(0);
  });

  it('takes no more than max_parallel_requests at a time, streams to their end included', async () => {
    await add('m', 'a', { max_parallel_requests: 1 });
    const stream = await router.chatCompletion('acme', { model: 'm', messages, stream: true });
    expect((await failed(ask('m'))).code).toBe('rate_limit_exceeded');
    for await (const _ of stream);
    await ask('m');
  });

  it('of max_parallel_requests 1 was lost for good when a caller left a stream before it had read of it', async () => {
    await add('m', 'a', { max_parallel_requests: 1 });
    const endless = await recordingProvider((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {}\n\n');
    });
    let ended: (receipt: Receipt) => void = () => {};
    const slow = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [endless.url] },
      onCall: (receipt) => ended(receipt),
    });
    try {
      const litellm_params = { ...params('a', { max_parallel_requests: 1 }), api_base: endless.url };
      await slow.addModel('acme', { model_name: 'm', litellm_params });
      const open = () => slow.chatCompletion('acme', { model: 'm', messages, stream: true });
      for (let turn = 0; turn < 3; turn++) {
        const left = await open();
        expect((await failed(open())).code).toBe('rate_limit_exceeded');
        await new Promise(setImmediate);
        const end = new Promise<Receipt>((resolve) => {
          ended = resolve;
        });
        left.controller.abort();
        expect(await end).toMatchObject({ status: 200, code: 'aborted' });
      }
    } finally {
      await slow.close();
      await endless.close();
    }
  });
});

describe('time', () => {
  it('is one for all attempts and fallbacks of a call', async () => {
    await add('m', 'a', { num_retries: 10 });
    failing.set('a', [500, { 'retry-after': '9' }]);
    // A pause of nine seconds would outlast the call's time: it is not begun.
    expect((await failed(ask('m', { timeout: 5_000 }))).status).toBe(500);
    expect(provider.requests).toHaveLength(1);
  });

  it('and attempts are read from headers, which are refused when they are no numbers', async () => {
    await add('m', 'a');
    const fetch = router.fetchFor('acme');
    for (const name of ['x-litellm-num-retries', 'x-litellm-timeout']) {
      const headers = { 'content-type': 'application/json', [name]: 'soon' };
      const body = JSON.stringify({ model: 'm', messages });
      const response = await fetch('/v1/chat/completions', { method: 'POST', headers, body });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { param: name } });
    }
    expect(provider.requests).toHaveLength(0);
  });
});

describe('a receipt', () => {
  it('has the tokens of JSON and of a stream, and comes when the stream has ended', async () => {
    await add('m', 'a');
    await ask('m');
    expect((await told()).at(-1)?.tokens).toEqual({ input: 3, output: 2, total: 5 });
    const stream = await router.chatCompletion('acme', { model: 'm', messages, stream: true });
    expect(await told()).toHaveLength(1);
    for await (const _ of stream);
    expect(await told()).toHaveLength(2);
    expect(receipts[1]).toMatchObject({
      status: 200,
      provider: 'openai',
      attempts: [{ reason: 'ok', status: 200 }],
    });
  });

  it('of a stream that the caller leaves says so', async () => {
    await add('m', 'endless');
    for await (const _ of await router.chatCompletion('acme', { model: 'm', messages, stream: true })) break;
    expect((await told()).at(-1)).toMatchObject({ status: 200, code: 'aborted' });
  });

  it('is published on the diagnostics channel too', async () => {
    const published: unknown[] = [];
    const listen = (message: unknown) => published.push(message);
    subscribe(callChannelName, listen);
    try {
      await failed(ask('nobody'));
      await told();
    } finally {
      unsubscribe(callChannelName, listen);
    }
    expect(published).toEqual(receipts);
    expect(receipts).toMatchObject([{ status: 404, code: 'model_not_found', attempts: [], fallbacks: [] }]);
  });

  it('never touches the call, though its hook throws, rejects, or takes its time', async () => {
    await add('m', 'a');
    const order: string[] = [];
    const hooks = [
      () => {
        throw new Error('throws');
      },
      () => Promise.reject(new Error('rejects')),
      () => order.push('hook'),
    ];
    for (hook of hooks) {
      await ask('m').then(() => order.push('answer'));
      await told();
    }
    expect(order).toEqual(['answer', 'answer', 'answer', 'hook']);
  });
});
