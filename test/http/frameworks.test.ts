import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { serve } from '@hono/node-server';
import express from 'express';
import fastify, { type FastifyInstance } from 'fastify';
import { Hono } from 'hono';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { createGateway, type Gateway } from 'team-model-router/http';
import { expressGateway } from 'team-model-router/http/express';
import { fastifyGateway } from 'team-model-router/http/fastify';
import { serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { closed, type Mounted, onExpress, overSockets, urlOf } from '../support/gateway-mounts.ts';
import {
  answerAsOpenAI,
  type Handler,
  type RecordingProvider,
  recordingProvider,
  sendEvents,
} from '../support/recording-provider.ts';
import { within } from '../support/within.ts';

const model = 'my-team-model';
let provider: RecordingProvider;
let handler: Handler;
let router: TeamModelRouter;
let gateway: Gateway;
let receive: (receipt: Receipt) => void = () => {};
let headers: Record<string, string>;
const opened: Mounted[] = [];

beforeAll(async () => {
  provider = await recordingProvider((request, response) => handler(request, response));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    onCall: (receipt) => receive(receipt),
  });
  await router.addModel('acme', {
    model_name: model,
    litellm_params: { model: 'gpt-4o', api_key: 'sk-acme-0123456789abcdef', api_base: provider.url },
  });
  const { key } = await router.createKey('acme');
  headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  gateway = createGateway(router, { masterKey: 'm'.repeat(32) });
});
beforeEach(() => {
  handler = answerAsOpenAI;
  provider.requests.length = 0;
});
afterAll(async () => {
  for (const mounted of opened) await mounted.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const asked = JSON.stringify({ model, messages: [] });
const ask = ({ send }: Mounted, init: RequestInit = {}) =>
  send('/v1/chat/completions', { method: 'POST', headers, body: asked, ...init });

describe('on Node', () => {
  it('a client that left while its session was looked up costs the provider nothing', async () => {
    const leaving = new AbortController();
    const receipt = new Promise<Receipt>((onCall) => {
      receive = onCall;
    });
    const own = createGateway(router, {
      async authenticate(_request, { incoming }) {
        leaving.abort();
        await new Promise((resolve) => incoming?.once('close', resolve));
        return { teamId: 'acme', keyType: 'llm_api' };
      },
    });
    const mounted = await serveGateway(own, { port: 0, drainTimeoutMs: 1 });
    opened.push(overSockets(mounted.url, mounted.close));
    await fetch(`${mounted.url}/v1/files`, { signal: leaving.signal }).catch(() => {});
    expect(await within(1000, receipt, 'the receipt')).toMatchObject({ status: 499 });
    expect(provider.requests).toEqual([]);
  });
});

describe('in an Express application', () => {
  const onApp = async (build: Parameters<typeof onExpress>[0]) => {
    const mounted = await onExpress(build);
    opened.push(mounted);
    return mounted;
  };

  it('keeps headers that middleware has set before, but for those that guard the answer', async () => {
    const mounted = await onApp((app) => {
      app.use((_request, response, next) => {
        response.setHeader('x-frame-options', 'DENY');
        response.setHeader('content-security-policy', "default-src 'self'");
        response.setHeader('set-cookie', ['a=1', 'b=2']);
        next();
      });
      app.use('/llm', expressGateway(gateway));
    });
    handler = (_request, response) => sendEvents(response, []);
    for (const body of [asked, JSON.stringify({ model: 'nobody-has-this' })]) {
      const response = await ask(mounted, { body });
      await response.text();
      expect(response.headers.get('x-frame-options')).toBe('DENY');
      expect(response.headers.get('content-security-policy')).toBe('sandbox');
      expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    }
  });

  it('calls no middleware after it, whatever it answers', async () => {
    const after: string[] = [];
    const mounted = await onApp((app) => {
      app.use('/llm', expressGateway(gateway));
      app.use((request, response) => {
        after.push(request.originalUrl);
        response.end('after');
      });
    });
    expect((await ask(mounted)).status).toBe(200);
    expect((await mounted.send('/nothing')).status).toBe(404);
    expect((await mounted.send('/v1/models')).status).toBe(401);
    expect(after).toEqual([]);
    expect(await (await fetch(new URL('/elsewhere', mounted.url))).text()).toBe('after');
  });

  it('takes what other body parsers have made of the body', async () => {
    for (const parser of [
      express.text({ type: '*/*' }),
      express.raw({ type: '*/*' }),
      express.urlencoded(),
    ]) {
      const mounted = await onApp((app) => app.use(parser, express.json()).use(expressGateway(gateway)));
      const response = await fetch(new URL('/v1/chat/completions', mounted.url), {
        method: 'POST',
        headers,
        body: asked,
      });
      expect(response.status, await response.text()).toBe(200);
      expect(JSON.parse(String(provider.requests.at(-1)?.body))).toEqual({ model: 'gpt-4o', messages: [] });
    }
  });

  it('a form that a parser has taken is refused, not sent on without its files', async () => {
    const mounted = await onApp((app) => {
      app.use((request: IncomingMessage & { body?: unknown }, _response, next) => {
        request
          .on('data', () => {})
          .on('end', () => {
            request.body = { model };
            next();
          });
      });
      app.use('/llm', expressGateway(gateway));
    });
    const body = new FormData();
    body.set('model', model);
    body.set('file', new File(['x'], 'x.wav'));
    const { authorization = '' } = headers;
    const response = await mounted.send('/v1/audio/transcriptions', {
      method: 'POST',
      headers: { authorization },
      body,
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: 'invalid_request', message: expect.stringContaining('was read before') },
    });
    expect(provider.requests).toEqual([]);
  });

  it('duplicate keys are refused where the body is kept as it came', async () => {
    const twice = `{"model": "nobody-has-this", "model": "${model}", "messages": []}`;
    const verify = (request: IncomingMessage & { rawBody?: Buffer }, _: unknown, buffer: Buffer) => {
      request.rawBody = buffer;
    };
    const mounted = await onApp((app) =>
      app.use(express.json({ verify })).use('/llm', expressGateway(gateway)),
    );
    expect(await (await ask(mounted, { body: twice })).json()).toMatchObject({
      error: { code: 'invalid_request', param: 'model' },
    });
    expect(provider.requests).toEqual([]);
  });

  it('leaves an answer alone that the application gave in the meantime, and lets go of the provider', async () => {
    let response: ServerResponse | undefined;
    const mounted = await onApp((app) => {
      app.use((_request, outgoing, next) => {
        response = outgoing;
        next();
      });
      app.use('/llm', expressGateway(gateway));
    });
    const ended = new Promise<void>((resolve) => {
      handler = (_request, provided) => {
        provided.once('close', resolve);
        response?.once('finish', () => {
          provided.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
        });
        response?.writeHead(503).end('too late');
      };
    });
    const answered = await ask(mounted);
    expect([answered.status, await answered.text()]).toEqual([503, 'too late']);
    await within(1000, ended, 'the end of the call');
  });
});

describe('in a Fastify application', () => {
  const onApp = async (app: FastifyInstance, prefix: string) => {
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const mounted = overSockets(url + prefix, () => app.close());
    opened.push(mounted);
    return mounted;
  };

  it("loses no header that the application's hooks have set", async () => {
    const app = fastify();
    app.addHook('onRequest', async (_request, reply) => {
      reply.header('x-frame-options', 'DENY').header('set-cookie', ['a=1', 'b=2']);
      reply.raw.setHeader('x-raw', 'kept');
    });
    app.register(fastifyGateway(gateway), { prefix: '/llm' });
    const response = await ask(await onApp(app, '/llm'));
    expect(response.status).toBe(200);
    expect(response.headers.get('x-frame-options')).toBe('DENY');
    expect(response.headers.get('x-raw')).toBe('kept');
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
  });

  it("leaves the application's own parsers, limits and error handler to its own routes", async () => {
    const app = fastify({ bodyLimit: 32 });
    app.setErrorHandler((_error, _request, reply) => reply.code(418).send('of the application'));
    app.register(fastifyGateway(gateway), { prefix: '/llm' });
    app.post('/own', async (request) => request.body);
    const mounted = await onApp(app, '/llm');
    const own = (body: string) =>
      fetch(new URL('/own', mounted.url), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      });
    expect(await (await own('{"a":1}')).json()).toEqual({ a: 1 });
    expect((await own(asked)).status).toBe(418);
    expect((await ask(mounted)).status).toBe(200);
  });

  it('is not reached by a request that a hook of the application rejects', async () => {
    const app = fastify();
    app.addHook('preHandler', async (request, reply) => {
      if (request.headers.cookie !== 'session=a') return reply.code(403).send('not you');
    });
    app.register(fastifyGateway(gateway), { prefix: '/llm' });
    const mounted = await onApp(app, '/llm');
    for (const type of ['application/json', 'no type at all', '']) {
      const response = await ask(mounted, { headers: { ...headers, 'content-type': type } });
      expect(response.status, type).toBeGreaterThanOrEqual(400);
    }
    expect(provider.requests).toEqual([]);
    expect((await ask(mounted, { headers: { ...headers, cookie: 'session=a' } })).status).toBe(200);
  });

  it('serves under a prefix with parameters, a deeper one, and in any case', async () => {
    const app = fastify({ routerOptions: { caseSensitive: false } });
    app.register(async (inner) => inner.register(fastifyGateway(gateway), { prefix: '/v2/' }), {
      prefix: '/:tenant/llm',
    });
    const mounted = await onApp(app, '');
    for (const prefix of ['/one/llm/v2', '/a%2Fb/LLM/v2']) {
      const response = await mounted.send(`${prefix}/v1/models/${model}?a=/b`, { headers });
      expect(await response.json()).toMatchObject({ id: model });
    }
  });

  it('shows the sent URL to a log of requests', async () => {
    const urls: string[] = [];
    const app = fastify();
    const logged = new Promise<void>((resolve) => {
      app.addHook('onResponse', async (request) => {
        urls.push(request.url, request.originalUrl);
        resolve();
      });
    });
    app.register(fastifyGateway(gateway), { prefix: '/llm' });
    await (await ask(await onApp(app, '/llm'))).text();
    await logged;
    expect(urls).toEqual(['/llm/v1/chat/completions', '/llm/v1/chat/completions']);
  });
});

describe('in a Hono application', () => {
  const ways: Record<string, () => Hono> = {
    route: () => new Hono().route('/llm', gateway),
    mount: () => new Hono().mount('/llm', gateway.fetch),
  };
  it.each(Object.entries(ways))('by %s(), on Node', async (_, build) => {
    const server = serve({ fetch: build().fetch, port: 0, hostname: '127.0.0.1' }) as Server;
    await once(server, 'listening');
    const mounted = overSockets(`${urlOf(server)}/llm`, () => closed(server));
    opened.push(mounted);
    expect((await ask(mounted)).status).toBe(200);
    const body = new FormData();
    body.set('model', model);
    body.set('file', new File([new Uint8Array(1_000_000)], 'x.wav'));
    const { authorization = '' } = headers;
    const init = { method: 'POST', headers: { authorization }, body };
    expect(await (await mounted.send('/v1/audio/transcriptions', init)).json()).toEqual({ text: 'heard' });
    expect(provider.requests.at(-1)?.body.length).toBeGreaterThan(1_000_000);
  });
});
