import type { IncomingMessage, ServerResponse } from 'node:http';
import { type GatewayLike, nodeListener } from './node.ts';

/** What is used of a Fastify instance. */
export interface FastifyLike {
  prefix: string;
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(
    type: string,
    parser: (request: never, payload: never, done: (error: null) => void) => void,
  ): unknown;
  all(
    path: string,
    options: object,
    handler: (request: FastifyRequestLike, reply: FastifyReplyLike) => void,
  ): unknown;
}

export interface FastifyRequestLike {
  raw: IncomingMessage;
}

export interface FastifyReplyLike {
  raw: ServerResponse;
  hijack(): unknown;
}

/**
 * The gateway as a plugin of Fastify. Its own body parsers see nothing of the gateway's requests.
 *
 * @example
 * app.register(fastifyGateway(gateway), { prefix: '/llm' });
 */
export function fastifyGateway(gateway: GatewayLike): (instance: FastifyLike) => Promise<void> {
  const listener = nodeListener(gateway);
  return async (instance) => {
    const { prefix } = instance;
    const handler = (request: FastifyRequestLike, reply: FastifyReplyLike) => {
      reply.hijack();
      const { raw } = request;
      // Fastify leaves its prefix in the URL.
      if (raw.url?.startsWith(prefix)) raw.url = raw.url.slice(prefix.length) || '/';
      void listener(raw, reply.raw, { fastify: request });
    };
    instance.removeAllContentTypeParsers();
    instance.addContentTypeParser('*', (_request, _payload, done) => done(null));
    // The gateway has limits of its own.
    const options = { bodyLimit: Number.MAX_SAFE_INTEGER };
    instance.all('/', options, handler);
    instance.all('/*', options, handler);
  };
}
