import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { createLruCache } from '../../lru-cache.ts';

/** By authority. Routers of one process nearly always have the same one. */
const contexts = createLruCache<string, SecureContext>(8);

/**
 * Returns the TLS context that trusts the well-known authorities and `ca`, which is PEM.
 *
 * All connections share it, because each new context parses every root certificate, which blocks the process for 50 to
 * 75 ms (Node 20, November 2026).
 */
export function secureContextFor(ca: string): SecureContext {
  const known = contexts.get(ca);
  if (known !== undefined) return known;
  const context = createSecureContext({ ca: [...rootCertificates, ca] });
  contexts.set(ca, context);
  return context;
}
