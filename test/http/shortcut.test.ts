import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway, type GatewayOptions } from 'team-model-router/http';
import { nodeListener } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  answerAsOpenAI,
  type RecordingProvider,
  recordingProvider,
  sendError,
} from '../fixtures/recording-provider.ts';

const masterKey = 'm'.repeat(32);
const model = 'my-team-model';
const bodyLimit = 65_536;

let provider: RecordingProvider;
let router: TeamModelRouter;
let keys: Record<string, string>;
const servers: Server[] = [];

beforeAll(async () => {
  provider = await recordingProvider((request, response) => {
    if (String(request.body).includes('"n":7')) sendError(response, 400, 'n is too large');
    else answerAsOpenAI(request, response);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const litellm_params = { model: 'gpt-4o', api_key: 'sk-acme-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: model, litellm_params });
  const make = async (body: Parameters<TeamModelRouter['createKey']>[1]) =>
    (await router.createKey('acme', body)).key;
  keys = {
    good: await make({}),
    'read only': await make({ key_type: 'read_only' }),
    restricted: await make({ models: [] }),
    blocked: await make({}),
    unknown: `sk-${'x'.repeat(43)}`,
    master: masterKey,
  };
  await router.blockKey('acme', keys.blocked ?? '');
});

afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await router.close();
  await provider.close();
});

async function listen(listener: ReturnType<typeof nodeListener>): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** The same gateway twice: as it is, and behind a `fetch` that is not its own, which nobody passes by. */
async function bothWays(options: Partial<GatewayOptions> = {}) {
  const gateway = createGateway(router, { masterKey, bodyLimit, ...options });
  const through = vi.fn((request: Request, bindings?: object) => gateway.fetch(request, bindings));
  return {
    gateway,
    through,
    short: await listen(nodeListener(gateway)),
    long: await listen(nodeListener({ fetch: through })),
  };
}

interface Sent {
  method?: string;
  path?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
}

/** What came back, without what is another's every time. */
function send(port: number, { method = 'POST', path = '/v1/chat/completions', headers, body }: Sent) {
  return new Promise<{ status: number | undefined; headers: object; body: string }>((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        const kept = { ...response.headers };
        for (const name of ['date', 'x-litellm-call-id']) if (kept[name]) kept[name] = 'some';
        for (const name of ['response', 'overhead'])
          if (kept[`x-litellm-${name}-duration-ms`]) kept[`x-litellm-${name}-duration-ms`] = 'some';
        resolve({ status: response.statusCode, headers: kept, body: text });
      });
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const messages = [{ role: 'user', content: 'Grüß Gott' }];
const plain = JSON.stringify({ model, messages });
const json = { 'content-type': 'application/json' };
const as = (name: string, more: Record<string, string | string[]> = json) => ({
  authorization: `Bearer ${keys[name]}`,
  ...more,
});

describe('a call answers the same, whether it goes through Hono or not', () => {
  const stories: Record<string, () => Sent> = {
    'a plain call': () => ({ headers: as('good'), body: plain }),
    'without /v1': () => ({ path: '/chat/completions', headers: as('good'), body: plain }),
    embeddings: () => ({
      path: '/v1/embeddings',
      headers: as('good'),
      body: JSON.stringify({ model, input: 'x' }),
    }),
    'a stream': () => ({ headers: as('good'), body: JSON.stringify({ model, messages, stream: true }) }),
    'a query': () => ({ path: `/v1/chat/completions?model=${model}`, headers: as('good'), body: plain }),
    'an escaped path': () => ({ path: '/v1/chat/%63ompletions', headers: as('good'), body: plain }),
    'a charset': () => ({
      headers: as('good', { 'content-type': 'application/json; charset=utf-8' }),
      body: plain,
    }),
    chunks: () => ({ headers: as('good', { ...json, 'transfer-encoding': 'chunked' }), body: plain }),
    'azure’s header': () => ({ headers: { ...json, 'api-key': keys.good ?? '' }, body: plain }),
    'a fault of the provider': () => ({
      headers: as('good'),
      body: JSON.stringify({ model, messages, n: 7 }),
    }),
    'an unknown model': () => ({ headers: as('good'), body: JSON.stringify({ model: 'other', messages }) }),
    'the master key': () => ({ headers: as('master'), body: plain }),
    'a key that may not call': () => ({ headers: as('read only'), body: plain }),
    'a key for no model': () => ({ headers: as('restricted'), body: plain }),
    'a blocked key': () => ({ headers: as('blocked'), body: plain }),
    'an unknown key': () => ({ headers: as('unknown'), body: plain }),
    'no key': () => ({ headers: json, body: plain }),
    'another content type': () => ({ headers: as('good', { 'content-type': 'text/plain' }), body: plain }),
    'no content type': () => ({ headers: as('good', {}), body: plain }),
    'two content types': () => ({
      headers: as('good', { 'content-type': ['application/json', 'text/plain'] }),
      body: plain,
    }),
    'no body': () => ({ headers: as('good', { ...json, 'content-length': '0' }) }),
    'broken JSON': () => ({ headers: as('good'), body: '{"model": "my-team-model", ' }),
    'two models': () => ({ headers: as('good'), body: `{"model": "${model}", "model": "other"}` }),
    'bytes that are no UTF-8': () => ({ headers: as('good'), body: Buffer.from([0x7b, 0xff, 0x7d]) }),
    'too large a body': () => ({
      headers: as('good'),
      body: JSON.stringify({ model, x: 'x'.repeat(bodyLimit) }),
    }),
    'too large a body of nobody': () => ({ headers: as('unknown'), body: 'x'.repeat(bodyLimit * 2) }),
    'another method': () => ({ method: 'PUT', headers: as('good'), body: plain }),
    HEAD: () => ({ method: 'HEAD', headers: as('good') }),
  };

  it.each(Object.entries(stories))('%s', async (_, story) => {
    const { short, long, through } = await bothWays();
    const before = provider.requests.length;
    const answers = [await send(short, story()), await send(long, story())];
    expect(answers[0]).toEqual(answers[1]);
    expect(through).toHaveBeenCalledTimes(1);
    const [first, second, ...others] = provider.requests.slice(before);
    expect(others).toEqual([]);
    const shown = (sent: typeof first) => sent && [sent.url, sent.headers, String(sent.body)];
    expect(shown(first)).toEqual(shown(second));
  });
});

/** Whether the gateway's own way through Hono is taken. */
async function goesThroughHono(gateway: Gateway, port: number, sent: Sent): Promise<boolean> {
  const seen = vi.spyOn(gateway.router, 'match');
  await send(port, sent);
  const taken = seen.mock.calls.length > 0;
  seen.mockRestore();
  return taken;
}

it('a plain call by a key takes the short way; what an application has a say in does not', async () => {
  const sent = { headers: as('good'), body: plain };
  const { gateway, short } = await bothWays();
  expect(await goesThroughHono(gateway, short, sent)).toBe(false);
  expect(await goesThroughHono(gateway, short, { ...sent, path: `/v1/embeddings?model=${model}` })).toBe(
    true,
  );
  for (const options of [
    { cors: {} },
    { authenticate: () => ({ teamId: 'acme', keyType: 'default' as const }) },
  ]) {
    const asked = await bothWays(options as GatewayOptions);
    expect(await goesThroughHono(asked.gateway, asked.short, sent)).toBe(true);
  }
  const under = await bothWays({ basePath: '/llm' });
  expect(
    await goesThroughHono(under.gateway, under.short, { ...sent, path: '/llm/v1/chat/completions' }),
  ).toBe(false);
  expect(await send(under.short, sent)).toMatchObject({ status: 404 });
});

it('a fetch that somebody has put in the place of the gateway’s own is asked', async () => {
  const { gateway, short } = await bothWays();
  const own = gateway.fetch;
  const asked: string[] = [];
  gateway.fetch = (request, ...more) => {
    asked.push(request.url);
    return own(request, ...more);
  };
  expect(await send(short, { headers: as('good'), body: plain })).toMatchObject({ status: 200 });
  expect(asked).toHaveLength(1);
});
