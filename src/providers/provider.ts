import { nearest } from '../did-you-mean.ts';
import { RouterError } from '../errors.ts';
import { type ApiBase, readApiBase } from './api-base.ts';
import { azureHeaders, azurePath, azureTarget, isAzureHost } from './azure.ts';
import { openaiBase, openaiBases, openaiHeaders } from './openai.ts';

/** Where a deployment's calls go, resolved once, when it is stored. */
export interface ProviderTarget {
  /** Who is spoken to; `azure` whenever the protocol is Azure's. */
  provider: string;
  /** Without a trailing slash. OpenAI's own is `https://api.openai.com/v1`; an Azure one stops before `/openai`. */
  base: string;
  /** `azure`: paths by deployment, with an api-version. `azure_v1`: Azure's OpenAI-compatible form. */
  protocol: 'openai' | 'azure' | 'azure_v1';
  /** The provider's own name of the model; the deployment's name on Azure. */
  model: string;
  /** Set for the protocol `azure` only. */
  apiVersion: string | null;
  /** Those of single types of calls, where they differ: the first segment of the path, and its api-version. */
  apiVersions?: Record<string, string>;
}

/** What of an OpenAI call decides its address. */
export interface Route {
  /** Without `/v1`; `{name}` stands for one segment. */
  path: string;
  /** The query parameters that go on to the provider. */
  query: readonly string[];
  /** On Azure: under the deployment's path, or under the account's. */
  azure: 'deployment' | 'account';
}

/** What decides where a deployment's calls go: the documented `litellm_params`. */
export interface TargetParams {
  model: string;
  custom_llm_provider?: string | undefined;
  api_base?: string | undefined;
  api_version?: string | Record<string, string | undefined> | undefined;
}

/** The providers that a model's prefix or `custom_llm_provider` may name, with their public base, if they have one. */
export const knownProviders: ReadonlyMap<string, string | null> = new Map([...openaiBases, ['azure', null]]);

/**
 * Where the calls of these params go. An Azure host or an `api_version` means Azure's protocol, whatever the
 * provider says: LiteLLM's documented example has Azure under "openai".
 *
 * @throws RouterError `invalid_request` with the field's path
 */
export function resolveTarget(params: TargetParams): ProviderTarget {
  const named = readModel(params);
  const given = params.api_base === undefined ? undefined : readApiBase(params.api_base);
  const azure =
    named.provider === 'azure' ||
    params.api_version !== undefined ||
    given?.apiVersion !== undefined ||
    (given !== undefined && isAzureHost(given.hostname));
  if (!azure) {
    if (given === undefined && !named.stated && named.model.includes('/')) throw unknownPrefix(named.model);
    const base = given === undefined ? publicBase(named.provider) : openaiBase(given);
    return { provider: named.provider, base, protocol: 'openai', model: named.model, apiVersion: null };
  }
  if (given === undefined) throw needsBase('azure');
  return azureDeployment(params, named.model, given);
}

/** The address of one call, with only those query parameters that the endpoint's row names. */
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
  // Nearly every call has none.
  if (query.size === 0 && target.protocol !== 'azure') return { url: target.base + full };
  const search = passedQuery(route, query);
  if (target.protocol === 'azure' && target.apiVersion !== null) {
    const type = route.path.split('/', 2)[1] ?? '';
    search.set('api-version', target.apiVersions?.[type] ?? target.apiVersion);
  }
  return { url: target.base + full + (search.size === 0 ? '' : `?${search}`) };
}

/**
 * The headers that carry a deployment's secret; none if it has none, as a server of one's own may not need any.
 *
 * @throws RouterError `invalid_request` for a value that no header can carry
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
      `What this model sends as ${name} holds characters that no header can carry.`,
    );
  }
  return headers;
}

/**
 * Splits a model's name into the provider and the provider's own name.
 *
 * @throws RouterError `invalid_request` with the field's path
 */
export function readModel({ model, custom_llm_provider: stated }: TargetParams): {
  provider: string;
  model: string;
  /** Whether the provider was named, by the prefix or beside it. */
  stated: boolean;
} {
  if (stated !== undefined && !knownProviders.has(stated)) {
    throw invalidField('custom_llm_provider', `names no known provider. ${providerHint(stated)}`);
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

/** A key of a provider that is not known here would go to OpenAI, none of whose own models has a slash in its name. */
function unknownPrefix(model: string): RouterError {
  const hint = providerHint(model.slice(0, model.indexOf('/')));
  return invalidField('model', `names no known provider before its "/", and there is no api_base. ${hint}`);
}

function providerHint(name: string): string {
  const known = [...knownProviders.keys()];
  const near = nearest(name, known);
  return near === undefined ? `Known: ${known.join(', ')}.` : `Did you mean ${near}?`;
}

function publicBase(provider: string): string {
  const base = knownProviders.get(provider);
  if (base === undefined || base === null) throw needsBase(provider);
  return base;
}

function azureDeployment(params: TargetParams, name: string, given: ApiBase): ProviderTarget {
  const model = name.startsWith('azure/') ? name.slice('azure/'.length) : name;
  if (!isSegment(model)) throw invalidField('model', 'must name an Azure deployment.');
  checkDeployment(given, model);
  const version = versionOf(params, given);
  if (typeof version !== 'object') return { provider: 'azure', model, ...azureTarget(given, version) };
  const { default: common, ...byType } = version;
  const named = Object.entries(byType).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return {
    provider: 'azure',
    model,
    ...azureTarget(given, common),
    ...(named.length === 0 ? {} : { apiVersions: Object.fromEntries(named) }),
  };
}

/** @throws RouterError `invalid_request` if the address names another deployment than `model` */
function checkDeployment({ path, pastedCall, apiVersion }: ApiBase, model: string): void {
  // A base that was shortened to the deployment is an address like any other.
  if (!pastedCall && apiVersion === undefined) return;
  const segment = /\/openai\/deployments\/([^/]+)$/i.exec(path)?.[1];
  if (segment === undefined || segment === model || segment === encodeURIComponent(model)) return;
  throw invalidField(
    'model',
    'must be the deployment that api_base names. Write the same name in both, or shorten api_base.',
  );
}

/** @throws RouterError `invalid_request` if the address names another version than `api_version` */
function versionOf({ api_version: stated }: TargetParams, given: ApiBase): TargetParams['api_version'] {
  const { apiVersion } = given;
  if (apiVersion === undefined) return stated;
  const common = typeof stated === 'object' ? stated.default : stated;
  if (common === undefined)
    return typeof stated === 'object' ? { ...stated, default: apiVersion } : apiVersion;
  if (common.toLowerCase() === apiVersion.toLowerCase()) return stated;
  throw invalidField('api_version', 'must be the version that api_base names. Send one of the two.');
}

/**
 * Whether a text may stand for one segment of a path. `encodeURIComponent` leaves `.` and `..` as they are, and a URL
 * parser would climb by them; what else is refused here would be encoded, but a server that decodes twice reads a path.
 */
function isSegment(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return !/^\.{0,2}$|[/\\?#%\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text) && text.isWellFormed();
}

function encodeSegment(name: string, value: string | undefined): string {
  // A deployment's name may hold a space; no id does.
  if (value === undefined || !isSegment(value) || /\s/.test(value)) {
    throw new RouterError('invalid_request', `${name} is not a valid id.`, { param: name });
  }
  return encodeURIComponent(value);
}

/** The SDK writes lists and maps as `include[]` and `metadata[key]`. */
function passedQuery(route: Route, query: URLSearchParams): URLSearchParams {
  const passed = new URLSearchParams();
  if (route.query.length === 0) return passed;
  for (const [name, value] of query) {
    if (route.query.includes(name.split('[', 1)[0] ?? '')) passed.append(name, value);
  }
  return passed;
}

function needsBase(provider: string): RouterError {
  return invalidField('api_base', `is needed for ${provider}, which has no public address.`);
}

function invalidField(field: string, what: string): RouterError {
  const param = `litellm_params.${field}`;
  return new RouterError('invalid_request', `${param} ${what}`, { param });
}
