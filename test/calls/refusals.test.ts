import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Answer, generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

interface Recorded {
  id: string;
  status: number;
  content_type: string | null;
  body: string;
  retry_elsewhere: boolean;
}

const path = fileURLToPath(new URL('../fixtures/provider-answers.json', import.meta.url));
// What an event of a stream tells comes after the caller has seen the answer begin.
const recorded = (JSON.parse(readFileSync(path, 'utf8')) as Recorded[]).filter(
  ({ status, body }) => status !== 200 || body.startsWith('{'),
);

let provider: RecordingProvider;
let router: TeamModelRouter;
let first: { status: number; type: string; body: string };

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    if (String(request.body).includes('"model":"first"')) {
      response.writeHead(first.status, { 'content-type': first.type }).end(first.body);
    } else sendJson(response, 200, { id: 'chatcmpl-1', object: 'chat.completion', choices: [] });
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    random: () => 0,
  });
});

afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

let teams = 0;
let team: string;
const add = (model_name: string, model: string, order: number) =>
  router.addModel(team, {
    model_name,
    litellm_params: {
      model: `openai/${model}`,
      api_key: 'sk-0123456789abcdef',
      api_base: provider.url,
      order,
    },
  });

beforeEach(() => {
  team = `team-${teams++}`;
});

const ask = (model: string, more: object = {}): Promise<Answer> =>
  router.dispatch(
    { teamId: team },
    {
      method: 'POST',
      path: '/chat/completions',
      query: new URLSearchParams(),
      headers: new Headers({ 'content-type': 'application/json' }),
      body: JSON.stringify({ model, messages: [], ...more }),
    },
  );

const isJson = (text: string) => /^\s*[[{]/.test(text);

describe('a recorded answer of a provider', () => {
  it.each(recorded.map((answer) => [answer.id, answer] as const))('%s', async (_, answer) => {
    const { status, body, content_type, retry_elsewhere } = answer;
    first = { status, body, type: content_type ?? (isJson(body) ? 'application/json' : 'text/html') };
    await add('pool', 'first', 1);
    await add('pool', 'second', 2);
    await add('falls-back', 'first', 1);
    await add('backup', 'second', 1);
    await router.updateTeam(team, {
      settings: { fallbacks: [{ 'falls-back': ['backup'] }], num_retries: 1 },
    });
    const before = provider.requests.length;
    expect((await ask('pool')).status === 200).toBe(retry_elsewhere);
    expect(provider.requests.length - before).toBe(retry_elsewhere ? 2 : 1);
    expect((await ask('falls-back')).status === 200).toBe(retry_elsewhere);
  });
});

const baseResp = (status_code: number, status_msg: string) => ({
  id: 'x',
  choices: null,
  base_resp: { status_code, status_msg },
});

describe('a failure under a 200 that is not in OpenAI’s form', () => {
  it.each<[how: string, body: object]>([
    ['base_resp', baseResp(1008, 'insufficient balance')],
    ['base_resp alone', { base_resp: { status_code: 1004, status_msg: 'login fail' } }],
    ['base_resp beside no choices', { ...baseResp(1002, 'rate limit'), choices: [] }],
    ['error_code', { id: 'as-1', error_code: 110, error_msg: 'Access token invalid' }],
    ['error_code as text', { error_code: '18', error_msg: 'Open api qps request limit reached' }],
    ['error_msg alone', { id: 'as-1', error_msg: 'Access token expired' }],
    ['code, message and no data', { code: 20012, message: 'Model does not exist.', data: null }],
    ['code and msg', { code: 500, msg: '404 NOT_FOUND', success: false }],
    ['code and message with an id', { id: 'x', code: 'NoQuota', message: 'no', data: null }],
    ['an error object', { object: 'error', message: 'no', code: 40303 }],
    ['an error beside no choices', { id: 'x', choices: null, error: { message: 'no' } }],
  ])('goes to a sibling: %s', async (_, body) => {
    first = { status: 200, type: 'application/json', body: JSON.stringify(body) };
    await add('pool', 'first', 1);
    await add('pool', 'second', 2);
    const answer = await ask('pool');
    expect(JSON.parse(String(answer.body))).toMatchObject({ id: 'chatcmpl-1' });
    expect(answer.status).toBe(200);
  });

  it.each<[how: string, body: object]>([
    ['base_resp of a success', { choices: [], base_resp: { status_code: 0, status_msg: 'success' } }],
    ['base_resp beside choices', { ...baseResp(1027, 'no'), choices: [{ message: { content: 'hi' } }] }],
    ['error_code beside a result', { id: 'as-1', result: 'hi', error_code: 1, error_msg: 'no' }],
    ['error_code of a success', { id: 'as-1', error_code: 0, error_msg: 'success' }],
    ['a code of success', { code: 200, message: 'done', data: null }],
    ['a code of success as text', { code: 'Success', message: 'done', data: null }],
    ['a message of success', { code: 1, msg: 'ok', data: null }],
    ['data beside a code', { code: 20012, message: 'no', data: [{ embedding: [1] }] }],
    ['an object of the API', { id: 'x', object: 'batch', code: 'failed', message: 'no' }],
    ['an object without data', { id: 'x', object: 'fine_tuning.job.event', message: 'no', data: null }],
  ])('passes on content or a success: %s', async (_, body) => {
    first = { status: 200, type: 'application/json', body: JSON.stringify(body) };
    await add('pool', 'first', 1);
    await add('pool', 'second', 2);
    const answer = await ask('pool');
    expect(JSON.parse(String(answer.body))).toEqual(body);
  });

  it('has the status that its code says', async () => {
    first = {
      status: 200,
      type: 'application/json',
      body: '{"code":401,"message":"Invalid token","data":null}',
    };
    await add('m', 'first', 1);
    expect((await ask('m')).status).toBe(424);
    first.body = '{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}';
    expect((await ask('m')).status).toBe(502);
  });
});

describe('an answer that is paid for was asked for again, and cooled the only deployment', () => {
  it.each<[how: string, body: object, stream: boolean]>([
    ['JSON in place of a stream', { id: 'chatcmpl-1', choices: [{ message: { content: 'paid' } }] }, true],
    ['invalid_request_error under a 200', { error: { message: 'no', type: 'invalid_request_error' } }, false],
    ['the same for a stream', { error: { message: 'no', type: 'invalid_request_error' } }, true],
    ['a refused prompt under a 200', { error: { message: 'no', code: 'content_filter' } }, false],
    ['a long prompt under a 200', { error: 'This model has a maximum context length of 8 tokens' }, false],
    ['the status of a bad request as the code', { error: { message: 'no', code: 400 } }, false],
    ['an invalid parameter in base_resp', baseResp(2013, 'invalid params'), false],
    ['a refused prompt in base_resp', baseResp(1026, 'input new_sensitive'), false],
    [
      'a long prompt in error_msg',
      { id: 'as-1', error_code: 336103, error_msg: 'Prompt tokens too long' },
      false,
    ],
    [
      'an invalid parameter in message',
      { code: 20015, message: 'The parameter is invalid.', data: null },
      true,
    ],
  ])('%s', async (_, body, stream) => {
    first = { status: 200, type: 'application/json', body: JSON.stringify(body) };
    await add('m', 'first', 1);
    const before = provider.requests.length;
    for (let call = 1; call <= 4; call++) {
      const answer = await ask('m', { stream });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(provider.requests.length - before).toBe(call);
    }
    expect((await router.health(team)).deployments).toMatchObject([{ state: 'closed', failures: 0 }]);
  });
});
