/** What may stand in a field: checks that more than one schema, or the views, share. */

/** Internal names begin with this; a public name may not. */
export const internalPrefix = 'model_name_';

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Well-formed (a lone surrogate would collide with others once encoded) and free of control characters. */
export function isText(value: string): boolean {
  return value.isWellFormed() && !control.test(value);
}

/** The kinds of OpenAI calls: the first segment of their paths. */
export const callTypes = [
  'chat',
  'completions',
  'embeddings',
  'responses',
  'conversations',
  'moderations',
  'images',
  'audio',
  'files',
  'uploads',
  'batches',
  'fine_tuning',
  'vector_stores',
] as const;

/** One api-version, or one for each type of call; `default` is for those that are not named. */
export type ApiVersion = string | { [Type in 'default' | (typeof callTypes)[number]]?: string };

export function isApiVersion(value: unknown): value is ApiVersion {
  const version = (text: unknown) =>
    typeof text === 'string' && /^[\w.-]{1,64}$/.test(text) && !isIndirectValue(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return version(value);
  const known: readonly string[] = ['default', ...callTypes];
  return Object.entries(value).every(([type, text]) => known.includes(type) && version(text));
}

/** A reference that other systems read from the environment or a file of the host. */
export function isIndirectValue(value: string): boolean {
  return /^\s*(os\.environ\/|env:|file:)|\$\{/i.test(value);
}

const jsonLimit = 65_536;

/** A plain object that JSON carries unchanged in shape, of at most 64 KiB and without a `__proto__` key. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  if (!isJson(value, 32, { left: jsonLimit })) return false;
  return JSON.stringify(value).length <= jsonLimit;
}

/** @param budget values that may be looked at: each takes a byte of the text at least */
function isJson(value: unknown, depth: number, budget: { left: number }): boolean {
  if (--budget.left < 0) return false;
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

/** `[{ name: [names] }]`, as LiteLLM writes fallbacks; each name at most 256 characters of text, each list at most 10 names. */
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
