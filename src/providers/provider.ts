import { nearest } from '../did-you-mean.ts';
import { RouterError } from '../errors.ts';
import { type ApiBase, readApiBase } from './api-base.ts';
import { azureHeaders, azurePath, azureTarget, isAzureHost, isServerless } from './azure.ts';
import { openaiBases } from './bases.ts';
import { openaiBase, openaiHeaders } from './openai.ts';

/** The destination of a deployment's calls. Resolved once, when the deployment is stored. */
export interface ProviderTarget {
  /** Name of the provider; `azure` whenever the protocol is Azure's. */
  provider: string;
  /**
   * Base URL without a trailing slash. OpenAI's is `https://api.openai.com/v1`. An Azure base ends before `/openai`.
   */
  base: string;
  /** `azure`: paths by deployment. `azure_v1`: paths appended to the base, as in `/openai/v1` and `/models`. */
  protocol: 'openai' | 'azure' | 'azure_v1';
  /** The provider's name of the model; on Azure the name of the deployment. */
  model: string;
  /** `api-version` of every call; `null` if the base has none. */
  apiVersion: string | null;
  /** Different api-versions of some call types, by the first segment of the path. */
  apiVersions?: Record<string, string>;
}

/** The fields of an endpoint that determine a call's URL. */
export interface Route {
  /** Path without `/v1`. `{name}` is a placeholder for one segment. */
  path: string;
  /** Query parameters that are passed to the provider. `*`: all but `model` and `api-version`. */
  query: readonly string[];
  /** Whether Azure has the path below the deployment or below the account. */
  azure: 'deployment' | 'account';
}

/** The `litellm_params` that determine the destination of a deployment's calls. */
export interface TargetParams {
  model: string;
  custom_llm_provider?: string | undefined;
  api_base?: string | undefined;
  api_version?: string | Record<string, string | undefined> | undefined;
}

/** Known providers and their public base; `null`: no public base. */
export const knownProviders: ReadonlyMap<string, string | null> = new Map([...openaiBases, ['azure', null]]);

/**
 * Resolves the destination of a deployment's calls. An Azure host or an `api_version` selects Azure's protocol for
 * every provider, because LiteLLM's documented example has Azure under "openai".
 *
 * @throws RouterError `invalid_request` with the path of the field
 */
export function resolveTarget(params: TargetParams): ProviderTarget {
  const named = readModel(params);
  const apiBase = params.api_base === undefined ? undefined : readApiBase(params.api_base);
  if (!usesAzure(params, named.provider, apiBase)) {
    if (apiBase === undefined && !named.stated && named.model.includes('/')) throw unknownPrefix(named.model);
    const base = apiBase === undefined ? publicBase(named.provider) : openaiBase(apiBase);
    const { apiVersion = null } = apiBase ?? {};
    return { provider: named.provider, base, protocol: 'openai', model: named.model, apiVersion };
  }
  if (apiBase === undefined) throw missingBase('azure');
  return azureDeployment(params, named.model, apiBase);
}

function usesAzure({ api_version }: TargetParams, provider: string, apiBase: ApiBase | undefined): boolean {
  if (apiBase !== undefined && isServerless(apiBase.hostname)) return false;
  const isVersioned = api_version !== undefined || apiBase?.apiVersion !== undefined;
  return provider === 'azure' || isVersioned || (apiBase !== undefined && isAzureHost(apiBase.hostname));
}

/**
 * Returns the URL of a call. Passes only the query parameters that the endpoint allows.
 *
 * @throws RouterError `invalid_request` for an invalid path parameter
 */
export function addressOf(
  target: ProviderTarget,
  route: Route,
  params: Record<string, string>,
  query: URLSearchParams,
): { url: string } {
  const path = !route.path.includes('{')
    ? route.path
    : route.path.replace(/\{(\w+)\}/g, (_, name: string) => encodeSegment(name, params[name]));
  const full = target.protocol === 'azure' ? azurePath(target.model, route.azure, path) : path;
  // Returns early, because most calls have no query.
  if (query.size === 0 && target.apiVersion === null) return { url: target.base + full };
  const search = passedQuery(route, query);
  if (target.apiVersion !== null) {
    const type = route.path.split('/', 2)[1] ?? '';
    search.set('api-version', target.apiVersions?.[type] ?? target.apiVersion);
  }
  return { url: target.base + full + (search.size === 0 ? '' : `?${search}`) };
}

/**
 * Returns the headers with a deployment's secret. Returns no headers without a secret, because self-hosted servers
 * may not need one.
 *
 * @throws RouterError `invalid_request` for a value that a header cannot contain
 */
export function authHeaders(
  target: Pick<ProviderTarget, 'protocol'>,
  secrets: { api_key?: string | undefined; azure_ad_token?: string | undefined },
  ids: { organization?: string | undefined; project?: string | undefined },
): Record<string, string> {
  const headers = target.protocol === 'openai' ? openaiHeaders(secrets, ids) : azureHeaders(secrets);
  for (const name in headers) {
    if (/^[\x20-\x7e]+$/.test(headers[name] ?? '')) continue;
    throw new RouterError(
      'invalid_request',
      `Header ${name} of this model contains characters that a header must not contain. Check the stored credential.`,
    );
  }
  return headers;
}

/**
 * Splits a model name into the provider and the provider's name of the model.
 *
 * @throws RouterError `invalid_request` with the path of the field
 */
export function readModel({ model, custom_llm_provider: stated }: TargetParams): {
  provider: string;
  model: string;
  /** Whether the prefix or `custom_llm_provider` names the provider. */
  stated: boolean;
} {
  if (stated !== undefined && !knownProviders.has(stated)) {
    throw invalidField('custom_llm_provider', `is unknown. ${providerHint(stated)}`);
  }
  const slash = model.indexOf('/');
  const prefix = slash === -1 ? '' : model.slice(0, slash);
  const prefixed = stated === undefined ? knownProviders.has(prefix) : prefix === stated;
  const name = prefixed ? model.slice(slash + 1) : model;
  if (name.trim() === '' || !name.isWellFormed()) throw invalidField('model', 'must name a model.');
  return {
    provider: stated ?? (prefixed ? prefix : 'openai'),
    model: name,
    stated: stated !== undefined || prefixed,
  };
}

/**
 * Creates the error for an unknown provider prefix. Without it the key of another provider would be sent to OpenAI.
 * No model name of OpenAI contains a slash.
 */
function unknownPrefix(model: string): RouterError {
  const hint = providerHint(model.slice(0, model.indexOf('/')));
  return invalidField('model', `must begin with a known provider if there is no api_base. ${hint}`);
}

function providerHint(name: string): string {
  const known = [...knownProviders.keys()];
  const near = nearest(name, known);
  return near === undefined ? `Known: ${known.join(', ')}.` : `Did you mean ${near}?`;
}

function publicBase(provider: string): string {
  const base = knownProviders.get(provider);
  if (base === undefined || base === null) throw missingBase(provider);
  return base;
}

function azureDeployment(params: TargetParams, name: string, apiBase: ApiBase): ProviderTarget {
  const model = name.startsWith('azure/') ? name.slice('azure/'.length) : name;
  if (!isSegment(model)) throw invalidField('model', 'must name an Azure deployment.');
  checkDeployment(apiBase, model);
  const version = versionOf(params, apiBase);
  if (typeof version !== 'object') return { provider: 'azure', model, ...azureTarget(apiBase, version) };
  const { default: common, ...byType } = version;
  const named = Object.entries(byType).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return {
    provider: 'azure',
    model,
    ...azureTarget(apiBase, common),
    ...(named.length === 0 ? {} : { apiVersions: Object.fromEntries(named) }),
  };
}

/** @throws RouterError `invalid_request` if `api_base` names a deployment other than `model` */
function checkDeployment({ path }: ApiBase, model: string): void {
  const segment = /\/deployments\/([^/]+)$/i.exec(path)?.[1];
  if (segment === undefined || segment === model || segment === encodeURIComponent(model)) return;
  throw invalidField(
    'model',
    'must be the deployment that api_base names. Use the same name in both, or shorten api_base.',
  );
}

/** @throws RouterError `invalid_request` if `api_base` names a version other than `api_version` */
function versionOf({ api_version: stated }: TargetParams, apiBase: ApiBase): TargetParams['api_version'] {
  const { apiVersion } = apiBase;
  if (apiVersion === undefined) return stated;
  const common = typeof stated === 'object' ? stated.default : stated;
  if (common === undefined)
    return typeof stated === 'object' ? { ...stated, default: apiVersion } : apiVersion;
  if (common.toLowerCase() === apiVersion.toLowerCase()) return stated;
  throw invalidField('api_version', 'must be the version that api_base names. Send one of the two.');
}

/**
 * Returns whether a text is safe as one path segment. `encodeURIComponent` does not change `.` and `..`, which URL
 * parsers resolve. Also rejects characters that a server which decodes twice would read as part of a path.
 */
function isSegment(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern must match control characters
  return !/^\.{0,2}$|[/\\?#%\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text) && text.isWellFormed();
}

function encodeSegment(name: string, value: string | undefined): string {
  // An Azure deployment name may contain a space, but an id may not.
  if (value === undefined || !isSegment(value) || /\s/.test(value)) {
    throw new RouterError('invalid_request', `${name}: must be a valid id.`, { param: name });
  }
  return encodeURIComponent(value);
}

/** Returns the allowed query parameters. SDKs write lists and maps as `include[]` and `metadata[key]`. */
function passedQuery(route: Route, query: URLSearchParams): URLSearchParams {
  const passed = new URLSearchParams();
  if (route.query.length === 0) return passed;
  const any = route.query.includes('*');
  for (const [name, value] of query) {
    if (any ? name !== 'model' && name !== 'api-version' : route.query.includes(name.split('[', 1)[0] ?? ''))
      passed.append(name, value);
  }
  return passed;
}

function missingBase(provider: string): RouterError {
  return invalidField('api_base', `is required for ${provider}, which has no public base URL.`);
}

function invalidField(field: string, problem: string): RouterError {
  const param = `litellm_params.${field}`;
  return new RouterError('invalid_request', `${param}: ${problem}`, { param });
}
