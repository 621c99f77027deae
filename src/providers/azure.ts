import { RouterError } from '../errors.ts';
import { type ApiBase, invalidBase } from './api-base.ts';

/** Default api-version of Azure deployments: the latest generally available one. */
export const defaultApiVersion = '2024-10-21';

/** Default api-version of Azure's model inference, the `/models` of a Foundry resource. */
const inferenceVersion = '2024-05-01-preview';

/**
 * Hosts of resources in Azure's public, US government and China clouds. Requires a label before the suffix, so that
 * `openai.azure.com` and `evil-openai.azure.com` do not match.
 */
const azureHost =
  /^([a-z0-9-]+\.)+((openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)|api\.cognitive\.(microsoft\.(com|us)|azure\.(us|cn)))\.?$/i;

/** Returns whether a host name belongs to an Azure resource. */
export function isAzureHost(hostname: string): boolean {
  return azureHost.test(hostname);
}

/** Returns whether a host belongs to Azure's serverless deployments, which use OpenAI's protocol and a bearer token. */
export function isServerless(hostname: string): boolean {
  return /\.(models|inference)\.ai\.azure\.com\.?$/i.test(hostname);
}

/** Values of `api_version` with which LiteLLM's users select Azure's `/openai/v1`, which has no api-version. */
const versionless = new Set(['v1', 'latest', 'preview']);

interface AzureTarget {
  base: string;
  protocol: 'azure' | 'azure_v1';
  apiVersion: string | null;
}

/**
 * Returns base, protocol and api-version of an Azure resource for any of its URLs.
 *
 * @throws RouterError `invalid_request` if the URL belongs to another API, or if `/openai/v1` is given an api-version
 */
export function azureTarget(apiBase: ApiBase, apiVersion: string | undefined): AzureTarget {
  const { origin, path } = apiBase;
  const isVersionless = apiVersion !== undefined && versionless.has(apiVersion.toLowerCase());
  if (/\/openai\/v1$/i.test(path)) {
    if (apiVersion === undefined || isVersionless) return v1Target(origin + path);
    const message =
      'litellm_params.api_version: must not be set with /openai/v1, which has no versions. Remove it, or remove "/openai/v1" from api_base.';
    throw new RouterError('invalid_request', message, { param: 'litellm_params.api_version' });
  }
  if (isDirect(apiBase)) {
    const version = apiVersion ?? (/\/models$/i.test(path) ? inferenceVersion : defaultApiVersion);
    return { base: origin + path, protocol: 'azure_v1', apiVersion: version };
  }
  const resource = path.replace(/\/openai(\/deployments(\/[^/]+)?)?$/i, '').replace(/^\/v1$/i, '');
  checkResource(apiBase, resource);
  if (isVersionless) return v1Target(`${origin}${resource}/openai/v1`);
  return { base: origin + resource, protocol: 'azure', apiVersion: apiVersion ?? defaultApiVersion };
}

function v1Target(base: string): AzureTarget {
  return { base, protocol: 'azure_v1', apiVersion: null };
}

/**
 * Returns whether call paths are appended to the path without `/openai/deployments`. Azure's model inference and some
 * gateways have such URLs.
 */
function isDirect({ hostname, path, pastedCall }: ApiBase): boolean {
  if (/\/openai(\/deployments(\/[^/]+)?)?$/i.test(path)) return false;
  if (isAzureHost(hostname)) return /^\/models$/i.test(path);
  return pastedCall || /\/(models|deployments\/[^/]+)$/i.test(path);
}

/** @throws RouterError `invalid_request` if the URL belongs to an API of Azure that is not compatible with OpenAI's */
function checkResource({ hostname, path }: ApiBase, resource: string): void {
  const isProject = /^\/api\/projects\/[^/]+$/i.test(resource) && resource !== path;
  const isKnown = isAzureHost(hostname)
    ? resource === '' || isProject
    : !/\/deployments(\/|$)/i.test(resource);
  if (isKnown) return;
  throw invalidBase(
    "must be the resource's URL, alone or with /openai/v1, /models or /openai/deployments and the deployment's name. Remove the rest of the path",
  );
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
