import { RouterError } from '../errors.ts';
import type { ProviderTarget } from './provider.ts';
import type { Grant } from './token-cache.ts';

/** What an application in Microsoft Entra proves itself with. */
export interface EntraIdentity {
  tenantId: string;
  clientId: string;
  clientSecret: string;
}

/** Posts a form; the answer's text is bounded by whoever posts. */
export type EntraPost = (url: string, form: string) => Promise<{ status: number; text: string }>;

/** Microsoft's own authorities, public and of the US government, and what a token is for: never a tenant's choice. */
const clouds = {
  public: {
    authority: 'https://login.microsoftonline.com',
    scope: 'https://cognitiveservices.azure.com/.default',
  },
  us: { authority: 'https://login.microsoftonline.us', scope: 'https://cognitiveservices.azure.us/.default' },
};

/**
 * Asks Entra for a token by client credentials.
 *
 * @see https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 * @throws RouterError `provider_authentication_failed` if Entra refuses the secret, `provider_unreachable` if it does not
 * answer as it should; never in its own words, which name the tenant
 */
export async function requestEntraToken(
  post: EntraPost,
  { tenantId, clientId, clientSecret }: EntraIdentity,
  base: string,
): Promise<Grant> {
  const { authority, scope } = /\.azure\.us$/i.test(new URL(base).hostname) ? clouds.us : clouds.public;
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: clientSecret,
    scope,
  });
  const { status, text } = await post(
    `${authority}/${encodeURIComponent(tenantId)}/oauth2/v2.0/token`,
    form.toString(),
  );
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
    const message = 'Microsoft Entra rejected the stored tenant_id, client_id and client_secret.';
    throw new RouterError('provider_authentication_failed', message);
  }
  const grant = status === 200 ? readGrant(text) : undefined;
  if (grant === undefined) {
    throw new RouterError('provider_unreachable', `Microsoft Entra gave no token (status ${status}).`);
  }
  return grant;
}

function readGrant(text: string): Grant | undefined {
  try {
    const { access_token: token, expires_in: expires } = JSON.parse(text) as Record<string, unknown>;
    const seconds = Number(expires);
    const usable = typeof token === 'string' && /^[\x21-\x7e]{1,16384}$/.test(token) && seconds > 0;
    return usable ? { token, seconds } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether a deployment has all that its credentials need.
 *
 * @param secrets the names of the secrets that are stored for it
 * @throws RouterError `invalid_request` that names the field: a secret without effect would only look as if it worked
 */
export function checkCredentials(
  target: Pick<ProviderTarget, 'protocol'>,
  params: { tenant_id?: string | undefined; client_id?: string | undefined },
  secrets: ReadonlySet<string>,
): void {
  for (const field of ['azure_ad_token', 'client_secret']) {
    if (target.protocol === 'openai' && secrets.has(field))
      throw invalidField(field, 'serves Azure deployments only.');
  }
  if (!secrets.has('client_secret')) return;
  for (const field of ['tenant_id', 'client_id'] as const) {
    if (params[field] === undefined) throw invalidField(field, 'is needed with client_secret.');
  }
}

function invalidField(field: string, what: string): RouterError {
  const param = `litellm_params.${field}`;
  return new RouterError('invalid_request', `${param} ${what}`, { param });
}
