import type { ApiBase } from './api-base.ts';

/** OpenAI-compatible providers and their public base; `null`: `api_base` is required. */
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
 * Returns the base URL that call paths are appended to. Completes a bare host with the known path of its provider, or
 * with `/v1`. Does not change a base with a path.
 */
export function openaiBase({ origin, path, pastedCall }: ApiBase): string {
  if (path !== '') return origin + path;
  const known = openaiBases.find(([, base]) => base !== null && new URL(base).origin === origin)?.[1];
  if (known !== undefined && known !== null) return known;
  return pastedCall ? origin : `${origin}/v1`;
}

/** Returns the headers with the API key, the organization and the project. */
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
