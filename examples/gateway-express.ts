/**
 * The gateway inside an Express application. OpenAI clients of the browser or of scripts call `/llm/v1`, and the session of the
 * application selects the team.
 *
 * Needs `"type": "module"` in your package.json, and:
 *
 *     npm install team-model-router openai hono @hono/node-server express && npm install --save-dev tsx @types/express
 */
import type { IncomingMessage } from 'node:http';
import express, { type Express } from 'express';
import type { TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { expressGateway } from 'team-model-router/http/express';

export interface Session {
  userId: string;
  teamId: string;
  /** Whether this user may add and change the team's models. */
  admin: boolean;
}

declare module 'express-serve-static-core' {
  interface Request {
    session?: Session | undefined;
  }
}

/** @param sessionOf stands for the application's own session middleware, such as express-session */
export function makeApp(
  router: TeamModelRouter,
  sessionOf: (cookie: string | undefined) => Session | undefined,
): Express {
  const gateway = createGateway(router, {
    authenticate(_request, { incoming }) {
      const { session } = incoming as IncomingMessage & { session?: Session };
      if (session === undefined) return undefined;
      const { teamId, userId, admin } = session;
      return { teamId, userId, keyType: admin ? 'default' : 'llm_api' };
    },
  });
  const app = express();
  app.use((request, _response, next) => {
    request.session = sessionOf(request.headers.cookie);
    next();
  });
  // Before the body parsers: the gateway reads its bodies itself.
  app.use('/llm', expressGateway(gateway));
  app.use(express.json());
  app.get('/', (_request, response) => void response.send('The application'));
  return app;
}
