import { RouterError } from '../errors.ts';
import type { ProviderTarget } from './provider.ts';
import type { Grant } from './token-cache.ts';

/** Client credentials of an application in Microsoft Entra. */
export interface EntraIdentity {
  tenantId: string;
  clientId: string;
  clientSecret: string;
}

/** Posts a form. The implementation limits the size of the response. */
export type EntraPost = (url: string, form: string) => Promise<{ status: number; text: string }>;

/** Authorities and scopes of Microsoft's public, US government and China clouds. A tenant cannot choose others. */
const clouds = {
  public: {
    authority: 'https://login.microsoftonline.com',
    scope: 'https://cognitiveservices.azure.com/.default',
  },
  us: { authority: 'https://login.microsoftonline.us', scope: 'https://cognitiveservices.azure.us/.default' },
  cn: { authority: 'https://login.chinacloudapi.cn', scope: 'https://cognitiveservices.azure.cn/.default' },
};

function cloudOf(base: string): (typeof clouds)[keyof typeof clouds] {
  const suffix = /\.(azure|microsoft)\.(us|cn)$/i.exec(new URL(base).hostname)?.[2]?.toLowerCase();
  return suffix === 'us' || suffix === 'cn' ? clouds[suffix] : clouds.public;
}

/**
 * Requests a token with client credentials. Errors omit Entra's message, because it names the tenant.
 *
 * @see https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 * @throws RouterError `provider_authentication_failed` if Entra rejects the credentials, `provider_unreachable` for
 * any other response without a token
 */
export async function requestEntraToken(
  post: EntraPost,
  { tenantId, clientId, clientSecret }: EntraIdentity,
  base: string,
): Promise<Grant> {
  const { authority, scope } = cloudOf(base);
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
    const message = 'Microsoft Entra rejected the stored tenant_id, client_id and client_secret. Check them.';
    throw new RouterError('provider_authentication_failed', message);
  }
  const grant = status === 200 ? readGrant(text) : undefined;
  if (grant === undefined) {
    throw new RouterError('provider_unreachable', `Microsoft Entra returned no token (status ${status}).`);
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
 * Checks that a deployment has all fields that its credentials need. Rejects secrets that the deployment would not
 * use.
 *
 * @param secrets the names of the deployment's stored secrets
 * @throws RouterError `invalid_request` that names the field
 */
export function checkCredentials(
  target: Pick<ProviderTarget, 'protocol'>,
  params: { tenant_id?: string | undefined; client_id?: string | undefined },
  secrets: ReadonlySet<string>,
): void {
  for (const field of ['azure_ad_token', 'client_secret']) {
    if (target.protocol === 'openai' && secrets.has(field))
      throw invalidField(field, 'must not be set, because only Azure deployments use it.');
  }
  if (!secrets.has('client_secret')) return;
  for (const field of ['tenant_id', 'client_id'] as const) {
    if (params[field] === undefined) throw invalidField(field, 'is required with client_secret.');
  }
}

function invalidField(field: string, problem: string): RouterError {
  const param = `litellm_params.${field}`;
  return new RouterError('invalid_request', `${param}: ${problem}`, { param });
}
