import { memoryStorage, type Receipt } from 'team-model-router';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';
import { chatChunks, type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let house: ReturnType<typeof gatewayFixture>;
let key: string;
const receipts: Receipt[] = [];
const chat = { model: 'mine', messages: [] };

beforeAll(async () => {
  provider = await recordingProvider();
  house = gatewayFixture({
    storage: memoryStorage(),
    egress: { allow: [provider.url] },
    onCall: (receipt) => void receipts.push(receipt),
  });
  const litellm_params = { model: 'm', api_key: 'sk-one', api_base: `${provider.url}/v1` };
  await house.router.addModel('acme', { model_name: 'mine', litellm_params });
  key = (await house.router.createKey('acme')).key;
});
beforeEach(() => {
  provider.requests.length = 0;
  receipts.length = 0;
});
afterAll(async () => {
  await house.router.close();
  await provider.close();
});

const keyHeaders = [
  'authorization',
  'api-key',
  'x-api-key',
  'x-litellm-api-key',
  'x-goog-api-key',
  'ocp-apim-subscription-key',
];

it.each(keyHeaders)('a key in %s wins over those after it, and none reaches the provider', async (first) => {
  const line = 'POST /v1/chat/completions';
  const after = keyHeaders.slice(keyHeaders.indexOf(first) + 1);
  const others = Object.fromEntries(after.map((name) => [name, `sk-other-${name}`]));
  for (const absent of ['', ' ', 'Bearer', 'bearer ']) {
    const before = first === 'authorization' ? {} : { authorization: absent };
    for (const own of [key, `Bearer ${key}`]) {
      const headers = { ...before, ...others, [first]: own };
      expect(outcome(await send(house.gateway, line, { headers, body: chat }))).toBe('200');
    }
    const headers = {
      ...before,
      [first]: 'sk-wrong',
      ...Object.fromEntries(after.map((name) => [name, key])),
    };
    expect(outcome(await send(house.gateway, line, { headers, body: chat }))).toBe('401 invalid_api_key');
  }
  expect(provider.everything()).not.toContain('sk-other');
  expect(provider.everything()).not.toContain(key);
});

it('x-litellm-tags are in the receipt, and those of the body come first', async () => {
  const headers = { 'x-litellm-tags': 'a, b' };
  await send(house.gateway, 'POST /v1/chat/completions', { key, headers, body: chat });
  await expect.poll(() => receipts.at(-1)?.tags).toEqual(['a', 'b']);
  await send(house.gateway, 'POST /v1/chat/completions', { key, headers, body: { ...chat, tags: ['c'] } });
  await expect.poll(() => receipts.at(-1)?.tags).toEqual(['c']);
  expect(provider.everything()).not.toContain('x-litellm-tags');
});

it.each([
  ['x-litellm-stream-timeout', '0'],
  ['x-litellm-stream-timeout', 'soon'],
  ['x-litellm-timeout', '0'],
  ['x-litellm-tags', 'a,,b'],
])('%s: %s is refused', async (name, value) => {
  const answer = await send(house.gateway, 'POST /v1/chat/completions', {
    key,
    headers: { [name]: value },
    body: chat,
  });
  expect([outcome(answer), (answer.json as { error: { param: string } }).error.param]).toEqual([
    '400 invalid_request',
    name,
  ]);
});

it('x-litellm-stream-timeout ends a stream in which nothing arrives', async () => {
  const silent = await recordingProvider((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`data: ${JSON.stringify(chatChunks('m')[0])}\n\n`);
  });
  const other = gatewayFixture({ storage: memoryStorage(), egress: { allow: [silent.url] } });
  const litellm_params = { model: 'm', api_key: 'sk-one', api_base: `${silent.url}/v1` };
  await other.router.addModel('acme', { model_name: 'mine', litellm_params });
  const own = (await other.router.createKey('acme')).key;
  const response = await other.gateway.request('/v1/chat/completions', {
    method: 'POST',
    headers: {
      authorization: `Bearer ${own}`,
      'content-type': 'application/json',
      'x-litellm-stream-timeout': '0.2',
    },
    body: JSON.stringify({ ...chat, stream: true }),
  });
  const reader = response.body?.getReader();
  let text = '';
  const all = async () => {
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read())
      text += Buffer.from(next.value).toString();
  };
  await expect(all()).rejects.toThrow();
  expect(text).toContain('provider_timeout');
  await other.router.close();
  await silent.close();
});

it('a slash at the end of a path makes no difference', async () => {
  expect(outcome(await send(house.gateway, 'POST /v1/chat/completions/', { key, body: chat }))).toBe('200');
  const azure = 'POST /openai/deployments/mine/chat/completions/?api-version=2024-10-21';
  expect(outcome(await send(house.gateway, azure, { key, body: { messages: [] } }))).toBe('200');
  for (const path of ['/v1/models/', '/team/info/', '/health/liveliness/'])
    expect(outcome(await send(house.gateway, `GET ${path}`, { key })), path).toBe('200');
});

it('/key/{key}/regenerate works without a body', async () => {
  const { token } = await house.router.createKey('acme');
  const line = `POST /key/${token}/regenerate`;
  expect(outcome(await send(house.gateway, line, { key: masterKey }))).toBe('200');
  expect(outcome(await send(house.gateway, 'POST /key/regenerate', { key: masterKey }))).toBe(
    '400 invalid_request',
  );
});

it('GET /v1/models?team_id= lists the models of that team', async () => {
  await house.router.addSharedModel({
    model_name: 'everyones',
    litellm_params: { model: 'm', api_key: 'sk-one', api_base: provider.url },
  });
  await house.router.createTeam({ team_id: 'other' });
  const names = async (line: string, as: string) =>
    ((await send(house.gateway, line, { key: as })).json as { data: { id: string }[] }).data.map(
      ({ id }) => id,
    );
  expect(await names('GET /v1/models', masterKey)).toEqual(['everyones']);
  for (const as of [masterKey, key]) expect(await names('GET /v1/models?team_id=acme', as)).toEqual(['mine']);
  expect(await names('GET /models?team_id=other', masterKey)).toEqual([]);
  const theirs = await send(house.gateway, 'GET /v1/models?team_id=other', { key });
  const unknown = await send(house.gateway, 'GET /v1/models?team_id=nobodys', { key });
  expect([outcome(theirs), outcome(unknown)]).toEqual(['404 team_not_found', '404 team_not_found']);
});
