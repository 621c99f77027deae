import type { ApiBase } from './api-base.ts';

/** Default api-version of Azure deployments: the latest generally available one. */
export const defaultApiVersion = '2024-10-21';

/** Requires a label before the suffix, so that `openai.azure.com` and `evil-openai.azure.com` do not match. */
const azureHost =
  /^([a-z0-9-]+\.)+(openai\.azure\.(com|us)|cognitiveservices\.azure\.(com|us)|services\.ai\.azure\.com)\.?$/i;

/** Returns whether a host name belongs to Azure. */
export function isAzureHost(hostname: string): boolean {
  return azureHost.test(hostname);
}

/** Values of `api_version` with which LiteLLM's users select Azure's `/openai/v1`, which has no api-version. */
const versionless = new Set(['v1', 'latest', 'preview']);

/** Returns base, protocol and api-version of an Azure resource for any of its URLs. */
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

/** Returns the path of a call below the deployment or the account. */
export function azurePath(model: string, scope: 'deployment' | 'account', path: string): string {
  return scope === 'deployment'
    ? `/openai/deployments/${encodeURIComponent(model)}${path}`
    : `/openai${path}`;
}

/** Returns the header with the API key or with the Entra token. */
export function azureHeaders(secrets: {
  api_key?: string | undefined;
  azure_ad_token?: string | undefined;
}): Record<string, string> {
  if (secrets.api_key !== undefined) return { 'api-key': secrets.api_key };
  return secrets.azure_ad_token === undefined ? {} : { authorization: `Bearer ${secrets.azure_ad_token}` };
}
