import type { RouterError } from '../../errors.ts';
import { parseUrl } from '../../parse-url.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { errorWords } from './error-words.ts';

const maxLength = 1_024;

/** Returns what an error answer says to a reader, in whichever form its provider has; `undefined` for a web page or nothing. */
export function providerMessage(body: Uint8Array): string | undefined {
  const { message, shape } = errorWords(body);
  if (message !== undefined) return message;
  if (shape !== 'text') return undefined;
  return Buffer.from(body).toString('utf8', 0, maxLength).trim();
}

/** Where a provider could not be reached, and by which error of the system: `ENOTFOUND`, `ECONNREFUSED`. */
export function faultOf({ target }: Deployment, error: RouterError): { host?: string; cause?: string } {
  if (!['provider_unreachable', 'provider_timeout', 'egress_denied'].includes(error.code)) return {};
  const url = parseUrl(target.base);
  const cause = causeOf(error.cause);
  return { ...(url === undefined ? {} : { host: url.host }), ...(cause === undefined ? {} : { cause }) };
}

function causeOf(cause: unknown): string | undefined {
  const { code } = (cause ?? {}) as { code?: unknown };
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code) ? code : undefined;
}
