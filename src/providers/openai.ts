import type { ProviderTarget } from './provider.ts';

/** Paths of calls that people paste into `api_base`. */
const pastedCall = /\/(chat\/completions|completions|embeddings|responses|models)$/;

/** A base without a path gets `/v1`, which every OpenAI-compatible server has; one with a path is taken as it is. */
export function readOpenAIBase(url: URL): string {
  const path = url.pathname.replace(/\/+$/, '').replace(pastedCall, '').replace(/\/+$/, '');
  return url.origin + (path === '' ? '/v1' : path);
}

export function openaiAddress(target: ProviderTarget, path: string, query: URLSearchParams): string {
  return target.base + path + (query.size === 0 ? '' : `?${query}`);
}

export function openaiHeaders(
  secrets: { api_key?: string; azure_ad_token?: string },
  ids: { organization?: string | undefined; project?: string | undefined },
): Record<string, string> {
  const headers: Record<string, string> = {};
  if (secrets.api_key !== undefined) headers.authorization = `Bearer ${secrets.api_key}`;
  if (ids.organization !== undefined) headers['openai-organization'] = ids.organization;
  if (ids.project !== undefined) headers['openai-project'] = ids.project;
  return headers;
}
