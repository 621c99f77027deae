import type { Endpoint } from '../calls/endpoint-table.ts';
import type { ProviderTarget } from './provider.ts';

/** The last version that Microsoft dated as generally available; used where none is given. */
export const defaultApiVersion = '2024-10-21';

const azureHost = /^[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*\.(openai|cognitiveservices|services\.ai)\.azure\.com$/i;

export function isAzureHost(hostname: string): boolean {
  return azureHost.test(hostname);
}

/**
 * A base that ends in `/openai/v1` is Azure's OpenAI-compatible form: no api-version, no deployment path. Of any
 * other, `/v1`, `/openai` and pasted paths of calls are taken off.
 */
export function readAzureBase(
  url: URL,
  apiVersion: string | undefined,
): Pick<ProviderTarget, 'base' | 'protocol' | 'apiVersion'> {
  const path = url.pathname
    .replace(/\/+$/, '')
    .replace(/\/(chat\/completions|completions|embeddings|responses)$/, '')
    .replace(/\/+$/, '');
  if (path.endsWith('/openai/v1')) return { base: url.origin + path, protocol: 'azure_v1', apiVersion: null };
  const root = path
    .replace(/\/openai\/deployments(\/[^/]*)?$/, '')
    .replace(/\/v1$/, '')
    .replace(/\/openai$/, '');
  return { base: url.origin + root, protocol: 'azure', apiVersion: apiVersion ?? defaultApiVersion };
}

/** @see https://learn.microsoft.com/azure/ai-services/openai/reference */
export function azureAddress(
  target: ProviderTarget,
  endpoint: Endpoint,
  path: string,
  query: URLSearchParams,
): string {
  if (target.protocol === 'azure_v1') return target.base + path + (query.size === 0 ? '' : `?${query}`);
  query.set('api-version', target.apiVersion ?? defaultApiVersion);
  const deployment = endpoint.azure === 'deployment' ? `/deployments/${encodeURIComponent(target.model)}` : '';
  return `${target.base}/openai${deployment}${path}?${query}`;
}

export function azureHeaders(secrets: { api_key?: string; azure_ad_token?: string }): Record<string, string> {
  if (secrets.api_key !== undefined) return { 'api-key': secrets.api_key };
  if (secrets.azure_ad_token !== undefined) return { authorization: `Bearer ${secrets.azure_ad_token}` };
  return {};
}
