import type { Endpoint } from '../calls/endpoint-table.ts';
import { RouterError } from '../errors.ts';
import { nearest } from '../validation.ts';
import { azureAddress, azureHeaders, isAzureHost, readAzureBase } from './azure.ts';
import { openaiAddress, openaiHeaders, readOpenAIBase } from './openai.ts';

/** Where a deployment is, resolved from what was given for it. */
export interface ProviderTarget {
  provider: string;
  /** Normalised, with its path and without a slash at the end. */
  base: string;
  /** `azure_v1` is Azure's OpenAI-compatible form, under `/openai/v1`. */
  protocol: 'openai' | 'azure' | 'azure_v1';
  /** The provider's own name of the model; on Azure, the deployment's. */
  model: string;
  apiVersion: string | null;
}

/** The providers we know, all spoken to in OpenAI's protocol; `null`: where it is has to be said (`api_base`). */
export const knownProviders: Readonly<Record<string, string | null>> = {
  openai: 'https://api.openai.com/v1',
  azure: null,
  anthropic: 'https://api.anthropic.com/v1',
  gemini: 'https://generativelanguage.googleapis.com/v1beta/openai',
  groq: 'https://api.groq.com/openai/v1',
  mistral: 'https://api.mistral.ai/v1',
  deepseek: 'https://api.deepseek.com/v1',
  xai: 'https://api.x.ai/v1',
  together_ai: 'https://api.together.xyz/v1',
  fireworks_ai: 'https://api.fireworks.ai/inference/v1',
  openrouter: 'https://openrouter.ai/api/v1',
  perplexity: 'https://api.perplexity.ai',
  cerebras: 'https://api.cerebras.ai/v1',
  nvidia_nim: 'https://integrate.api.nvidia.com/v1',
  hosted_vllm: null,
  ollama: null,
  lm_studio: null,
  litellm_proxy: null,
  openai_like: null,
};

/** What of `litellm_params` decides where a deployment is. */
export interface TargetParams {
  model: string;
  custom_llm_provider?: string | undefined;
  api_base?: string | undefined;
  api_version?: string | undefined;
}

/**
 * Where a deployment is. An Azure host or an `api_version` means the Azure protocol, whatever the provider says.
 *
 * @throws RouterError `invalid_request` that names the field at fault
 */
export function resolveTarget(params: TargetParams): ProviderTarget {
  const { provider, model } = readModel(params);
  const given = params.api_base ?? knownProviders[provider];
  if (given === null || given === undefined) {
    throw refusal('api_base', `is needed for the provider ${provider}`);
  }
  const url = readUrl(given);
  const azure = provider === 'azure' || isAzureHost(url.hostname) || params.api_version !== undefined;
  if (!azure) return { provider, base: readOpenAIBase(url), protocol: 'openai', model, apiVersion: null };
  return { provider, model, ...readAzureBase(url, params.api_version) };
}

/** The URL of a call. Model names and ids are percent-encoded, of the query only what the endpoint names goes along. */
export function addressOf(
  target: ProviderTarget,
  endpoint: Endpoint,
  params: Record<string, string>,
  query: URLSearchParams,
): { url: string } {
  const path = endpoint.path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
  const passed = new URLSearchParams();
  for (const [name, value] of query) {
    const plain = name.replace(/\[.*$/s, '');
    if (endpoint.query.includes(plain)) passed.append(name, value);
  }
  return { url: target.protocol === 'openai' ? openaiAddress(target, path, passed) : azureAddress(target, endpoint, path, passed) };
}

/** The headers that carry the secret. */
export function authHeaders(
  target: ProviderTarget,
  secrets: { api_key?: string; azure_ad_token?: string },
  ids: { organization?: string | undefined; project?: string | undefined },
): Record<string, string> {
  return target.protocol === 'openai' ? openaiHeaders(secrets, ids) : azureHeaders(secrets);
}

function readModel({ model, custom_llm_provider: named }: TargetParams): { provider: string; model: string } {
  if (named !== undefined && !Object.hasOwn(knownProviders, named)) {
    const near = nearest(named, Object.keys(knownProviders));
    throw refusal('custom_llm_provider', `is no provider we know${near === undefined ? '' : `; did you mean ${near}?`}`);
  }
  const slash = model.indexOf('/');
  const prefix = slash === -1 ? undefined : model.slice(0, slash);
  const known = prefix !== undefined && Object.hasOwn(knownProviders, prefix) ? prefix : undefined;
  const provider = named ?? known ?? 'openai';
  // Another provider's prefix belongs to the name: openrouter sells `openai/gpt-4o`.
  const name = known === provider ? model.slice(slash + 1) : model;
  if (name.trim() === '') throw refusal('model', 'names a provider, but no model');
  if (name === '.' || name === '..') throw refusal('model', 'is not a name');
  return { provider, model: name };
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw refusal('api_base', 'must be an http(s) URL');
  // Whoever reads the text must see the host that is meant.
  if (!/^https?:\/\/[^/\\]/i.test(text)) throw refusal('api_base', 'must be an http(s) URL');
  if (url.username !== '' || url.password !== '' || text.includes('@')) {
    throw refusal('api_base', 'must not carry credentials');
  }
  if (text.includes('?') || text.includes('#')) throw refusal('api_base', 'must not have a query or a fragment');
  if (/%(2e|2f|5c)/i.test(url.pathname) || text.includes('\\')) throw refusal('api_base', 'has a path that is not plain');
  return url;
}

function refusal(field: string, message: string): RouterError {
  const param = `litellm_params.${field}`;
  return new RouterError('invalid_request', `${param}: ${message}`, { param });
}
