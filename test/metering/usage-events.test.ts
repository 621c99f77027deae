import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
  type UsageEvent,
} from 'team-model-router';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

type Handler = (response: ServerResponse, request: IncomingMessage, body: string) => void;

let handlers: Handler[] = [];
let requests: { url: string | undefined; headers: IncomingMessage['headers']; body: string }[] = [];
let server: Server;
let router: TeamModelRouter;
let events: UsageEvent[] = [];
let receipts: Receipt[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      requests.push({ url: request.url, headers: request.headers, body });
      (handlers.length > 1 ? handlers.shift() : handlers[0])?.(response, request, body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const api_base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [api_base], allowShared: [api_base] },
    onCall: (receipt) => receipts.push(receipt),
    onUsage: (batch) => events.push(...batch),
    random: () => 0,
  });
  await router.createTeam({ team_id: 'acme', settings: { allowed_fails: 1_000, num_retries: 0 } });
  const params = { model: 'openai/gpt-x', api_key: 'sk-0123456789abcdef', api_base };
  await router.addModel('acme', { model_name: 'm', litellm_params: params });
  await router.addSharedModel({ model_name: 'shared-m', litellm_params: params });
  await router.allowSharedModels('acme', ['shared-m']);
});

beforeEach(() => {
  handlers = [];
  requests = [];
  events = [];
  receipts = [];
});

afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  server.closeAllConnections();
  server.close();
});

const json =
  (value: unknown, status = 200): Handler =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
const stream =
  (text: string, ended = true): Handler =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(text, () => {
      if (!ended) response.destroy();
    });
    if (ended) response.end();
  };

const tokens = { prompt_tokens: 20, completion_tokens: 9, total_tokens: 29 };
const chat = { id: 'c1', object: 'chat.completion', choices: [{ index: 0, message: {} }], usage: tokens };
const ofResponses = { input_tokens: 20, output_tokens: 9, total_tokens: 29 };
const refusal = json({ error: { message: 'no' } }, 400);

const call = (path: string, body: object | FormData, init: RequestInit = {}) =>
  router.fetchFor('acme')(`/v1${path}`, {
    method: 'POST',
    ...(body instanceof FormData
      ? { body }
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    ...init,
  });

/** Waits for the usage events of the calls so far. */
const eventsOf = (count: number) =>
  vi.waitFor(
    () => {
      expect(events).toHaveLength(count);
      return events;
    },
    { timeout: 5_000 },
  );

function form(): FormData {
  const body = new FormData();
  body.set('model', 'm');
  body.set('file', new Blob(['x']), 'a.wav');
  return body;
}

describe('a usage event', () => {
  it.each<[string, object | FormData, Handler, object]>([
    ['/chat/completions', { model: 'm', messages: [] }, json(chat), { input: 20, output: 9 }],
    ['/completions', { model: 'm', prompt: 'x' }, json(chat), { input: 20, output: 9 }],
    [
      '/embeddings',
      { model: 'm', input: 'x' },
      json({ object: 'list', data: [{ embedding: [1] }], usage: { prompt_tokens: 4, total_tokens: 4 } }),
      { input: 4 },
    ],
    [
      '/responses',
      { model: 'm', input: 'x' },
      json({ id: 'resp_1', object: 'response', status: 'completed', output: [], usage: ofResponses }),
      { input: 20, output: 9 },
    ],
    [
      '/images/generations',
      { model: 'm', prompt: 'x', n: 2 },
      json({ created: 1, data: [{ b64_json: 'a' }, { b64_json: 'b' }], usage: ofResponses }),
      { input: 20, output: 9, images: 2 },
    ],
    ['/images/edits', form(), json({ created: 1, data: [{ url: 'u' }] }), { images: 1 }],
    [
      '/audio/transcriptions',
      form(),
      json({ text: 'hi', usage: { type: 'duration', seconds: 3 } }),
      { seconds: 3 },
    ],
    ['/audio/translations', form(), json({ text: 'hi', duration: 2.5 }), { seconds: 2.5 }],
    ['/audio/speech', { model: 'm', input: 'héllo', voice: 'a' }, (r) => r.end('sound'), { characters: 5 }],
  ])('has what %s used', async (path, body, handler, usage) => {
    handlers = [handler];
    const answer = await call(path, body);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    const [event] = await eventsOf(1);
    expect(event).toMatchObject({ outcome: 'success', status: 200, usage, model: 'm', stream: false });
    expect(event?.usage).toEqual(usage);
    expect(event).toMatchObject({
      teamId: 'acme',
      provider: 'openai',
      providerModel: 'gpt-x',
      source: 'team',
    });
  });

  it('has the usage of a long image answer, which is passed on as it comes', async () => {
    const image = { b64_json: 'A'.repeat(2_000_000) };
    handlers = [json({ created: 1, data: [image], usage: ofResponses })];
    await (await call('/images/generations', { model: 'm', prompt: 'x' })).arrayBuffer();
    const [event] = await eventsOf(1);
    expect(event).toMatchObject({ usage: { input: 20, output: 9, images: 1 }, usageSource: 'provider' });
  });

  it.each<[string, object, string]>([
    [
      '/chat/completions',
      { messages: [] },
      `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: {"choices":[],"usage":${JSON.stringify(tokens)}}\n\ndata: [DONE]\n\n`,
    ],
    [
      '/responses',
      { input: 'x' },
      `event: response.completed\ndata: {"type":"response.completed","response":{"id":"r","usage":${JSON.stringify(ofResponses)}}}\n\n`,
    ],
  ])('has what a stream of %s reports', async (path, body, text) => {
    handlers = [stream(text)];
    await (await call(path, { model: 'm', stream: true, ...body })).text();
    const [event] = await eventsOf(1);
    expect(event).toMatchObject({ outcome: 'success', stream: true, usageSource: 'provider' });
    expect(event?.usage).toEqual({ input: 20, output: 9 });
    expect(receipts[0]).toMatchObject({ stream: true, usage: { input: 20, output: 9 }, source: 'team' });
  });

  it('estimates a stream that its provider cuts', async () => {
    const chunk = `data: {"choices":[{"index":0,"delta":{"content":"${'a'.repeat(30)}"}}]}\n\n`;
    handlers = [stream(chunk.repeat(3), false)];
    const answer = await call('/chat/completions', { model: 'm', stream: true, messages: [] });
    await answer.text().catch(() => {});
    const [event] = await eventsOf(1);
    expect(event).toMatchObject({ outcome: 'incomplete', usageSource: 'estimated', usage: { output: 30 } });
    expect(event?.usage.input).toBeGreaterThan(0);
  });

  it('estimates a stream that its caller leaves', async () => {
    const chunk = `data: {"choices":[{"index":0,"delta":{"content":"${'a'.repeat(30)}"}}]}\n\n`;
    handlers = [
      (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(chunk);
      },
    ];
    const answer = await call('/chat/completions', { model: 'm', stream: true, messages: [] });
    const reader = answer.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    const [event] = await eventsOf(1);
    expect(event).toMatchObject({ outcome: 'aborted', usageSource: 'estimated', usage: { output: 10 } });
  });

  it('estimates the input of a call whose caller leaves before the answer', async () => {
    const controller = new AbortController();
    handlers = [() => controller.abort()];
    const body = { model: 'm', messages: [{ role: 'user', content: 'x'.repeat(3_000) }] };
    await call('/chat/completions', body, { signal: controller.signal }).catch(() => {});
    const [event] = await eventsOf(1);
    expect(event).toMatchObject({ outcome: 'aborted', status: 499, usageSource: 'estimated' });
    expect(event?.usage.input).toBeGreaterThan(1_000);
    expect(event?.usage.output).toBeUndefined();
  });

  it('says that a refused request used nothing, and that a failed one is unknown', async () => {
    handlers = [refusal, json({ error: { message: 'no' } }, 500), json({ ...chat, usage: undefined })];
    for (let turn = 0; turn < 3; turn++)
      await (await call('/chat/completions', { model: 'm', messages: [] })).text();
    const [refused, failed, silent] = await eventsOf(3);
    expect(refused).toMatchObject({ outcome: 'error', status: 400, usageSource: 'none', usage: {} });
    expect(failed).toMatchObject({ outcome: 'error', status: 500, usageSource: 'unknown', usage: {} });
    expect(silent).toMatchObject({ outcome: 'success', status: 200, usageSource: 'unknown', usage: {} });
  });

  it('is made for each attempt of a call, with its own id', async () => {
    handlers = [json({ error: { message: 'no' } }, 500), json(chat)];
    const retried = router.fetchFor('acme', { maxRetries: 1 });
    await retried('/v1/chat/completions', {
      method: 'POST',
      body: JSON.stringify({ model: 'm', messages: [] }),
    });
    const [first, second] = await eventsOf(2);
    expect([first?.attempt, second?.attempt]).toEqual([1, 2]);
    expect([first?.outcome, second?.outcome]).toEqual(['error', 'success']);
    expect(first?.callId).toBe(second?.callId);
    expect(first?.id).not.toBe(second?.id);
  });

  it('is not made for what is only read, nor for a call that no provider got', async () => {
    handlers = [json({ id: 'resp_1', object: 'response', status: 'completed', usage: ofResponses })];
    const fetch = router.fetchFor('acme', { defaultModel: 'm' });
    expect((await fetch('/v1/responses/resp_1')).status).toBe(200);
    expect((await fetch('/v1/chat/completions/c1')).status).toBe(200);
    expect((await call('/chat/completions', { model: 'unknown', messages: [] })).status).toBe(404);
    handlers = [json({ id: 'resp_2', object: 'response', status: 'queued', usage: null })];
    await (await call('/responses', { model: 'm', input: 'x', background: true })).text();
    handlers = [json(chat)];
    await (await call('/chat/completions', { model: 'm', messages: [] })).text();
    expect((await eventsOf(1))[0]?.endpoint).toBe('chat.completions.create');
  });

  it('says whose credential was sent, by whom, and with which tags, which no provider gets', async () => {
    handlers = [json(chat)];
    const body = { model: 'shared-m', messages: [], tags: ['body'] };
    const options = { userId: 'ada', tags: ['a', 'b'] };
    const fetch = router.fetchFor('acme', options);
    await fetch('/v1/chat/completions', { method: 'POST', body: JSON.stringify(body) });
    await router.chatCompletion('acme', { model: 'm', messages: [] }, options);
    const [shared, own] = await eventsOf(2);
    expect(shared).toMatchObject({ source: 'shared', userId: 'ada', tags: ['a', 'b'], teamId: 'acme' });
    expect(own).toMatchObject({ source: 'team', userId: 'ada', tags: ['a', 'b'] });
    expect(receipts.map(({ source, userId }) => [source, userId])).toEqual([
      ['shared', 'ada'],
      ['team', 'ada'],
    ]);
    for (const { body: sent, headers } of requests)
      expect(JSON.stringify([sent, headers])).not.toMatch(/tags|ada/);
  });
});

it('refuses tags and users that are not', async () => {
  const invalid = (options: object) =>
    router.chatCompletion('acme', { model: 'm', messages: [] }, options as { userId: string });
  await expect(invalid({ userId: '' })).rejects.toThrow(/^400 userId: must be a string/);
  await expect(invalid({ tags: [''] })).rejects.toThrow(/^400 tags: must be at most 32 strings/);
  expect(() => router.forTeam('acme', { tags: [''] })).toThrow(/tags/);
});
