import type { ApiBase } from './api-base.ts';

/** The OpenAI-compatible providers whose public base is known; `null`: each has its own, so `api_base` is needed. */
export const openaiBases: readonly (readonly [provider: string, base: string | null])[] = [
  ['openai', 'https://api.openai.com/v1'],
  ['anthropic', 'https://api.anthropic.com/v1'],
  ['gemini', 'https://generativelanguage.googleapis.com/v1beta/openai'],
  ['groq', 'https://api.groq.com/openai/v1'],
  ['mistral', 'https://api.mistral.ai/v1'],
  ['deepseek', 'https://api.deepseek.com/v1'],
  ['xai', 'https://api.x.ai/v1'],
  ['together_ai', 'https://api.together.xyz/v1'],
  ['fireworks_ai', 'https://api.fireworks.ai/inference/v1'],
  ['openrouter', 'https://openrouter.ai/api/v1'],
  ['perplexity', 'https://api.perplexity.ai'],
  ['cerebras', 'https://api.cerebras.ai/v1'],
  ['nvidia_nim', 'https://integrate.api.nvidia.com/v1'],
  ['hosted_vllm', null],
  ['ollama', null],
  ['lm_studio', null],
  ['litellm_proxy', null],
  ['openai_like', null],
];

/**
 * The base that calls are appended to. A bare host gets the path that its provider is known by, or else `/v1`;
 * a base with a path is taken as it is.
 */
export function openaiBase({ origin, path, pastedCall }: ApiBase): string {
  if (path !== '') return origin + path;
  const known = openaiBases.find(([, base]) => base !== null && new URL(base).origin === origin)?.[1];
  if (known !== undefined && known !== null) return known;
  return pastedCall ? origin : `${origin}/v1`;
}

/** The headers that carry the key, and whose account it is. */
export function openaiHeaders(
  secrets: { api_key?: string | undefined },
  ids: { organization?: string | undefined; project?: string | undefined },
): Record<string, string> {
  const headers: Record<string, string> = {};
  if (secrets.api_key !== undefined) headers.authorization = `Bearer ${secrets.api_key}`;
  if (ids.organization !== undefined) headers['openai-organization'] = ids.organization;
  if (ids.project !== undefined) headers['openai-project'] = ids.project;
  return headers;
}
