import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { routePath } from 'hono/route';
import type { Answer } from '../calls/answer.ts';
import { matchEndpoint, refusedCall } from '../calls/endpoints/match.ts';
import { administrativeCall, unknownCall } from '../calls/endpoints/unknown.ts';
import { RouterError } from '../errors.ts';
import { Log } from '../logger.ts';
import type { TeamModelRouter } from '../router.ts';
import { checkArgument } from '../schemas/parse.ts';
import { matchSession } from '../sessions/paths.ts';
import type { Principal } from '../teams/principal.ts';
import { followConnection } from './adapters/pipelined.ts';
import { createKeyAuthenticator, createSessionAuthenticator } from './auth/authenticate.ts';
import { mayManage, type Permission, permitted } from './auth/permissions.ts';
import { createFastPath } from './fast-path.ts';
import { failure, jsonAnswer } from './messages/answers.ts';
import { attachFastPath, attachUpgrade, type NodeBindings } from './messages/bindings.ts';
import { headersOf } from './messages/request-headers.ts';
import { Responder } from './messages/responder.ts';
import { StallWatch } from './messages/stall-watch.ts';
import { type GatewayOptions, readGatewayOptions } from './options.ts';
import { callMethods, callRoutes, permissionOf } from './routes/calls.ts';
import { liveness, livenessPaths, readiness, readinessPath } from './routes/health.ts';
import { absentRoute, movingOver } from './routes/litellm-names.ts';
import { manage } from './routes/manage.ts';
import { openApiDocument } from './routes/openapi.ts';
import { managementRoutes, methodsOf, openApiEntry, routeTable } from './routes/route-table.ts';
import { createServeCall } from './serve-call.ts';
import { standardSource } from './standard-source.ts';
import { StaticRouteCache } from './static-route-cache.ts';
import { createUpgrade } from './upgrade.ts';

/**
 * A Hono application. Its `fetch` serves every web-standard runtime, and `app.route` mounts it in another
 * application.
 *
 * @example
 * ```ts
 * const gateway: Gateway = createGateway(router, { masterKey });
 * const app = new Hono().route('/llm', gateway);
 * ```
 */
export type Gateway = Hono<{ Bindings: NodeBindings }>;

/** Management paths without parameters. */
const fixedPaths = new Set(managementRoutes.flatMap(({ paths }) => paths));

type GatewayContext = Context<{ Bindings: NodeBindings }>;

/** Handles a request. `path` excludes the mount path of the gateway. */
type Handler = (context: GatewayContext, path: string) => Response | Promise<Response>;
type Work = (context: GatewayContext, path: string) => Answer | Promise<Answer>;

/**
 * Creates the HTTP gateway of a router. It authenticates and parses each request, calls one method of the
 * router, and responds.
 *
 * @throws RouterError `invalid_request` that names the invalid option, or if neither a master key of 32
 * characters or more nor `authenticate` is set
 *
 * @example
 * ```ts
 * const gateway = createGateway(router, { masterKey });
 * const server = await serveGateway(gateway, { port: 4000 });
 * ```
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
  const responder = new Responder(log);
  const serveCall = createServeCall(router, responder, { bodyLimit, stalls });
  app.notFound(({ req, env }) => responder.respond(env ?? {}, () => failure(noRoute(req.method, req.path))));
  // Hono's default handler would print an error that escapes the handlers below.
  app.onError((error, { env }) =>
    responder.respond(env ?? {}, () => {
      throw error;
    }),
  );
  const gateway = basePath === undefined ? app : app.basePath(basePath);
  if (options.cors !== undefined) gateway.use('*', cors(options.cors));

  const extraHeaders = (context: GatewayContext) =>
    options.cors === undefined ? undefined : Object.fromEntries(context.res.headers);
  const route = (pattern: string, handle: Handler) => async (context: GatewayContext) => {
    const { incoming, outgoing, direct } = context.env ?? {};
    if (direct !== true && incoming !== undefined && outgoing !== undefined) {
      // For a Hono application on Node. `nodeListener` has done this for its own requests.
      const turn = followConnection(incoming, outgoing);
      if (turn !== undefined) await turn;
      if (outgoing.destroyed) return new Response();
    }
    return handle(context, pathUnder(context, pattern));
  };
  const answered =
    (work: Work): Handler =>
    (context, path) =>
      responder.respond(
        context.env ?? {},
        () => work(context, path),
        () => extraHeaders(context),
      );
  const on = (method: string, path: string, handle: Handler) => {
    const pattern = path.replace(/\{(\w+)\}/g, ':$1');
    gateway.on(method, pattern, route(pattern, handle));
  };
  const authenticated = (context: GatewayContext): Principal | Promise<Principal> => {
    const env = context.env ?? {};
    // An application's CORS middleware may have set its headers on the application's response.
    const sent = (name: string) => context.res.headers.get(name) ?? env.outgoing?.getHeader(name);
    const { raw } = context.req;
    return session?.(raw, env, sent) ?? authenticateKey(headersOf(raw, env));
  };
  const admit = async (context: GatewayContext, permission: Permission): Promise<Principal> =>
    permitted(await authenticated(context), permission);

  const call =
    (method: string, permission: Permission): Handler =>
    (context, path) => {
      // Hono would route it to the same handler, call the provider and discard the response.
      if (context.req.method === 'HEAD' && permission === 'calls')
        return answered(() => unknownRoute('HEAD', path, allowed))(context, path);
      return serveCall({
        ...standardSource(context.req.raw, context.env ?? {}),
        method,
        path: withoutSlash(path),
        permission,
        authenticate: () => authenticated(context),
        extraHeaders: () => extraHeaders(context),
      });
    };
  for (const { method, paths, permission } of callRoutes) {
    for (const path of paths) on(method, path, call(method, permission));
  }
  for (const route of managementRoutes) {
    for (const path of route.paths) {
      const handle: Work = async (context, sent) => {
        const given = withoutSlash(sent);
        // `/model/{id}` also matches `/model/delete`, which is another route.
        if (path !== given && fixedPaths.has(given)) return unknownRoute(route.method, given, allowed);
        const principal = await admit(context, route.permission);
        return managed(route, principal, context.req, context.env ?? {});
      };
      on(route.method, path, answered(handle));
    }
  }
  for (const path of livenessPaths) on('GET', path, answered(liveness));
  on(
    'GET',
    readinessPath,
    answered(({ env }) => ready(env?.draining?.() ?? false)),
  );
  if (openapi) {
    const document = openApiDocument(basePath);
    on(
      openApiEntry.method,
      openApiEntry.path,
      answered(() => jsonAnswer(200, document)),
    );
  }
  // Serves the other paths of Azure clients, and model names with an unencoded slash.
  const other: Handler = (context, path) => {
    const { method } = context.req;
    const match = matchEndpoint(method === 'HEAD' ? 'GET' : method, path);
    const isRefused = refusedCall(method, path) !== undefined;
    if (!isRefused && match !== undefined && 'endpoint' in match)
      return call(match.endpoint.method, permissionOf(match.endpoint))(context, path);
    const isSession = method === 'GET' && matchSession(path) !== undefined;
    if (!isRefused && !isSession && isForwarded(method, withoutSlash(path)) && allowed(path).length === 0)
      return call(method, 'calls')(context, path);
    return answered(async () => {
      if (isRefused) throw refusedCall(method, path, mayManage(await admit(context, 'names')));
      return unknownRoute(method, path, allowed);
    })(context, path);
  };
  gateway.all('*', route('/*', other));
  // With `authenticate` or CORS the application takes part in a request, so every call goes through Hono.
  if (session === undefined && options.cors === undefined)
    attachFastPath(app.fetch, createFastPath(serveCall, { basePath, bodyLimit, authenticateKey }));
  const invited = (origin: string) => invitesWithCookies(options.cors, origin);
  attachUpgrade(app.fetch, createUpgrade(router, { basePath, authenticateKey, session, responder, invited }));
  return app;
}

/** Returns whether the CORS options name an origin whose pages may call with cookies. */
function invitesWithCookies(cors: GatewayOptions['cors'], origin: string): boolean {
  if (cors?.credentials !== true) return false;
  return cors.origin === origin || (Array.isArray(cors.origin) && cors.origin.includes(origin));
}

/** Returns the path as sent, percent-encoded, without the mount path of the gateway. */
function pathUnder(context: GatewayContext, pattern: string): string {
  const { url } = context.req.raw;
  const start = url.indexOf('/', url.indexOf('://') + 3);
  const length = url.slice(start).search(/[?#]/);
  const path = length === -1 ? url.slice(start) : url.slice(start, start + length);
  // Compares the path as sent, because Hono decodes it.
  if (path === pattern) return path;
  const matched = routePath(context);
  if (matched === pattern) return path;
  // Counts segments, because the caller chooses how the characters of a prefix are encoded.
  const under = matched.split('/').length - pattern.split('/').length;
  return under === 0
    ? path
    : `/${path
        .split('/')
        .slice(under + 1)
        .join('/')}`;
}

/**
 * Returns whether the router is asked for a path that is no route. LiteLLM's other routes are refused here by name, and a
 * session's path is told to ask for an upgrade.
 */
function isForwarded(method: string, path: string): boolean {
  if (administrativeCall(method, path)?.code === 'permission_denied') return true;
  if (method === 'GET' && matchSession(path) !== undefined) return false;
  return unknownCall(method, path) !== undefined && absentRoute(path) === undefined;
}

function withoutSlash(path: string): string {
  return path.replace(/\/$/, '');
}

function noRoute(method: string, path: string): RouterError {
  const topic = absentRoute(path);
  const hint =
    topic === undefined ? '' : ` LiteLLM's route for ${topic} is not served here. See ${movingOver}.`;
  return new RouterError('not_found', `Route ${quoted(method, path)} not found.${hint}`);
}

function unknownRoute(method: string, path: string, allowed: (path: string) => string[]): Answer {
  const allow = allowed(path).join(', ');
  if (allow === '' && method === 'GET' && matchSession(path) !== undefined) return upgradeRequired();
  if (allow === '') throw noRoute(method, path);
  const message = `Route ${quoted(method, path)} not found. This path takes ${allow}.`;
  const answered = failure(new RouterError('method_not_allowed', message));
  return { ...answered, headers: { ...answered.headers, allow } };
}

function upgradeRequired(): Answer {
  const error = new RouterError('invalid_request', 'This path takes WebSockets only.');
  const answered = failure(error);
  return { ...answered, status: 426, headers: { ...answered.headers, upgrade: 'websocket' } };
}

function quoted(method: string, path: string): string {
  return `${method.slice(0, 32)} ${path.slice(0, 256)}`;
}
