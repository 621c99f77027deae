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

/** Documented bases of providers that have no prefix here and whose path is not `/v1`. */
const otherBases = [
  'https://api.cohere.ai/compatibility/v1',
  'https://api.cohere.com/compatibility/v1',
  'https://api.deepinfra.com/v1/openai',
  'https://api.githubcopilot.com',
  'https://api.z.ai/api/paas/v4',
  'https://ark.cn-beijing.volces.com/api/v3',
  'https://dashscope-intl.aliyuncs.com/compatible-mode/v1',
  'https://dashscope.aliyuncs.com/compatible-mode/v1',
  'https://models.github.ai/inference',
  'https://models.inference.ai.azure.com',
  'https://open.bigmodel.cn/api/paas/v4',
  'https://qianfan.baidubce.com/v2',
];

/** Documented bases by origin. `only` if the origin has no other OpenAI-compatible base. */
const byOrigin = new Map<string, { base: string; only: boolean }>();
for (const base of otherBases) byOrigin.set(new URL(base).origin, { base, only: false });
for (const [, base] of openaiBases) {
  // A longer path means that the host has other APIs too, and this base alone is OpenAI-compatible.
  if (base !== null) byOrigin.set(new URL(base).origin, { base, only: pathOf(base).split('/').length > 2 });
}

/** The hosts of all documented bases. */
export const documentedHosts: readonly string[] = [...byOrigin.keys()].map(
  (origin) => new URL(origin).hostname,
);

/** Returns the documented base of an origin, or `undefined` if no base is known. */
export function documentedBase(origin: string): string | undefined {
  return byOrigin.get(origin)?.base;
}

/**
 * Completes a path that is the beginning or the end of the documented one. Keeps any other path.
 *
 * @returns `undefined` if no base of this origin is known, `null` if the path differs from the only base
 */
export function completedBase(origin: string, path: string): string | null | undefined {
  const known = byOrigin.get(origin);
  if (known === undefined) return undefined;
  const full = pathOf(known.base);
  if (path === full || path.startsWith(`${full}/`)) return origin + path;
  if (path === '' || full.startsWith(`${path}/`) || full.endsWith(path)) return known.base;
  return known.only ? null : origin + path;
}

function pathOf(base: string): string {
  const { pathname } = new URL(base);
  return pathname === '/' ? '' : pathname;
}
