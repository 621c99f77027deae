import type { IncomingMessage, ServerResponse } from 'node:http';
import { type GatewayLike, nodeListener } from './node.ts';

/**
 * Mounts the gateway in Express, before or after its body parsers. `express.json()` discards the bytes of a
 * body. Keep them as `rawBody` (`verify: (request, _, buffer) => { request.rawBody = buffer }`). Otherwise the
 * gateway writes the parsed body again, with rounded numbers and without duplicate keys.
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
  // Express has already removed the mount's path from the URL.
  return (request, response) => listener(request, response);
}
