import type { IncomingMessage, ServerResponse } from 'node:http';
import { RouterError } from '../../errors.ts';
import { type GatewayLike, nodeListener } from './node.ts';

/**
 * What is used of a Fastify instance.
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
 * The gateway as a plugin of Fastify. Its own body parsers see nothing of the gateway's requests.
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
      // What the application's hooks have set is Fastify's to send otherwise.
      for (const [name, value] of Object.entries(reply.getHeaders())) {
        if (value !== undefined) reply.raw.setHeader(name, value);
      }
      const { raw } = request;
      const { url } = raw;
      raw.url = withoutPrefix(url ?? '/', depth);
      void listener(raw, reply.raw, { fastify: request });
      // The gateway has read it: whoever looks at the request from here on, such as a log, sees what was sent.
      if (url !== undefined) raw.url = url;
    };
    instance.removeAllContentTypeParsers();
    instance.addContentTypeParser('*', async () => {});
    instance.setErrorHandler((error, _request, reply) => {
      if (!isContentTypeError(error)) throw error;
      const refusal = new RouterError('invalid_request', 'content-type: cannot be read', {
        param: 'content-type',
      });
      return reply.code(refusal.status).send(refusal.toJSON());
    });
    // The gateway has limits of its own.
    const options = { bodyLimit: Number.MAX_SAFE_INTEGER };
    instance.all('/', options, handler);
    instance.all('/*', options, handler);
  };
}

/** Fastify leaves its prefix in the URL, as many segments as it has: some may be parameters. */
function withoutPrefix(url: string, depth: number): string {
  const queryStart = url.indexOf('?');
  const path = queryStart === -1 ? url : url.slice(0, queryStart);
  const rest = path.split('/').slice(depth + 1);
  return `/${rest.join('/')}${url.slice(path.length)}`;
}

/** Fastify's own refusal of a content type, before any hook that comes after the body. */
function isContentTypeError(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE';
}
