import { RouterError } from '../../errors.ts';

/**
 * Rejects a request that a browser sent for a page of another site. The browser adds the session's cookie, and
 * sends a form or a call without a body without a preflight. If CORS allows the page to read the response, the
 * request is allowed.
 *
 * @param answered reads the response headers that other handlers have set so far
 * @see https://www.w3.org/TR/fetch-metadata/
 * @throws RouterError `permission_denied`
 */
export function refuseCrossSite({ headers }: Request, answered: (header: string) => unknown): void {
  if (headers.get('sec-fetch-site') !== 'cross-site') return;
  const origin = answered('access-control-allow-origin');
  const invited = origin === '*' || (typeof origin === 'string' && origin === headers.get('origin'));
  const withCookies = !headers.has('cookie') || answered('access-control-allow-credentials') === 'true';
  if (invited && withCookies) return;
  throw new RouterError('permission_denied', 'Cross-site requests are not allowed.');
}
