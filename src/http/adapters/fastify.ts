import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { RouterError } from '../../errors.ts';
import { type GatewayLike, nodeListener } from './node.ts';
import { listenForUpgrades } from './upgrades.ts';

/**
 * The members of a Fastify instance that the plugin uses.
 *
 * @example
 * ```ts
 * const plugin: (instance: FastifyLike) => Promise<void> = fastifyGateway(gateway);
 * ```
 */
export interface FastifyLike {
  prefix: string;
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(type: string, parser: () => Promise<unknown>): unknown;
  setErrorHandler(
    handler: (error: unknown, request: FastifyRequestLike, reply: FastifyReplyLike) => unknown,
  ): unknown;
  all(
    path: string,
    options: object,
    handler: (request: FastifyRequestLike, reply: FastifyReplyLike) => void,
  ): unknown;
}

/**
 * The members of a Fastify request that the plugin uses.
 *
 * @example
 * ```ts
 * const pathOf = ({ raw }: FastifyRequestLike) => raw.url;
 * ```
 */
export interface FastifyRequestLike {
  raw: IncomingMessage;
}

/**
 * The members of a Fastify reply that the plugin uses.
 *
 * @example
 * ```ts
 * const isSent = ({ raw }: FastifyReplyLike) => raw.headersSent;
 * ```
 */
export interface FastifyReplyLike {
  raw: ServerResponse;
  hijack(): unknown;
  getHeaders(): Record<string, number | string | string[] | undefined>;
  code(status: number): { send(body: object): unknown };
}

/**
 * Creates a Fastify plugin of the gateway. Fastify's body parsers do not run for the gateway's requests.
 *
 * @example
 * ```ts
 * const app = Fastify();
 * await app.register(fastifyGateway(gateway), { prefix: '/llm' });
 * ```
 */
export function fastifyGateway(gateway: GatewayLike): (instance: FastifyLike) => Promise<void> {
  const listener = nodeListener(gateway);
  return async (instance) => {
    const depth = instance.prefix.split('/').filter(Boolean).length;
    const handler = (request: FastifyRequestLike, reply: FastifyReplyLike) => {
      reply.hijack();
      // The gateway bypasses Fastify's reply, so headers that hooks have set are copied here.
      for (const [name, value] of Object.entries(reply.getHeaders())) {
        if (value !== undefined) reply.raw.setHeader(name, value);
      }
      const { raw } = request;
      const { url } = raw;
      raw.url = withoutPrefix(url ?? '/', depth);
      void listener(raw, reply.raw, { fastify: request });
      // Restores the URL after the gateway has read it, so that later readers, such as a log, see the URL that
      // was sent.
      if (url !== undefined) raw.url = url;
    };
    const { server, addHook } = instance as FastifyLike & { server?: Server; addHook?: AddHook };
    if (server !== undefined) {
      const upgrades = listenForUpgrades(server, gateway.fetch, depth);
      addHook?.call(instance, 'preClose', (done) => {
        upgrades.end();
        done();
      });
    }
    instance.removeAllContentTypeParsers();
    instance.addContentTypeParser('*', async () => {});
    instance.setErrorHandler((error, _request, reply) => {
      if (!isContentTypeError(error)) throw error;
      const refusal = new RouterError('invalid_request', 'content-type: malformed.', {
        param: 'content-type',
      });
      return reply.code(refusal.status).send(refusal.toJSON());
    });
    // The gateway has its own limits.
    const options = { bodyLimit: Number.MAX_SAFE_INTEGER };
    instance.all('/', options, handler);
    instance.all('/*', options, handler);
  };
}

type AddHook = (name: 'preClose', hook: (done: () => void) => void) => unknown;

/** Removes the prefix that Fastify keeps in the URL. Counts segments, because some may be parameters. */
function withoutPrefix(url: string, depth: number): string {
  const queryStart = url.indexOf('?');
  const path = queryStart === -1 ? url : url.slice(0, queryStart);
  const rest = path.split('/').slice(depth + 1);
  return `/${rest.join('/')}${url.slice(path.length)}`;
}

/** Returns whether Fastify rejected a content type, before its hooks after the body. */
function isContentTypeError(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE';
}
