import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { routePath } from 'hono/route';
import type { Answer } from '../calls/answer.ts';
import { matchEndpoint, refusedCall } from '../calls/endpoints/match.ts';
import { RouterError } from '../errors.ts';
import { describeError, Log } from '../logger.ts';
import type { TeamModelRouter } from '../router.ts';
import { checkArgument } from '../schemas/parse.ts';
import type { Principal } from '../teams/principal.ts';
import { followConnection } from './adapters/pipelined.ts';
import { createKeyAuthenticator, createSessionAuthenticator } from './auth/authenticate.ts';
import { mayManage, type Permission, permitted } from './auth/permissions.ts';
import { RefusalLog } from './auth/refusal-log.ts';
import { createFastPath } from './fast-path.ts';
import { failure, jsonAnswer } from './messages/answers.ts';
import { attachFastPath, type NodeBindings } from './messages/bindings.ts';
import { identify, reply } from './messages/reply.ts';
import { headersOf } from './messages/request-headers.ts';
import { StallWatch } from './messages/stall-watch.ts';
import { type GatewayOptions, readGatewayOptions } from './options.ts';
import { answerCall, callMethods, callRoutes, isLeaving, permissionOf } from './routes/calls.ts';
import { liveness, livenessPaths, readiness, readinessPath } from './routes/health.ts';
import { absentRoute, movingOver } from './routes/litellm-names.ts';
import { manage } from './routes/manage.ts';
import { openApiDocument } from './routes/openapi.ts';
import { managementRoutes, methodsOf, openApiEntry, routeTable } from './routes/route-table.ts';
import { StaticRouteCache } from './static-route-cache.ts';

/** A Hono application: its `fetch` serves every web-standard runtime, and `app.route` mounts it in another one. */
export type Gateway = Hono<{ Bindings: NodeBindings }>;

/** The paths of management without parameters. */
const fixedPaths = new Set(managementRoutes.flatMap(({ paths }) => paths));

type GatewayContext = Context<{ Bindings: NodeBindings }>;

/** Where the request goes, without what the gateway is mounted under. */
type Work = (context: GatewayContext, path: string) => Answer | Promise<Answer>;

/**
 * The documented endpoints over a router: authenticate, parse, one method of the router, answer.
 *
 * @throws RouterError `invalid_request` that names the option at fault; without a master key of 32 characters or more
 * or an `authenticate` too
 *
 * @example
 * const gateway = createGateway(router, { masterKey });
 * const server = await serveGateway(gateway, { port: 4000 });
 */
export function createGateway(router: TeamModelRouter, options: GatewayOptions): Gateway {
  checkArgument(
    'router',
    router,
    ['dispatch', 'verifyKey'],
    'a TeamModelRouter, as in createGateway(router, { masterKey })',
  );
  const { basePath, bodyLimit, bodyIdleMs, openapi, logger, masterKey, authenticate } =
    readGatewayOptions(options);
  const stalls = new StallWatch(bodyIdleMs);
  const log = new Log(logger);
  const authenticateKey = createKeyAuthenticator(router, masterKey);
  const session =
    authenticate === undefined ? undefined : createSessionAuthenticator(authenticate, masterKey, log);
  const listed = methodsOf(openapi ? [...routeTable, openApiEntry] : routeTable);
  const allowed = (path: string) => [...new Set([...listed(path), ...callMethods(path)])];
  const ready = readiness(router);
  const managed = manage(router, stalls);
  const app: Gateway = new Hono<{ Bindings: NodeBindings }>({
    router: new StaticRouteCache(),
    strict: false,
  });
  const refusals = new RefusalLog(log);
  const failed = (error: unknown, bindings?: NodeBindings): Answer => {
    refusals.note(error, bindings);
    const foreseen = RouterError.isInstance(error) || isLeaving(error);
    const answer = failure(error);
    const requestId = identify(answer.headers);
    if (!foreseen)
      log.write('error', { requestId, error: describeError(error) }, 'request could not be handled');
    return answer;
  };
  app.notFound(({ req, env }) => reply(failure(noRoute(req.method, req.path)), env ?? {}));
  // Whatever escapes the handlers below: Hono's own would print it.
  app.onError((error, { env }) => reply(failed(error, env), env ?? {}));
  const gateway = basePath === undefined ? app : app.basePath(basePath);
  if (options.cors !== undefined) gateway.use('*', cors(options.cors));

  /** Whatever happens, the answer is one of ours. */
  const answer = (pattern: string, work: Work) => async (context: GatewayContext) => {
    const { incoming, outgoing, direct } = context.env ?? {};
    if (direct !== true && incoming !== undefined && outgoing !== undefined) {
      // A Hono application on Node. `nodeListener` has done this for its own requests.
      const turn = followConnection(incoming, outgoing);
      if (turn !== undefined) await turn;
      if (outgoing.destroyed) return new Response();
    }
    let answered: Answer;
    try {
      answered = await work(context, pathUnder(context, pattern));
    } catch (error) {
      answered = failed(error, context.env);
    }
    const extra = options.cors === undefined ? undefined : Object.fromEntries(context.res.headers);
    return reply(answered, context.env ?? {}, extra);
  };
  const on = (method: string, path: string, work: Work) => {
    const pattern = path.replace(/\{(\w+)\}/g, ':$1');
    gateway.on(method, pattern, answer(pattern, work));
  };
  const admit = (context: GatewayContext, permission: Permission): Principal | Promise<Principal> => {
    const env = context.env ?? {};
    // CORS may be the application's, who has written to its own answer.
    const answered = (name: string) => context.res.headers.get(name) ?? env.outgoing?.getHeader(name);
    const { raw } = context.req;
    const principal = session?.(raw, env, answered) ?? authenticateKey(headersOf(raw, env));
    return principal instanceof Promise
      ? principal.then((found) => permitted(found, permission))
      : permitted(principal, permission);
  };

  const call =
    (method: string, permission: Permission): Work =>
    async (context, path) => {
      const { raw } = context.req;
      // Hono takes it to the same handler: the provider would be asked, and its answer thrown away.
      if (raw.method === 'HEAD' && permission === 'calls') return unknownRoute('HEAD', path, allowed);
      const principal = await admit(context, permission);
      const request = { method, path: withoutSlash(path), raw, bindings: context.env ?? {} };
      return answerCall(router, principal, request, { bodyLimit, stalls });
    };
  for (const { method, paths, permission } of callRoutes) {
    for (const path of paths) on(method, path, call(method, permission));
  }
  for (const route of managementRoutes) {
    for (const path of route.paths) {
      on(route.method, path, async (context, sent) => {
        const given = withoutSlash(sent);
        // `/model/{id}` matches `/model/delete` as well, which is another route.
        if (path !== given && fixedPaths.has(given)) return unknownRoute(route.method, given, allowed);
        const principal = await admit(context, route.permission);
        return managed(route, principal, context.req, context.env ?? {});
      });
    }
  }
  for (const path of livenessPaths) on('GET', path, liveness);
  on('GET', readinessPath, ({ env }) => ready(env?.draining?.() ?? false));
  if (openapi) {
    const document = openApiDocument(basePath);
    on(openApiEntry.method, openApiEntry.path, () => jsonAnswer(200, document));
  }
  // Serves the other paths of Azure's clients, and model names with an unencoded slash.
  gateway.all(
    '*',
    answer('/*', async (context, path) => {
      const { method } = context.req;
      if (refusedCall(method, path) !== undefined)
        throw refusedCall(method, path, mayManage(await admit(context, 'names')));
      const match = matchEndpoint(method === 'HEAD' ? 'GET' : method, path);
      if (match === undefined || 'allow' in match) return unknownRoute(method, path, allowed);
      return call(match.endpoint.method, permissionOf(match.endpoint))(context, path);
    }),
  );
  // Whom the application says is calling, and what CORS adds, is asked on Hono's way.
  if (session === undefined && options.cors === undefined)
    attachFastPath(
      app.fetch,
      createFastPath(router, { basePath, bodyLimit, stalls, authenticateKey, failed }),
    );
  return app;
}

/** The path as it was sent, percent-encoded, without what the gateway is mounted under. */
function pathUnder(context: GatewayContext, pattern: string): string {
  const { url } = context.req.raw;
  const start = url.indexOf('/', url.indexOf('://') + 3);
  const length = url.slice(start).search(/[?#]/);
  const path = length === -1 ? url.slice(start) : url.slice(start, start + length);
  // Nearly every call; how it was written counts, and not what Hono has decoded.
  if (path === pattern) return path;
  const matched = routePath(context);
  if (matched === pattern) return path;
  // In segments: how many characters a prefix has is the caller's to choose.
  const under = matched.split('/').length - pattern.split('/').length;
  return under === 0
    ? path
    : `/${path
        .split('/')
        .slice(under + 1)
        .join('/')}`;
}

function withoutSlash(path: string): string {
  return path.replace(/\/$/, '');
}

function noRoute(method: string, path: string): RouterError {
  const topic = absentRoute(path);
  const hint =
    topic === undefined ? '' : ` LiteLLM's route for ${topic} is not served here. See ${movingOver}.`;
  return new RouterError('not_found', `There is no ${quoted(method, path)}.${hint}`);
}

function unknownRoute(method: string, path: string, allowed: (path: string) => string[]): Answer {
  const allow = allowed(path).join(', ');
  if (allow === '') throw noRoute(method, path);
  const message = `There is no ${quoted(method, path)}. This path takes ${allow}.`;
  const answered = failure(new RouterError('method_not_allowed', message));
  return { ...answered, headers: { ...answered.headers, allow } };
}

function quoted(method: string, path: string): string {
  return `${method.slice(0, 32)} ${path.slice(0, 256)}`;
}
