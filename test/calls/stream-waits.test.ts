import type { Socket } from 'node:net';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { readBroken } from '../support/broken-text.ts';
import { type RawProvider, rawProvider } from '../support/raw-provider.ts';

let provider: RawProvider;
let router: TeamModelRouter;
let answer: (socket: Socket) => void = () => {};
const receipts: Receipt[] = [];

const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const whole = (text: string) => `${head}${text === '' ? '' : chunk(text)}0\r\n\r\n`;

beforeAll(async () => {
  provider = await rawProvider((socket) => answer(socket));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    random: () => 0,
    onCall: (receipt) => receipts.push(receipt),
  });
  const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: { ...litellm_params, stream_timeout: 0.4, num_retries: 1 },
  });
  // Its first failure cools it.
  await router.addModel('globex', { model_name: 'm', litellm_params: { ...litellm_params, num_retries: 0 } });
  await router.updateTeam('globex', { settings: { allowed_fails: 0 } });
});
afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});
beforeEach(() => {
  provider.requests.length = 0;
  receipts.length = 0;
});

const stream = (team: string, headers: Record<string, string> = {}) =>
  router.fetchFor(team)('/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'm', messages: [], stream: true }),
  });

describe('the wait for the first byte', () => {
  it('is bounded by stream_timeout from the headers on, and is tried again', async () => {
    answer = (socket) => void socket.write(head);
    const response = await stream('acme');
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: 'provider_timeout' } });
    expect(provider.requests).toHaveLength(2);
  });

  it('continues over white space, and is bounded by timeout as a whole', async () => {
    answer = (socket) => {
      const blank = (): unknown =>
        socket.destroyed || socket.write(chunk('\n'), () => void setTimeout(blank, 20));
      socket.write(head);
      blank();
    };
    const response = await stream('acme', { 'x-litellm-timeout': '0.2', 'x-litellm-num-retries': '0' });
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: 'provider_timeout' } });
  });

  it('ends with a comment; from there on stream_timeout counts between two chunks', async () => {
    answer = (socket) => void socket.write(head + chunk(': still here\n\n'));
    const response = await stream('acme');
    expect(response.status).toBe(200);
    const { text, error } = await readBroken(response);
    expect(text).toMatch(/^: still here\n\ndata: \{"error":\{.*"code":"provider_timeout"\}\}\n\n$/);
    expect(error).toMatchObject({ code: 'provider_timeout' });
    expect(provider.requests).toHaveLength(1);
  });

  it('is the last that timeout bounds: its timer is stopped when the stream begins', async () => {
    let end = () => {};
    answer = (socket) => {
      socket.write(head + chunk('data: {"choices":[]}\n\n'));
      end = () => void socket.write(`${chunk('data: [DONE]\n\n')}0\r\n\r\n`);
    };
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const stopped = vi.spyOn(globalThis, 'clearTimeout');
    const response = await stream('globex', { 'x-litellm-timeout': '54' });
    const index = timers.mock.calls.findIndex(
      ([, milliseconds = 0]) => milliseconds > 50_000 && milliseconds <= 54_000,
    );
    expect(index).not.toBe(-1);
    expect(stopped).toHaveBeenCalledWith(timers.mock.results[index]?.value);
    vi.restoreAllMocks();
    end();
    expect(await response.text()).toMatch(/\[DONE\]/);
  });
});

describe('reading what exists is not judged by its end', () => {
  const created = 'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n';
  const read = (path: string) => () => router.fetchFor('globex')(path);
  const cases: [string, () => Promise<Response>, string][] = [
    ['a response run again', read('/v1/responses/resp_1?stream=true'), created],
    [
      'a response run again from an event on',
      read('/v1/responses/resp_1?stream=true&starting_after=3'),
      created,
    ],
    [
      'a response run again that has no more events',
      read('/v1/responses/resp_1?stream=true&starting_after=9'),
      '',
    ],
    ['a response run again, of comments alone', read('/v1/responses/resp_1?stream=true'), ': ping\n\n'],
    [
      'a response run again, cut within an event',
      read('/v1/responses/resp_1?stream=true'),
      created.slice(0, -9),
    ],
    ['the content of a file', read('/v1/files/file-1/content'), 'data: {"a":1}\n\n'],
    [
      'the content of a file with an error event',
      read('/v1/files/file-1/content'),
      'data: {"error":{"message":"x"}}\n\n',
    ],
    ['a stored completion labelled as events', read('/v1/chat/completions/c_1'), 'data: {"a":1}\n\n'],
    ['a list labelled as events', read('/v1/files'), 'data: {"a":1}\n\n'],
    ['a stream of comments alone', () => stream('globex'), ': ping\n\n: ping\n\n'],
  ];

  it.each(cases)(
    '%s: passed on as it came, three times, and no deployment cools down',
    async (_, call, text) => {
      answer = (socket) => void socket.write(whole(text));
      for (let time = 0; time < 3; time++) {
        const response = await call();
        expect(response.status).toBe(200);
        expect(await response.text()).toBe(text);
      }
      expect(provider.requests).toHaveLength(3);
      const { deployments } = await router.health('globex');
      expect(deployments).toMatchObject([{ state: 'closed' }]);
      await expect
        .poll(() => receipts.map(({ status, code }) => [status, code]))
        .toEqual(Array(3).fill([200, undefined]));
      answer = (socket) => void socket.write(whole('data: [DONE]\n\n'));
      expect(await (await stream('globex')).text()).toMatch(/\[DONE\]/);
    },
  );

  it('a stream that this call makes is: cut, it is an error, and the deployment cools down', async () => {
    answer = (socket) => void socket.write(whole('data: {"choices":[{"index":0,"finish_reason":null}]}\n\n'));
    const { error } = await readBroken(await stream('globex'));
    expect(error).toMatchObject({ code: 'provider_unreachable' });
    const { deployments } = await router.health('globex');
    expect(deployments).toMatchObject([{ state: 'open' }]);
  });
});
