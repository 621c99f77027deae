import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { createGateway, type Gateway } from 'team-model-router/http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type GatewayFixture, gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

let provider: RecordingProvider;
let house: GatewayFixture;
let key: string;
let reader: string;
const servers: Server[] = [];

beforeAll(async () => {
  provider = await recordingProvider();
  house = gatewayFixture({ egress: { allow: [provider.url] } });
  const params = { model: 'gpt-4o', api_key: 'key-of-acme', api_base: provider.url };
  await house.router.addModel('acme', { model_name: 'alpha', litellm_params: params });
  key = (await house.router.createKey('acme')).key;
  reader = (await house.router.createKey('acme', { key_type: 'read_only' })).key;
});
afterAll(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve).closeAllConnections());
  await house.router.close({ drainTimeoutMs: 0 });
  await provider.close();
});
beforeEach(() => {
  provider.requests.length = 0;
});

/** An application of Hono's own on Node, as the gateway's parent. */
async function onNode(app: Hono): Promise<Pick<Gateway, 'fetch'>> {
  // With its own Request and Response in the place of the global ones, as applications have it.
  const server = createServer(getRequestListener(app.fetch));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      const { method, headers, body } = request;
      return fetch(`http://127.0.0.1:${port}${pathname}${search}`, {
        method,
        headers,
        body,
        duplex: 'half',
      } as RequestInit);
    },
  };
}

const big = 'x'.repeat(300_000);
const form = `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nalpha\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${big}\r\n--b--\r\n`;

/** What every mount answers under `/llm`. */
async function story(app: Pick<Gateway, 'fetch'>, prefix = '/llm'): Promise<void> {
  const ask = (line: string, more: object = {}) =>
    send(app, line.replace(' ', ` ${prefix}`), { key, ...more });
  const chat = { model: 'alpha', messages: [{ role: 'user', content: big }] };
  const called = await ask('POST /v1/chat/completions', { body: chat });
  expect(called).toMatchObject({ status: 200, json: { object: 'chat.completion' } });
  expect(JSON.parse(String(provider.requests[0]?.body))).toEqual({ ...chat, model: 'gpt-4o' });
  const streamed = await ask('POST /chat/completions', { body: { ...chat, stream: true } });
  expect(streamed.text).toMatch(/^data: \{[\s\S]*data: \[DONE\]\n\n$/);
  const headers = { 'content-type': 'multipart/form-data; boundary=b' };
  const heard = await ask('POST /v1/audio/transcriptions', { headers, body: form });
  expect(heard).toMatchObject({ status: 200, json: { text: 'heard' } });
  expect(provider.requests[2]?.body.length).toBe(form.length + 'gpt-4o'.length - 'alpha'.length);
  expect(outcome(await ask('GET /v1/models/alpha'))).toBe('200');
  expect(outcome(await ask('GET /openai/v1/models/alpha?api-version=1'))).toBe('200');
  expect(outcome(await ask('GET /v1/models/al/pha'))).toBe('404 model_not_found');
  expect(outcome(await ask('GET /openai/team/info'))).toBe('404 not_found');
  const azure = await ask('POST /openai/deployments/alpha/embeddings', { body: { input: 'x' } });
  expect(outcome(azure)).toBe('200');
  expect(outcome(await ask('GET /team/info'))).toBe('200');
  expect(outcome(await ask('GET /health/readiness'))).toBe('200');
  expect(outcome(await ask('POST /model/new', { body: { model_name: 7 } }))).toBe('400 invalid_request');
  expect(outcome(await ask('POST /model/delete', { body: { id: 'x' } }))).toBe('404 model_not_found');
  expect(outcome(await ask('GET /v1/models', { key: 'garbage' }))).toBe('401 invalid_api_key');
  expect(outcome(await ask('GET /nothing'))).toBe('404 not_found');
  const wrong = await ask('DELETE /v1/models');
  expect([outcome(wrong), wrong.headers.get('allow')]).toEqual(['405 method_not_allowed', 'GET, HEAD']);
  expect(outcome(await ask('POST /model/new', { body: { x: 'x'.repeat(1_100_000) } }))).toBe(
    '413 request_too_large',
  );
}

const parents: Record<string, () => Hono> = {
  'app.route': () => new Hono().route('/llm', house.gateway),
  'app.route beside others': () =>
    new Hono()
      .get('/', (context) => context.text('mine'))
      .use('*', async (_context, next) => next())
      .route('/llm', house.gateway)
      .get('/llm/mine', (context) => context.text('mine')),
  'app.mount': () => new Hono().mount('/llm', house.gateway.fetch),
  'app.all and fetch': () =>
    new Hono().all('/llm/*', (context) => {
      const url = context.req.url.replace('/llm', '');
      return house.gateway.fetch(new Request(url, context.req.raw));
    }),
  'a base path': () => new Hono().route('/', createGateway(house.router, { masterKey, basePath: '/llm' })),
  'a body limit of the application': () =>
    new Hono().use(bodyLimit({ maxSize: 100_000_000 })).route('/llm', house.gateway),
};

describe.each(Object.entries(parents))('in an application of Hono, by %s', (_name, make) => {
  it('everything answers as it does alone', async () => {
    await story(make() as never);
  });

  it('everything answers as it does alone, on Node', async () => {
    await story(await onNode(make()));
  });
});

describe('under a prefix with an open segment', () => {
  it.each(['a', 'acme', 'a-team-with-a-very-long-name', 'x%2Fy', '%61cme'])(
    'everything answers: %s',
    async (team) => {
      const app = new Hono().route('/t/:tenant', house.gateway);
      await story(app as never, `/t/${team}`);
    },
  );

  it('a caller who chooses the length of the prefix reaches no other route than the one he may use', async () => {
    const app = new Hono().route('/t/:tenant', house.gateway);
    const prefix = '/t/:tenant'.length;
    for (let length = 1; length < 40; length++) {
      for (const tail of ['files', 'batches', 'files/models', 'responses']) {
        const tenant = `${'x'.repeat(length)}${tail.replace('/', '%2f')}`;
        for (const rest of ['/models', '/models/content', '/v1/models/content', '/models/items']) {
          const answer = await send(app as never, `GET /t/${tenant}${rest}`, { key: reader });
          expect(['200', '404 model_not_found']).toContain(outcome(answer));
        }
      }
    }
    // As it was once: the text behind as many characters as the pattern has was the path that was called.
    const sly = `/t/${'x'.repeat(prefix - 3)}_files/models/content`;
    expect(outcome(await send(app as never, `GET ${sly}`, { key: reader }))).toBe('404 model_not_found');
    expect(provider.requests).toEqual([]);
  });

  it('a prefix that is written in another way moves nothing', async () => {
    const app = new Hono().route('/llm', house.gateway);
    expect(outcome(await send(app as never, 'GET /l%6cm/v1/models', { key }))).toBe('200');
    expect(outcome(await send(app as never, 'GET /l%6cm/team/info', { key }))).toBe('200');
  });
});

describe('behind a parent that has read the body', () => {
  it.each(['without a socket', 'on Node'])('the caller is told what is wrong, %s', async (way) => {
    const app = new Hono()
      .use('*', async (context, next) => {
        await context.req.text();
        await next();
      })
      .route('/llm', house.gateway);
    const mounted = way === 'on Node' ? await onNode(app) : (app as never);
    for (const line of ['POST /llm/v1/chat/completions', 'POST /llm/model/new']) {
      const answer = await send(mounted, line, { key, body: { model: 'alpha', messages: [] } });
      expect(outcome(answer)).toBe('400 invalid_request');
      expect(answer.text).toContain('was read before');
    }
  });
});
