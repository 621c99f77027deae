/** Checks that several schemas or views share. */

/** Prefix of internal names. Public names cannot have it. */
export const internalPrefix = 'model_name_';

// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern must match control characters
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/**
 * Returns whether a text is well-formed and free of control characters. Encoding would map all lone surrogates to one
 * character.
 */
export function isText(value: string): boolean {
  return value.isWellFormed() && !control.test(value);
}

/** Types of OpenAI calls: the first segment of their paths. */
export const callTypes = [
  'agents',
  'assistants',
  'audio',
  'batches',
  'chat',
  'chatkit',
  'completions',
  'containers',
  'content_provenance_checks',
  'conversations',
  'decisions',
  'embeddings',
  'evals',
  'files',
  'fine_tuning',
  'images',
  'live',
  'moderations',
  'realtime',
  'responses',
  'safety',
  'skills',
  'threads',
  'uploads',
  'vaults',
  'vector_stores',
  'videos',
  'webhook_endpoints',
  'webhook_event_types',
] as const;

/** One api-version, or one per call type. `default` is for all other types. */
export type ApiVersion = string | { [Type in 'default' | (typeof callTypes)[number]]?: string };

/** Returns whether a value is an api-version or an object of api-versions by call type. */
export function isApiVersion(value: unknown): value is ApiVersion {
  const version = (text: unknown) =>
    typeof text === 'string' && /^[\w.-]{1,64}$/.test(text) && !isIndirectValue(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return version(value);
  const known: readonly string[] = ['default', ...callTypes];
  return Object.entries(value).every(([type, text]) => known.includes(type) && version(text));
}

/**
 * Returns whether a value is a reference that other systems resolve from the environment or from a file of the host.
 */
export function isIndirectValue(value: string): boolean {
  return /^\s*(os\.environ\/|env:|file:)|\$\{/i.test(value);
}

const jsonLimit = 65_536;

/** Returns whether a value is a plain JSON object of at most 64 KiB without a `__proto__` key. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  if (!isJson(value, 32, { remaining: jsonLimit })) return false;
  return JSON.stringify(value).length <= jsonLimit;
}

/** @param budget remaining number of values to check, because each value takes at least one byte of the text */
function isJson(value: unknown, depth: number, budget: { remaining: number }): boolean {
  if (--budget.remaining < 0) return false;
  if (value === null || typeof value === 'boolean') return true;
  if (typeof value === 'string') return value.isWellFormed() && !isIndirectValue(value);
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || depth === 0) return false;
  if (Array.isArray(value)) return value.every((item) => isJson(item, depth - 1, budget));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return Object.entries(value).every(
    ([key, item]) => key !== '__proto__' && key.isWellFormed() && isJson(item, depth - 1, budget),
  );
}

/**
 * Returns whether a value has LiteLLM's format of fallbacks, `[{ name: [names] }]`. A name has at most 256
 * characters, a list at most 10 names.
 */
export function isFallbackLists(value: unknown): value is Record<string, string[]>[] {
  const isName = (name: unknown) =>
    typeof name === 'string' && name !== '' && name.length <= 256 && isText(name) && !isIndirectValue(name);
  const isList = (list: unknown) =>
    Array.isArray(list) && list.length >= 1 && list.length <= 10 && list.every(isName);
  return (
    Array.isArray(value) &&
    value.length <= 1000 &&
    value.every(
      (entry: unknown) =>
        typeof entry === 'object' &&
        entry !== null &&
        !Array.isArray(entry) &&
        Object.keys(entry).length <= 1000 &&
        Object.entries(entry).every(([name, list]) => isName(name) && isList(list)),
    )
  );
}
