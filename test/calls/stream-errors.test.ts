import type { ServerResponse } from 'node:http';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const good =
  'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';
const begun = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n';
const event = (value: object, type?: string) =>
  `${type === undefined ? '' : `event: ${type}\n`}data: ${JSON.stringify(value)}\n\n`;
const created = event({ type: 'response.created', response: { id: 'resp_1', status: 'in_progress' } });
const delta = created + event({ type: 'response.output_text.delta', delta: 'hi' });
const failed = (error: object) =>
  event({ type: 'response.failed', response: { id: 'resp_1', status: 'failed', error } });

const limited = event({ error: { message: 'Rate limit exceeded', code: 429 } });
const mistaken = event({ error: { message: 'bad param', type: 'invalid_request_error', code: 400 } });
const filtered = event({ error: { message: 'no', code: 'content_filter' } });

let write: (response: ServerResponse) => void;
let provider: RecordingProvider;
let router: TeamModelRouter;
const receipts: Receipt[] = [];

beforeEach(async () => {
  receipts.length = 0;
  provider = await recordingProvider(({ headers }, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (headers.authorization?.endsWith('2')) response.end(good);
    else write(response);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url] },
    random: () => 0,
    onCall: (receipt) => receipts.push(receipt),
  });
  for (const order of [1, 2])
    await router.addModel(order === 1 ? 'alone' : 'paired', {
      model_name: 'm',
      litellm_params: {
        model: 'openai/m',
        api_key: 'sk-0123456789abcdef1',
        api_base: provider.url,
        num_retries: order - 1,
        order,
      },
    });
  await router.addModel('paired', {
    model_name: 'm',
    litellm_params: { model: 'openai/m', api_key: 'sk-0123456789abcdef2', api_base: provider.url, order: 3 },
  });
});

/** Adds a shared model for the team `guest`. */
async function share() {
  await router.createTeam({ team_id: 'guest', models: ['m'] });
  await router.addSharedModel({
    model_name: 'm',
    litellm_params: {
      model: 'openai/m',
      api_key: 'sk-0123456789abcdef1',
      api_base: provider.url,
      num_retries: 0,
    },
  });
}

afterEach(async () => {
  await router.close();
  await provider.close();
});

async function call(team: string, path = '/v1/chat/completions') {
  const chat = path.endsWith('/chat/completions');
  const response = await router.fetchFor(team)(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', [chat ? 'messages' : 'input']: [], store: false, stream: true }),
  });
  const text = await response.text();
  await vi.waitFor(() => expect(receipts).toHaveLength(1));
  const [receipt] = receipts;
  const [deployment] = (await router.health(team)).deployments;
  return { status: response.status, type: response.headers.get('content-type'), text, receipt, deployment };
}

const whole = (text: string) => (response: ServerResponse) => {
  response.end(text);
};
/** Byte by byte, so that no event comes in one piece. */
const dripped = (text: string) => (response: ServerResponse) => {
  response.socket?.setNoDelay(true);
  for (const byte of Buffer.from(text)) response.write(Buffer.from([byte]));
  response.end();
};

describe.each([
  ['in one piece', whole],
  ['byte by byte', dripped],
])('a stream that begins with an error, %s', (_, sent) => {
  it.each([
    ['an error', limited],
    ['an error before [DONE]', `${limited}data: [DONE]\n\n`],
    ['an error without a blank line', limited.trimEnd()],
    ['an error with a name', event({ error: { message: 'Overloaded', type: 'overloaded_error' } }, 'error')],
    [
      'an error of the Responses API',
      event({ type: 'error', code: 'rate_limit_exceeded', message: 'x' }, 'error'),
    ],
    ['an error object', event({ object: 'error', message: 'Internal server error', code: 500 })],
    ['an error whose text is the message', event({ error: 'the engine died' })],
    [
      'a base_resp',
      event({ id: 'c', base_resp: { status_code: 1013, status_msg: 'internal service error' } }),
    ],
    ['an error_code', event({ id: 'c', error_code: 336000, error_msg: 'Internal error' })],
    ['a code without data', event({ code: 50603, message: 'no', data: null })],
    [
      'an error with a rejected key',
      event({ error: { message: 'Incorrect API key', code: 'invalid_api_key' } }),
    ],
  ])('goes to a sibling: %s', async (_name, text) => {
    write = sent(text);
    const { status, text: read, receipt, deployment } = await call('paired');
    expect([status, read]).toEqual([200, good]);
    expect(receipt?.attempts).toHaveLength(2);
    expect(receipt?.attempts[0]?.reason).not.toBe('ok');
    expect(receipt?.attempts[1]?.reason).toBe('ok');
    expect(receipt?.code).toBeUndefined();
    expect(deployment?.failures).toBe(1);
  });

  it.each([
    ['a bad request', 400, mistaken],
    ['a refused content', 400, filtered],
    ['a context that is too long', 400, event({ error: { message: 'x', code: 'context_length_exceeded' } })],
  ])("is the caller's, and is not made again: %s", async (_name, expected, text) => {
    write = sent(text);
    const { status, type, text: read, receipt, deployment } = await call('paired');
    expect([status, type]).toEqual([expected, 'application/json']);
    expect(JSON.parse(read)).toHaveProperty('error.message');
    expect(receipt?.attempts).toMatchObject([{ reason: 'rejected', status: expected }]);
    expect(deployment).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('is an answer with the status of the error', async () => {
    write = sent(limited);
    expect(await call('alone')).toMatchObject({
      status: 429,
      receipt: { status: 429 },
      deployment: { failures: 0 },
    });
  });
});

describe('a stream whose error shares a chunk with the events before it', () => {
  it.each([
    ['a comment', `: ping\n\n${limited}`, undefined],
    ['response.created', created + failed({ code: 'server_error', message: 'x' }), '/v1/responses'],
    [
      'response.created and an error',
      created + event({ type: 'error', message: 'x' }, 'error'),
      '/v1/responses',
    ],
  ])('%s', async (_, text, path) => {
    write = whole(text);
    expect(await call('paired', path)).toMatchObject({
      status: 200,
      text: good,
      deployment: { failures: 1 },
    });
  });
});

describe('a stream whose error comes after the caller has seen a part of it', () => {
  it.each([
    ['an error', begun + limited, 'rate_limited', 0, undefined],
    ['an error before [DONE]', `${begun}${limited}data: [DONE]\n\n`, 'rate_limited', 0, undefined],
    ['a server error', begun + event({ error: { message: 'x', code: 500 } }), 'failed', 1, undefined],
    ['a bad request', begun + mistaken, 'rejected', 0, undefined],
    ['a refused content', begun + filtered, 'rejected', 0, undefined],
    ['an error object', begun + event({ object: 'error', message: 'x', code: 500 }), 'failed', 1, undefined],
    ['an error that is only detail', begun + event({ detail: 'Internal error' }), 'failed', 1, undefined],
    ['detail of Responses', delta + event({ detail: 'Internal error' }), 'failed', 1, '/v1/responses'],
    [
      'an error object of Responses',
      delta + event({ object: 'error', message: 'x', code: 500 }),
      'failed',
      1,
      '/v1/responses',
    ],
    [
      'response.failed',
      created +
        event({ type: 'response.output_text.delta', delta: 'hi' }) +
        failed({ code: 'server_error', message: 'x' }),
      'failed',
      1,
      '/v1/responses',
    ],
  ])('is passed on, and the receipt and the health say so: %s', async (_, text, reason, failures, path) => {
    write = whole(text);
    const { status, text: read, receipt, deployment } = await call('alone', path);
    expect([status, read]).toEqual([200, text]);
    expect(receipt).toMatchObject({ code: 'provider_error', attempts: [{ reason }] });
    expect(deployment?.failures).toBe(failures);
  });

  it('response.created is passed on before anything follows it', async () => {
    let end = () => {};
    write = (response) => {
      response.write(created);
      end = () => response.end(failed({ code: 'rate_limit_exceeded', message: 'x' }));
    };
    const response = await router.fetchFor('alone')('/v1/responses', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', input: 'hi', stream: true }),
    });
    const reader = response.body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe(created);
    end();
    while (!(await reader?.read())?.done);
    await vi.waitFor(() => expect(receipts).toMatchObject([{ code: 'provider_error' }]));
  });

  it.each([
    [0, 1],
    [999_999_999_999_999, 1_000_000_000_000_000],
    [9_007_199_254_740_990, 9_007_199_254_740_991],
    ['12345678901234567890', 0],
  ])('gets the sequence number after %s if the router writes it', async (last, next) => {
    const begin = `data: {"type":"response.created","sequence_number":${last},"response":{}}\n\n`;
    write = whole(begin);
    const response = await router.fetchFor('alone')('/v1/responses', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', input: 'hi', stream: true }),
    });
    let text = '';
    const read = async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
    };
    await expect(read()).rejects.toMatchObject({ code: 'provider_unreachable' });
    expect(text.slice(begin.length)).toContain(`"sequence_number":${next},`);
    await vi.waitFor(() => expect(receipts).toHaveLength(1));
  });

  it.each([
    [
      'a chunk with detail',
      { choices: [{ index: 0, delta: { content: '' }, finish_reason: null }], detail: 'x' },
    ],
    ['detail without a value', { detail: null }],
  ])('does not take it for an error: %s', async (_, value) => {
    write = whole(begun + event(value) + good);
    const { receipt, deployment } = await call('alone');
    expect(receipt?.code).toBeUndefined();
    expect(deployment?.failures).toBe(0);
  });

  it('does not take what a model writes for an error', async () => {
    const said = JSON.stringify({
      choices: [{ delta: { content: '{"error":{"code":500}} event: error' }, finish_reason: 'stop' }],
    });
    write = whole(`data: ${said}\n\ndata: [DONE]\n\n`);
    const { receipt, deployment } = await call('alone');
    expect(receipt?.code).toBeUndefined();
    expect(deployment?.failures).toBe(0);
  });
});

describe("a shared deployment's error after the caller has seen a part of the stream", () => {
  it.each<[words: string, status: number, error: object]>([
    ['a rejected key', 401, { message: 'Incorrect API key provided' }],
    ['no permission', 403, { message: 'You have insufficient permissions for this operation' }],
    ['no credit', 429, { message: 'Sorry, your account balance is insufficient' }],
    ['a rate limit', 429, { message: 'Too many requests' }],
    ['no capacity', 503, { message: 'The engine is currently busy' }],
    ['an unknown model', 404, { message: 'The model gpt-x does not exist' }],
    ['a refused content', 400, { message: 'The prompt was flagged' }],
    ['a long prompt', 400, { message: 'Please reduce the length of the messages' }],
    ['a part of the request', 400, { message: 'no', param: 'messages[0].role' }],
    ['a status as text', 403, { message: 'no', status: '403' }],
  ])('is classified by what the provider said: %s', async (_, status, error) => {
    await share();
    write = whole(begun + event({ error }));
    const { text, receipt } = await call('guest');
    expect(text).not.toContain(event({ error }));
    expect(receipt).toMatchObject({ code: 'provider_error', attempts: [{ status }] });
    receipts.length = 0;
    write = whole(begun + event({ choices: [{ index: 0, delta: {}, finish_reason: 'error', error }] }));
    expect((await call('guest')).receipt?.attempts).toMatchObject([{ status }]);
  });

  it('is classified by its words in response.failed', async () => {
    await share();
    const error = { code: 'x', message: 'Sorry, your account balance is insufficient' };
    write = whole(created + event({ type: 'response.output_text.delta', delta: 'hi' }) + failed(error));
    const { receipt } = await call('guest', '/v1/responses');
    expect(receipt).toMatchObject({ code: 'provider_error', attempts: [{ status: 429 }] });
  });
});
