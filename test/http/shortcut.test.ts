import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway, type GatewayOptions } from 'team-model-router/http';
import { nodeListener } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  answerAsOpenAI,
  type RecordingProvider,
  recordingProvider,
  sendError,
} from '../support/recording-provider.ts';

import { within } from '../support/within.ts';

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
  await router.close({ drainTimeoutMs: 0 });
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
        for (const name of ['date', 'x-litellm-call-id', 'x-request-id']) if (kept[name]) kept[name] = 'some';
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
    'a host with a port': () => ({ headers: { ...as('good'), host: 'localhost:4000' }, body: plain }),
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

it.each(['a b', 'a:99999', 'a@b', 'a/../b'])(
  'no URL can be made of the host %j, either way',
  async (host) => {
    const { short, long } = await bothWays();
    const answers = await Promise.all(
      [short, long].map((port) => send(port, { headers: { ...as('good'), host }, body: plain })),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({ status: 400 });
  },
);

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

it('a base path that could be spelt in another way is Hono’s to read', async () => {
  for (const basePath of ['/', '/llm/', '/a/../b', '/llm//']) {
    const { short, long } = await bothWays({ basePath });
    for (const path of [basePath, `${basePath}/`, basePath.replace(/\/+$/, ''), '/b', '/llm'])
      for (const under of ['v1/chat/completions', '/v1/chat/completions']) {
        const sent = { path: path + under, headers: as('good'), body: plain };
        if (!sent.path.startsWith('/')) continue;
        expect(await send(short, sent), sent.path).toEqual(await send(long, sent));
      }
  }
});

it('calls a fetch that an application has set on the gateway', async () => {
  const wrappings: Record<string, (own: Gateway['fetch'], asked: () => void) => Gateway['fetch']> = {
    'a function': (own, asked) => (request, env) => {
      asked();
      return own(request, env);
    },
    'a proxy': (own, asked) =>
      new Proxy(own, {
        apply(target, self, given) {
          asked();
          return Reflect.apply(target, self, given);
        },
      }),
    'a function with all that its own had': (own, asked) => {
      const wrapped: Gateway['fetch'] = (request, env) => {
        asked();
        return own(request, env);
      };
      return Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(own));
    },
  };
  for (const [name, wrap] of Object.entries(wrappings)) {
    const { gateway, short } = await bothWays();
    const asked = vi.fn();
    gateway.fetch = wrap(gateway.fetch, asked);
    expect(await send(short, { headers: as('good'), body: plain }), name).toMatchObject({ status: 200 });
    expect(asked, name).toHaveBeenCalledTimes(1);
  }
});

describe('what an application has done to a request before', () => {
  const before: Record<string, (incoming: IncomingMessage) => void> = {
    nothing: () => {},
    'listened to its body': (incoming) => void incoming.on('data', () => {}),
    'had it decoded': (incoming) => void incoming.setEncoding('utf8'),
    'paused it': (incoming) => void incoming.pause(),
    'kept its bytes': (incoming) => void Object.assign(incoming, { rawBody: Buffer.from(plain) }),
  };

  it.each(Object.entries(before))('counts in the same way: %s', async (_, prepare) => {
    const gateway = createGateway(router, { masterKey, bodyLimit });
    const answers = await Promise.all(
      [gateway, { fetch: (request: Request, env?: object) => gateway.fetch(request, env) }].map(
        async (given) => {
          const listener = nodeListener(given);
          const port = await listen(async (incoming, outgoing) => {
            prepare(incoming);
            await listener(incoming, outgoing);
          });
          return send(port, { headers: as('good'), body: plain });
        },
      ),
    );
    expect(answers[0]).toEqual(answers[1]);
  });

  it('a body that has flowed elsewhere while its key was looked up is refused, and not cut', async () => {
    const slow = new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
    const verify = router.verifyKey.bind(router);
    const spy = vi.spyOn(router, 'verifyKey').mockImplementation(async (key) => {
      await slow;
      return verify(key);
    });
    const gateway = createGateway(router, { masterKey, bodyLimit });
    const listener = nodeListener(gateway);
    const port = await listen(async (incoming, outgoing) => {
      incoming.on('data', () => {});
      await listener(incoming, outgoing);
    });
    const count = provider.requests.length;
    const answer = await send(port, { headers: as('good'), body: plain });
    expect([answer.status, answer.body]).toEqual([400, expect.stringContaining('was read before')]);
    expect(provider.requests).toHaveLength(count);
    spy.mockRestore();
  });
});

it('closes the connection of a rejected client that continues to send', async () => {
  const { short } = await bothWays();
  const socket = connect(short, '127.0.0.1').on('error', () => {});
  socket.write(
    'POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
  );
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  await within(5_000, new Promise((resolve) => socket.once('close', resolve)), 'the end of the connection');
  expect(text).toMatch(/^HTTP\/1.1 401 /);
});
