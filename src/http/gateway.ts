import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { routePath } from 'hono/route';
import type { Answer } from '../calls/answer.ts';
import { toResponse } from '../calls/response.ts';
import { RouterError } from '../errors.ts';
import type { TeamModelRouter } from '../router.ts';
import { failure, jsonAnswer } from './answers.ts';
import { type AuthenticationOptions, authenticator } from './authenticate.ts';
import type { NodeBindings } from './bindings.ts';
import { liveness, livenessPaths, readiness, readinessPath } from './health.ts';
import { manage } from './manage.ts';
import { answerCall, callRoutes } from './openai.ts';
import { openApiDocument } from './openapi.ts';
import { type Credential, checkPermission, type Permission } from './permissions.ts';
import { reply } from './reply.ts';
import { allowedMethods, managementRoutes, openApiPath } from './surface.ts';

export interface GatewayOptions extends AuthenticationOptions {
  /** A path that everything stands under, such as `/llm`, where nobody takes it off before. */
  basePath?: string | undefined;
  /** Bytes that the body of a call may have. Default 268 435 456 (256 MiB); a management body may have 1 MiB. */
  bodyLimit?: number | undefined;
  /** Which foreign pages may call: the options of Hono's CORS middleware. Default: none. */
  cors?: Parameters<typeof cors>[0];
  /** Whether `GET /openapi.json` describes the gateway. Default: no. */
  openapi?: boolean | undefined;
}

/** A Hono application: its `fetch` serves every web-standard runtime, and `app.route` mounts it in another one. */
export type Gateway = Hono<{ Bindings: NodeBindings }>;

type GatewayContext = Context<{ Bindings: NodeBindings }>;

/** Where the request goes, without what the gateway is mounted under. */
type Work = (context: GatewayContext, path: string) => Answer | Promise<Answer>;

/**
 * The documented endpoints over a router: authenticate, parse, one method of the router, answer.
 *
 * @throws RouterError `invalid_request` without a master key of 32 characters or more or an `authenticate`
 *
 * @example
 * const gateway = createGateway(router, { masterKey });
 * const server = await serveGateway(gateway, { port: 4000 });
 */
export function createGateway(router: TeamModelRouter, options: GatewayOptions): Gateway {
  const authenticate = authenticator(router, options);
  const { bodyLimit = 268_435_456 } = options;
  const ready = readiness(router);
  const managed = manage(router);
  const app: Gateway = new Hono<{ Bindings: NodeBindings }>();
  const gateway = options.basePath === undefined ? app : app.basePath(options.basePath);
  // Whatever escapes the handlers below: Hono's own would print it.
  app.onError((error) => toResponse(failure(error)));
  if (options.cors !== undefined) gateway.use('*', cors(options.cors));

  /** Whatever happens, the answer is one of ours. */
  const answer = (pattern: string, work: Work) => async (context: GatewayContext) => {
    let answered: Answer;
    try {
      answered = await work(context, pathUnder(context, pattern));
    } catch (error) {
      answered = failure(error);
    }
    const extra = options.cors === undefined ? {} : Object.fromEntries(context.res.headers);
    return reply(answered, context.env ?? {}, extra);
  };
  const on = (method: string, path: string, work: Work) => {
    const pattern = path.replace(/\{(\w+)\}/g, ':$1');
    gateway.on(method, pattern, answer(pattern, work));
  };
  const admit = async (context: GatewayContext, permission: Permission): Promise<Credential> => {
    const credential = await authenticate(context.req.raw, context.env ?? {});
    checkPermission(credential, permission);
    return credential;
  };

  for (const { method, paths, permission } of callRoutes) {
    for (const path of paths) {
      on(method, path, async (context, called) => {
        const credential = await admit(context, permission);
        const request = { method, path: called, raw: context.req.raw, bindings: context.env ?? {} };
        return answerCall(router, credential, request, bodyLimit);
      });
    }
  }
  for (const route of managementRoutes) {
    for (const path of route.paths) {
      on(route.method, path, async (context) => {
        const credential = await admit(context, route.permission);
        return managed(route, credential, context.req, context.env ?? {});
      });
    }
  }
  for (const path of livenessPaths) on('GET', path, liveness);
  on('GET', readinessPath, ({ env }) => ready(env?.draining?.() ?? false));
  if (options.openapi) {
    const document = jsonAnswer(200, openApiDocument());
    on('GET', openApiPath, () => document);
  }
  gateway.all(
    '*',
    answer('/*', ({ req }, path) => unknownRoute(req.method, path)),
  );
  return app;
}

/** The path as it was sent, percent-encoded, without what the gateway is mounted under. */
function pathUnder(context: GatewayContext, pattern: string): string {
  const { url } = context.req.raw;
  const start = url.indexOf('/', url.indexOf('://') + 3);
  const end = url.indexOf('?', start);
  const path = url.slice(start, end === -1 ? undefined : end);
  return path.slice(routePath(context).length - pattern.length);
}

function unknownRoute(method: string, path: string): Answer {
  const shown = `${method} ${path.slice(0, 256)}`;
  const allowed = allowedMethods(path);
  if (allowed.length === 0) throw new RouterError('not_found', `There is no ${shown}.`);
  const message = `There is no ${shown}. This path takes ${allowed.join(', ')}.`;
  const answered = failure(new RouterError('method_not_allowed', message));
  return { ...answered, headers: { ...answered.headers, allow: allowed.join(', ') } };
}
