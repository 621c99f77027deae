import { documentedBase } from './bases.ts';

/**
 * Segments that follow a version only in the URL of a call: the first segments of OpenAI's paths and of similar APIs. A
 * test checks that the list contains the first segment of every path of the endpoint table.
 */
const resources = [
  ...['agents', 'assistants', 'audio', 'batches', 'chat', 'chatkit', 'completions', 'containers'],
  ...['content_provenance_checks', 'conversations', 'decisions', 'live', 'safety', 'vaults'],
  ...['webhook_endpoints', 'webhook_event_types'],
  ...['edits', 'embeddings', 'engines', 'evals', 'files', 'fine_tuning', 'images', 'models', 'moderations'],
  ...['organization', 'realtime', 'responses', 'skills', 'threads', 'uploads', 'vector_stores', 'videos'],
  ...['classify', 'complete', 'detokenize', 'embed', 'fim', 'generate', 'ocr', 'pooling'],
  ...['rerank', 'score', 'tokenize'],
];

/** Ends of call URLs, each with the API that has them. No base ends in this way. */
const others: readonly (readonly [end: RegExp, whose: string])[] = [
  [new RegExp(`(?<=/v\\d+[a-z0-9]*|/openai)/(${resources.join('|')})(/.*)?$`, 'i'), 'OpenAI'],
  [/\/api\/(chat|copy|create|delete|embed|embeddings|generate|ps|pull|push|show|tags|version)$/i, 'Ollama'],
  [/\/messages(\/batches|\/count_tokens)?$/i, 'Anthropic'],
  [/:\w*(generate|predict|embed|count)\w*$/i, 'Google'],
  [/\/(invocations|predict|predictions)$/i, 'a model server'],
  [/\/(completion|infill|rerank|tokenize|detokenize)$/i, 'a model server'],
  [/\/(docs|redoc|openapi\.json|health|healthz|metrics|ping)$/i, 'a model server'],
];

/** Websites of providers. They show keys but have no API. */
const websites =
  /^((www\.|platform\.|chat\.|help\.)?openai\.com|chatgpt\.com|(ai|oai|portal)\.azure\.com|aistudio\.google\.com|platform\.(claude|deepseek)\.com)$/i;

/**
 * Returns the problem of a URL of a website or of a call that is not in the endpoint table. Returns `undefined` for any
 * other URL.
 *
 * @param path without trailing slashes and without the path of a known call
 */
export function otherCallProblem(origin: string, path: string): string | undefined {
  if (websites.test(new URL(origin).hostname)) {
    return "must be the URL of the provider's API, not of its website. Copy it from the API reference";
  }
  const found = others.find(([end]) => end.test(path));
  // Another server may have an OpenAI-compatible API at `/api`, but Ollama does not.
  const whose =
    found?.[1] ?? (/(:11434|\/ollama\.com)$/.test(origin) && /^\/api$/i.test(path) ? 'Ollama' : undefined);
  if (whose === undefined) return undefined;
  const known = documentedBase(origin);
  if (known !== undefined) return `must not be the URL of a single call. Paste ${known}, or remove api_base`;
  if (whose === 'OpenAI') {
    return 'must not be the URL of a single call. Paste the part before the call, such as https://host/v1';
  }
  return `must be an OpenAI-compatible URL, not a call of ${whose}'s own API. Most servers have it at https://host/v1. Paste that one`;
}
