/**
 * A Fastify application: the session selects the team, and so the key. The browser cannot select another one.
 *
 * Needs `"type": "module"` in your package.json, and:
 *
 *     npm install team-model-router openai fastify && npm install --save-dev tsx
 */
import { Readable } from 'node:stream';
import fastify, { type FastifyInstance } from 'fastify';
import OpenAI from 'openai';
import { isRouterError, type TeamModelRouter } from 'team-model-router';
import { type AzureSettings, modelName, saveAzureModel } from './settings.ts';

declare module 'fastify' {
  interface FastifyRequest {
    teamId: string;
    /** The OpenAI client of the session's team. */
    openai: OpenAI;
  }
}

const chatBody = { type: 'object', required: ['question'], properties: { question: { type: 'string' } } };

/** @param teamOf the application's own session: from the cookie to the team, or `undefined` if nobody is logged in */
export function makeApp(
  router: TeamModelRouter,
  teamOf: (cookie: string | undefined) => string | undefined,
): FastifyInstance {
  const app = fastify();

  app.addHook('onRequest', async (request, reply) => {
    const teamId = teamOf(request.headers.cookie);
    if (teamId === undefined) return reply.code(401).send({ error: 'not logged in' });
    request.teamId = teamId;
    request.openai = router.forTeam(teamId);
  });

  app.post<{ Body: { question: string } }>(
    '/chat',
    { schema: { body: chatBody } },
    async (request, reply) => {
      // Ends the provider's call when the browser leaves.
      const left = new AbortController();
      reply.raw.on('close', () => left.abort());
      const stream = await request.openai.chat.completions.create(
        { model: modelName, messages: [{ role: 'user', content: request.body.question }], stream: true },
        { signal: left.signal },
      );
      async function* texts() {
        for await (const chunk of stream) yield chunk.choices[0]?.delta.content ?? '';
      }
      // Fastify waits for a slow browser, and breaks the answer off if the provider does.
      return reply.type('text/plain').send(Readable.from(texts(), { objectMode: false }));
    },
  );

  app.put<{ Body: AzureSettings }>('/settings/azure', async (request, reply) => {
    const result = await saveAzureModel(router, request.teamId, request.body ?? {});
    return reply.code(result.saved ? 200 : 422).send(result);
  });

  app.setErrorHandler((error, _request, reply) => {
    // The router's own errors, and what a provider refused, as the client throws it.
    if (!(isRouterError(error) || error instanceof OpenAI.APIError)) throw error;
    return reply.code(error.status ?? 502).send({ error: error.message, code: error.code });
  });
  return app;
}
