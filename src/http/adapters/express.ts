import type { IncomingMessage, ServerResponse } from 'node:http';
import { type GatewayLike, nodeListener } from './node.ts';

/**
 * The gateway as a handler of Express, before or behind its body parsers. `express.json()` keeps no body as it
 * came: have it keep `rawBody` (`verify: (request, _, buffer) => { request.rawBody = buffer }`), or what it parsed is
 * written again, with numbers rounded and duplicate keys gone.
 *
 * @example
 * ```ts
 * const app = express();
 * app.use('/llm', expressGateway(gateway));
 * ```
 */
export function expressGateway(
  gateway: GatewayLike,
): (request: IncomingMessage, response: ServerResponse, next?: unknown) => Promise<void> {
  const listener = nodeListener(gateway);
  // Express has taken the mount's path off the URL already.
  return (request, response) => listener(request, response);
}
