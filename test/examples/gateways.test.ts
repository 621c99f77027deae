import type { RequestListener } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeApp as makeExpressApp, type Session } from '../../examples/gateway-express.ts';
import { makeApp as makeFastifyApp } from '../../examples/gateway-fastify.ts';
import { makeApp as makeHonoApp } from '../../examples/gateway-hono.ts';
import { closed, listen, type Mounted, overSockets, urlOf } from '../support/gateway-mounts.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const sessions = new Map<string | undefined, Session>([
  ['session=admin-of-a', { userId: 'ann', teamId: 'acme', admin: true }],
  ['session=user-of-a', { userId: 'ben', teamId: 'acme', admin: false }],
  ['session=user-of-b', { userId: 'eve', teamId: 'globex', admin: false }],
]);

interface Example {
  start: (router: TeamModelRouter) => Promise<Mounted>;
  /** How a request carries its session. */
  headersOf: (session: string) => Record<string, string>;
}

const withCookie = (session: string) => ({ cookie: session });

async function overNode(listener: RequestListener): Promise<Mounted> {
  const server = await listen(listener);
  return overSockets(urlOf(server), () => closed(server));
}

const examples: Record<string, Example> = {
  'gateway-express': {
    start: (router) => overNode(makeExpressApp(router, (cookie) => sessions.get(cookie))),
    headersOf: withCookie,
  },
  'gateway-fastify': {
    async start(router) {
      const app = makeFastifyApp(router, (cookie) => sessions.get(cookie));
      const url = await app.listen({ host: '127.0.0.1', port: 0 });
      return overSockets(url, () => app.close());
    },
    headersOf: withCookie,
  },
  'gateway-hono': {
    start(router) {
      const app = makeHonoApp(router, async (token) => {
        const session = sessions.get(token);
        if (session === undefined) throw new Error('a forged token');
        return session;
      });
      return overNode(getRequestListener(app.fetch, { overrideGlobalObjects: false }));
    },
    headersOf: (session) => ({ authorization: `Bearer ${session}` }),
  },
};

describe.each(Object.entries(examples))('examples/%s', (_, { start, headersOf }) => {
  let provider: RecordingProvider;
  let router: TeamModelRouter;
  let app: Mounted;

  beforeAll(async () => {
    provider = await recordingProvider();
    router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [provider.url] },
    });
    app = await start(router);
  });
  afterAll(async () => {
    await app.close();
    await router.close({ drainTimeoutMs: 0 });
    await provider.close();
  });

  const addModel = (session: string) =>
    app.send('/llm/model/new', {
      method: 'POST',
      headers: { ...headersOf(session), 'content-type': 'application/json' },
      body: JSON.stringify({
        model_name: 'assistant',
        litellm_params: { model: 'gpt-4o', api_key: 'sk-acme-0123456789abcdef', api_base: provider.url },
      }),
    });
  const clientOf = (session: string) =>
    new OpenAI({
      baseURL: `${app.url}/llm/v1`,
      apiKey: 'none',
      maxRetries: 0,
      defaultHeaders: { authorization: null, ...headersOf(session) },
    });
  const messages = [{ role: 'user' as const, content: 'Hello' }];

  it('rejects a request without a session', async () => {
    for (const session of ['', 'session=forged']) {
      const response = await app.send('/llm/v1/models', { headers: headersOf(session) });
      expect(response.status).toBe(401);
    }
    expect(await (await app.send('/')).text()).toBe('The application');
  });

  it("lets an admin add the team's model, and no other user", async () => {
    expect((await addModel('session=user-of-a')).status).toBe(403);
    const made = await addModel('session=admin-of-a');
    expect(made.status).toBe(200);
    expect(await made.json()).toMatchObject({ created_by: 'ann', model_info: { team_id: 'acme' } });
  });

  it("answers every user of the team, with the team's key", async () => {
    for (const session of ['session=user-of-a', 'session=admin-of-a']) {
      const stream = await clientOf(session).chat.completions.create({
        model: 'assistant',
        messages,
        stream: true,
      });
      let text = '';
      for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
      expect(text).toBe('Hello there');
      expect(provider.requests.at(-1)?.headers.authorization).toBe('Bearer sk-acme-0123456789abcdef');
      expect(provider.requests.at(-1)?.headers.cookie).toBeUndefined();
    }
  });

  it('knows nothing of it for a user of another team', async () => {
    const called = clientOf('session=user-of-b').chat.completions.create({ model: 'assistant', messages });
    await expect(called).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    expect((await clientOf('session=user-of-b').models.list()).data).toEqual([]);
  });
});
