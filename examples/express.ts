/**
 * An Express application: the session selects the team, and so the key. The browser cannot select another one.
 *
 * Needs `"type": "module"` in your package.json, and:
 *
 *     npm install team-model-router openai express && npm install --save-dev tsx @types/express
 */
import { pipeline } from 'node:stream/promises';
import express, { type ErrorRequestHandler, type Express } from 'express';
import OpenAI from 'openai';
import { isRouterError, type TeamModelRouter } from 'team-model-router';
import { modelName, saveAzureModel } from './settings.ts';

declare module 'express-serve-static-core' {
  interface Request {
    teamId: string;
    /** The OpenAI client of the session's team. */
    openai: OpenAI;
  }
}

/** @param teamOf the application's own session: from the cookie to the team, or `undefined` if nobody is logged in */
export function makeApp(
  router: TeamModelRouter,
  teamOf: (cookie: string | undefined) => string | undefined,
): Express {
  const app = express();
  app.use(express.json());

  app.use((request, response, next) => {
    const teamId = teamOf(request.headers.cookie);
    if (teamId === undefined) return void response.status(401).json({ error: 'not logged in' });
    request.teamId = teamId;
    request.openai = router.forTeam(teamId);
    next();
  });

  app.post('/chat', async (request, response) => {
    const question: unknown = request.body?.question;
    if (typeof question !== 'string')
      return void response.status(400).json({ error: 'question: is required.' });
    // Ends the provider's call when the browser leaves.
    const left = new AbortController();
    response.on('close', () => left.abort());
    const stream = await request.openai.chat.completions.create(
      { model: modelName, messages: [{ role: 'user', content: question }], stream: true },
      { signal: left.signal },
    );
    response.type('text/plain');
    // Waits for a slow browser, and breaks the answer off if the provider does.
    await pipeline(async function* () {
      for await (const chunk of stream) yield chunk.choices[0]?.delta.content ?? '';
    }, response);
  });

  app.put('/settings/azure', async (request, response) => {
    const result = await saveAzureModel(router, request.teamId, request.body ?? {});
    response.status(result.saved ? 200 : 422).json(result);
  });

  const onError: ErrorRequestHandler = (error, request, response, next) => {
    // The browser has left, maybe while it was sending: there is nobody to tell, and nothing went wrong here.
    if (request.readableAborted || response.closed || response.destroyed) return;
    // The router's own errors, what a provider refused, as the client throws it, and what a body parser refuses.
    const known = isRouterError(error) || error instanceof OpenAI.APIError || error.expose === true;
    if (response.headersSent || !known) return next(error);
    response.status(error.status ?? 502).json({ error: error.message, code: error.code });
  };
  app.use(onError);
  return app;
}
