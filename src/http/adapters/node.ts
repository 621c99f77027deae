import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { z } from 'zod';
import { errorAnswer } from '../../calls/answer.ts';
import { RouterError } from '../../errors.ts';
import { checkArgument, parseOptions } from '../../schemas/parse.ts';
import { fastPathOf, type NodeBindings } from '../messages/bindings.ts';
import { reply, withoutCopy } from '../messages/reply.ts';
import { answerServerErrors, hostMissing, lacksHost } from '../messages/server-errors.ts';
import { drain, OpenRequests, serverEnding } from './drain.ts';
import { followConnection } from './pipelined.ts';
import { listenForUpgrades } from './upgrades.ts';

export { socketOptions, type TeamSocketOptions } from './socket-options.ts';

/**
 * The part of a gateway that the mounts use: the `fetch` of `createGateway`.
 *
 * @example
 * ```ts
 * const gateway: GatewayLike = createGateway(router, { masterKey });
 * const server = await serveGateway(gateway);
 * ```
 */
export interface GatewayLike {
  fetch(request: Request, bindings?: object): Response | Promise<Response>;
}

/**
 * A request listener of `node:http`, for Express and Node's server.
 *
 * @example
 * ```ts
 * const listener: NodeListener = nodeListener(gateway);
 * createServer(listener).listen(4000);
 * ```
 */
export type NodeListener = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  more?: Pick<NodeBindings, 'fastify' | 'draining'>,
) => Promise<void>;

/**
 * Creates a `node:http` listener of the gateway.
 *
 * @example
 * ```ts
 * createServer(nodeListener(gateway)).listen(4000);
 * ```
 */
export function nodeListener(gateway: GatewayLike): NodeListener {
  checkArgument('gateway', gateway, ['fetch'], 'the result of createGateway');
  const listener = getRequestListener((request, { incoming, outgoing }) => {
    const more = (incoming as WithBindings)[moreKey];
    const { fastify, draining } = more ?? none;
    const bindings = { incoming, outgoing, direct: true, fastify, draining };
    const response = gateway.fetch(request as Request, bindings);
    if (incoming.method !== 'HEAD') return response;
    return response instanceof Promise ? response.then(withoutCopy) : withoutCopy(response);
  }, listening);
  const handle: NodeListener = (incoming, outgoing, more) => {
    const answered = fastPathOf(gateway.fetch)?.(incoming, outgoing);
    if (answered !== undefined) return answered;
    if (more !== undefined) (incoming as WithBindings)[moreKey] = more;
    return listener(incoming, outgoing);
  };
  return (incoming, outgoing, more) => {
    const turn = followConnection(incoming, outgoing);
    if (turn === undefined) return handle(incoming, outgoing, more);
    const { url } = incoming;
    return turn.then(() => {
      if (outgoing.destroyed) return;
      // A mount restores the request's URL after it has called the listener.
      const { url: mounted } = incoming;
      if (url !== undefined) incoming.url = url;
      const handled = handle(incoming, outgoing, more);
      if (mounted !== undefined) incoming.url = mounted;
      return handled;
    });
  };
}

/**
 * Has a server of `node:http` open the gateway's WebSocket sessions, such as the one of Express. `serveGateway` and the
 * Fastify plugin do this themselves. Sessions end with close code 1001 when `end` is called.
 *
 * @param options `mountPath`: the path that the gateway is mounted under, such as `/llm`
 *
 * @example
 * ```ts
 * const server = app.use('/llm', expressGateway(gateway)).listen(4000);
 * attachWebSockets(server, gateway, { mountPath: '/llm' });
 * ```
 */
export function attachWebSockets(
  server: Server,
  gateway: GatewayLike,
  options: { mountPath?: string } = {},
): { end(): void } {
  checkArgument('server', server, ['on', 'listenerCount'], 'a server of node:http');
  checkArgument('gateway', gateway, ['fetch'], 'what createGateway returns');
  const { mountPath = '' } = options;
  return listenForUpgrades(server, gateway.fetch, mountPath.split('/').filter(Boolean).length);
}

const none: Pick<NodeBindings, 'fastify' | 'draining'> = {};

/** Key of the bindings that a mount attaches to Node's request. */
const moreKey = Symbol('team-model-router.bindings');
type WithBindings = { [moreKey]?: Pick<NodeBindings, 'fastify' | 'draining'> | undefined };

/** Creates the listener. The application's global Request and Response stay unchanged. */
// A request without a host, or with an empty one, is legal in HTTP/1.0.
const listening = { overrideGlobalObjects: false, errorHandler: malformedRequest, hostname: 'localhost' };

/** Returns the response to a request line or a host that is not a valid URL. */
function malformedRequest(): Response {
  const error = new RouterError('invalid_request', 'Malformed request line or host.');
  const { status, headers, body } = errorAnswer(error);
  return reply({ status, headers, body }, {}) as Response;
}

/**
 * Options of `serveGateway`.
 *
 * @example
 * ```ts
 * const options: ServeOptions = { port: 4000, hostname: '0.0.0.0', drainTimeoutMs: 20_000 };
 * const server = await serveGateway(gateway, options);
 * ```
 */
export interface ServeOptions {
  /** Default 4000; 0 for any free port. */
  port?: number | undefined;
  /** Default `127.0.0.1`. */
  hostname?: string | undefined;
  /** Milliseconds that open calls may take after `close` is called. Default 25 000. */
  drainTimeoutMs?: number | undefined;
  /**
   * Milliseconds for which a connection may be idle between two requests. It must exceed the idle time of a
   * load balancer in front, which would otherwise send a request into a closing connection. Default 80 000.
   */
  keepAliveTimeoutMs?: number | undefined;
  /** Milliseconds in which the headers of a request have to arrive. Default 90 000. */
  headersTimeoutMs?: number | undefined;
  /**
   * Milliseconds in which a whole request has to arrive; 0: no limit, because the gateway's `bodyIdleMs` ends a
   * stalled body. Default 0.
   */
  requestTimeoutMs?: number | undefined;
}

const timeout = z.int().nonnegative().max(86_400_000);
const serveOptions = z.strictObject({
  port: z.int().min(0).max(65_535).default(4000),
  hostname: z.string().default('127.0.0.1'),
  drainTimeoutMs: timeout.default(25_000),
  keepAliveTimeoutMs: timeout.default(80_000),
  headersTimeoutMs: timeout.default(90_000),
  requestTimeoutMs: timeout.default(0),
});

function readServeOptions(given: ServeOptions) {
  return parseOptions(serveOptions, given);
}

/**
 * A gateway that listens on a port.
 *
 * @example
 * ```ts
 * const server: GatewayServer = await serveGateway(gateway, { port: 0 });
 * console.log(server.url);
 * await server.close();
 * ```
 */
export interface GatewayServer {
  port: number;
  hostname: string;
  /** `http://host:port`, without a trailing slash. */
  url: string;
  /**
   * Shuts down gracefully. Sets readiness to 503 and waits for open calls and streams. Calls that are open at
   * the deadline end with `draining`, streams with an error event. Then closes the port.
   */
  close(): Promise<void>;
}

/**
 * Serves a gateway on a port.
 *
 * @throws errors of `listen`, such as `EADDRINUSE`; RouterError `invalid_request` that names the invalid option
 *
 * @example
 * ```ts
 * const server = await serveGateway(createGateway(router, { masterKey }), { port: 4000 });
 * process.once('SIGTERM', () => void server.close().then(() => router.close()));
 * ```
 */
export async function serveGateway(gateway: GatewayLike, options: ServeOptions = {}): Promise<GatewayServer> {
  const { port, hostname, drainTimeoutMs, ...timeouts } = readServeOptions(options);
  const listener = nodeListener(gateway);
  let draining = false;
  const more = { draining: () => draining };
  const requests = new OpenRequests();
  const handle = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    requests.opened(outgoing);
    if (draining) outgoing.setHeader('connection', 'close');
    if (requests.ended) void reply(errorAnswer(serverEnding()), { outgoing, direct: true });
    else if (lacksHost(incoming)) void reply(hostMissing(), { outgoing, direct: true });
    else void listener(incoming, outgoing, more);
  };
  const server = createServer(
    {
      keepAliveTimeout: timeouts.keepAliveTimeoutMs,
      headersTimeout: timeouts.headersTimeoutMs,
      requestTimeout: timeouts.requestTimeoutMs,
      // Node would reject the request without the gateway's error body.
      requireHostHeader: false,
    },
    handle,
  );
  answerServerErrors(server, handle);
  const upgrades = listenForUpgrades(server, gateway.fetch, 0);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, hostname, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  let closed: Promise<void> | undefined;
  return {
    port: address.port,
    hostname,
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    close() {
      draining = true;
      upgrades.end();
      closed ??= drain(server, requests, drainTimeoutMs);
      return closed;
    },
  };
}
