import { RouterError } from '../../errors.ts';

/**
 * Refuses what a page of another site had a browser send: the session's cookie goes along, and a form, or a call without a
 * body, is not asked for beforehand. Where CORS lets that page read the answer, it was meant to ask.
 *
 * @param answered what a header of the answer is so far, by whoever stands before
 * @see https://www.w3.org/TR/fetch-metadata/
 * @throws RouterError `permission_denied`
 */
export function refuseCrossSite({ headers }: Request, answered: (header: string) => unknown): void {
  if (headers.get('sec-fetch-site') !== 'cross-site') return;
  const origin = answered('access-control-allow-origin');
  const invited = origin === '*' || (typeof origin === 'string' && origin === headers.get('origin'));
  const withCookies = !headers.has('cookie') || answered('access-control-allow-credentials') === 'true';
  if (invited && withCookies) return;
  throw new RouterError('permission_denied', 'A page of another site may not ask for this.');
}
