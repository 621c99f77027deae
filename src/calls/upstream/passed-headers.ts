import { labelOf } from './content-kind.ts';

type Given = Record<string, string | string[] | undefined>;

/** Of the provider's headers only these pass: it may be hostile, and it answers on the application's own origin. */
export const passedNames: ReadonlySet<string> = new Set([
  'content-type',
  'content-length',
  'content-disposition',
  'x-request-id',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
]);
/** No digits: a provider could write a key into a name. */
const passedPrefixes = /^(openai|x-ratelimit)-[a-z_-]{1,48}$/;

const passedTypes =
  /^(application\/([a-z0-9.+-]*\+)?json|application\/x-ndjson|application\/jsonl|text\/event-stream|text\/plain|(audio|image|video|multipart)\/[a-z0-9.+-]+|application\/octet-stream)\s*(;|$)/i;

export function passHeaders(given: Given): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name in given) {
    if (!passedNames.has(name) && !passedPrefixes.test(name)) continue;
    const value = given[name];
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined && (name !== 'content-length' || /^\d+$/.test(first))) headers[name] = first;
  }
  const type = typeOf(given);
  if (type !== undefined) headers['content-type'] = type;
  if (type !== 'application/json' && (type === undefined || !passedTypes.test(type)))
    headers['content-type'] = 'application/octet-stream';
  return headers['content-disposition'] === undefined ? headers : lengthLast(headers);
}

export const sharedPassed: Readonly<Record<string, RegExp>> = {
  'content-type':
    /^[a-z]+\/[a-z0-9.+-]{1,64}(; ?(charset=[\w-]{1,16}|(rate|channels|bits)=\d{1,8}|codecs=\w{1,16}|boundary=[\w-]{1,70}))*$/i,
  'content-length': /^\d{1,15}$/,
  'retry-after': /^(\d{1,10}(\.\d{1,10})?|[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT)$/,
  'retry-after-ms': /^\d{1,15}(\.\d{1,10})?$/,
  'x-should-retry': /^(true|false)$/,
  'openai-processing-ms': /^\d{1,15}(\.\d{1,10})?$/,
};

/** Returns the headers of a shared deployment's answer that say nothing of the operator's account. */
export function passSharedHeaders(given: Given): Record<string, string> {
  const { 'content-type': type = '', ...headers } = passHeaders(given);
  const harmless = Object.entries(headers).filter(([name, value]) => sharedPassed[name]?.test(value));
  const shown = sharedPassed['content-type']?.test(type) ? type : (type.split(/[;\s]/, 1)[0] ?? type);
  return { 'content-type': shown, ...Object.fromEntries(harmless) };
}

/** Behind a length Node takes the bytes of a file's name for UTF-8, which no header can carry. */
function lengthLast({ 'content-length': length, ...others }: Record<string, string>): Record<string, string> {
  return length === undefined ? others : { ...others, 'content-length': length };
}

/** Returns all content types of an answer, from repeated headers and from a list in one. */
export function typesOf(headers: Given): string[] {
  const type = headers['content-type'];
  if (type === undefined) return [];
  return typeof type === 'string' ? listedIn(type) : type.flatMap(listedIn);
}

/**
 * Returns the content type that decides how an answer is read, or else the first one. Returns `undefined` for one header
 * that lists different types, unless all of them may pass and the answer is JSON, because readers choose differently.
 */
function typeOf(headers: Given): string | undefined {
  const types = typesOf(headers);
  if (types.length < 2) return types[0];
  const label = labelOf(types);
  const deciding = types.find((type) => labelOf([type]) === label);
  const names = new Set(types.map((type) => (type.split(';', 1)[0] ?? '').trim().toLowerCase()));
  const isList = typeof headers['content-type'] === 'string';
  const isSafe = label === 'json' && types.every((type) => passedTypes.test(type));
  return isList && names.size > 1 && !isSafe ? undefined : deciding;
}

/** Splits a list at its commas, but not at those within quotation marks. */
function listedIn(type: string): string[] {
  if (!type.includes(',')) return [type];
  const types = (type.match(/(?:[^,"]|"[^"]*"?)+/g) ?? []).map((each) => each.trim());
  return types.filter((each) => each !== '');
}

/** What a provider asks to wait, in milliseconds: a number of seconds, of milliseconds, or a date. */
export function retryAfterMs(headers: Given): number | undefined {
  const milliseconds = Number(headers['retry-after-ms'] ?? Number.NaN);
  if (milliseconds >= 0) return milliseconds;
  const asked = [headers['retry-after']].flat()[0];
  if (asked === undefined) return undefined;
  const wait = asked.trim() === '' ? Number.NaN : Number(asked) * 1000;
  if (!Number.isNaN(wait)) return wait >= 0 ? wait : undefined;
  const until = Date.parse(asked) - Date.now();
  return until >= 0 ? until : undefined;
}
