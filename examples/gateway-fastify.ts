/**
 * The gateway inside a Fastify application. OpenAI clients of the browser or of scripts call `/llm/v1`, and the session of the
 * application selects the team.
 *
 * Needs `"type": "module"` in your package.json, `gateway-express.ts` (for a type), and:
 *
 *     npm install team-model-router openai hono @hono/node-server fastify && npm install --save-dev tsx
 */
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { fastifyGateway } from 'team-model-router/http/fastify';
import type { Session } from './gateway-express.ts';

declare module 'fastify' {
  interface FastifyRequest {
    user: Session | undefined;
  }
}

/** @param sessionOf stands for the application's own session plugin, such as @fastify/session */
export function makeApp(
  router: TeamModelRouter,
  sessionOf: (cookie: string | undefined) => Session | undefined,
): FastifyInstance {
  const gateway = createGateway(router, {
    authenticate(_request, context) {
      const { user } = context.fastify as FastifyRequest;
      if (user === undefined) return undefined;
      const { teamId, userId, admin } = user;
      return { teamId, userId, keyType: admin ? 'default' : 'llm_api' };
    },
  });
  const app = fastify();
  app.decorateRequest('user');
  app.addHook('onRequest', async (request) => {
    request.user = sessionOf(request.headers.cookie);
  });
  app.register(fastifyGateway(gateway), { prefix: '/llm' });
  app.get('/', async () => 'The application');
  return app;
}
