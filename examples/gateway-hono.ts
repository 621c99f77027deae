/**
 * The gateway inside a Hono application, for any runtime with a standard `fetch` handler: `export default makeApp(...)`. A token
 * of the application, such as a JWT, selects the team.
 *
 * Needs `"type": "module"` in your package.json, `gateway-express.ts` (for a type), and:
 *
 *     npm install team-model-router openai hono @hono/node-server && npm install --save-dev tsx
 */
import { Hono } from 'hono';
import type { TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import type { Session } from './gateway-express.ts';

/** @param verify stands for the application's own check of a token; it may throw */
export function makeApp(
  router: TeamModelRouter,
  verify: (token: string) => Promise<Session | undefined>,
): Hono {
  const gateway = createGateway(router, {
    async authenticate(request) {
      const token = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '')?.[1];
      const session = token && (await verify(token));
      if (!session) return undefined;
      const { teamId, userId, admin } = session;
      return { teamId, userId, keyType: admin ? 'default' : 'llm_api' };
    },
  });
  const app = new Hono();
  app.route('/llm', gateway);
  app.get('/', (context) => context.text('The application'));
  return app;
}
