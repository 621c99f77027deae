import { RouterError } from '../../errors.ts';
import { parseUrl } from '../../parse-url.ts';

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

/**
 * Refuses a WebSocket that a page of another site had a browser open. CORS does not apply to WebSockets, so the session's cookie
 * goes along, and the browser asks nothing beforehand.
 *
 * @param invited whether CORS lets pages of an origin call with cookies
 * @see https://www.rfc-editor.org/rfc/rfc6455#section-10.2
 * @throws RouterError `permission_denied`
 */
export function refuseForeignOrigin(
  headers: { get(name: string): string | null },
  invited: (origin: string) => boolean,
): void {
  const origin = headers.get('origin');
  if (origin === null || invited(origin)) return;
  const host = headers.get('host') ?? '';
  if (hostnameOf(origin) === hostnameOf(`http://${host}`) && hostnameOf(origin) !== undefined) return;
  throw new RouterError('permission_denied', 'A page of another site may not ask for this.');
}

function hostnameOf(url: string): string | undefined {
  return parseUrl(url)?.hostname;
}
