import type { ApiBase } from './api-base.ts';

/** The api-version of an Azure deployment that names none: the latest that is generally available. */
export const defaultApiVersion = '2024-10-21';

/** A real suffix with a label before it: neither `openai.azure.com` itself nor `evil-openai.azure.com`. */
const azureHost =
  /^([a-z0-9-]+\.)+(openai\.azure\.(com|us)|cognitiveservices\.azure\.(com|us)|services\.ai\.azure\.com)\.?$/i;

/** Whether Azure's own servers answer under this host name. */
export function isAzureHost(hostname: string): boolean {
  return azureHost.test(hostname);
}

/** What LiteLLM's users write as the version to mean Azure's `/openai/v1`, which has none. */
const versionless = new Set(['v1', 'latest', 'preview']);

/** Base, protocol and api-version of an Azure resource, out of whichever of its addresses was pasted. */
export function azureTarget(
  { origin, path }: ApiBase,
  apiVersion: string | undefined,
): { base: string; protocol: 'azure' | 'azure_v1'; apiVersion: string | null } {
  if (/\/openai\/v1$/i.test(path)) return { base: origin + path, protocol: 'azure_v1', apiVersion: null };
  const resource = path
    .replace(/\/openai\/deployments(\/[^/]+)?$/i, '')
    .replace(/\/openai$/i, '')
    .replace(/^\/v1$/i, '');
  if (apiVersion !== undefined && versionless.has(apiVersion.toLowerCase())) {
    return { base: `${origin}${resource}/openai/v1`, protocol: 'azure_v1', apiVersion: null };
  }
  return { base: origin + resource, protocol: 'azure', apiVersion: apiVersion ?? defaultApiVersion };
}

/** The path of a call, under the deployment or under the account. */
export function azurePath(model: string, scope: 'deployment' | 'account', path: string): string {
  return scope === 'deployment'
    ? `/openai/deployments/${encodeURIComponent(model)}${path}`
    : `/openai${path}`;
}

/** The header that carries the key, or the Entra token that serves instead of one. */
export function azureHeaders(secrets: {
  api_key?: string | undefined;
  azure_ad_token?: string | undefined;
}): Record<string, string> {
  if (secrets.api_key !== undefined) return { 'api-key': secrets.api_key };
  return secrets.azure_ad_token === undefined ? {} : { authorization: `Bearer ${secrets.azure_ad_token}` };
}
