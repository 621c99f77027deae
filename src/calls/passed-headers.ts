type Given = Record<string, string | string[] | undefined>;

/** Of the provider's headers only these pass: it may be hostile, and it answers on the application's own origin. */
const passed = new Set([
  'content-type',
  'content-length',
  'content-disposition',
  'x-request-id',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
]);
const passedPrefixes = /^(openai-|x-ratelimit-)./;

const passedTypes =
  /^(application\/([a-z0-9.+-]*\+)?json|application\/x-ndjson|application\/jsonl|text\/event-stream|text\/plain|(audio|image|video|multipart)\/[a-z0-9.+-]+|application\/octet-stream)\s*(;|$)/i;

export function passHeaders(given: Given): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name in given) {
    const value = given[name];
    if (typeof value === 'string' && (passed.has(name) || passedPrefixes.test(name))) headers[name] = value;
  }
  const type = headers['content-type'];
  if (type !== 'application/json' && (type === undefined || !passedTypes.test(type)))
    headers['content-type'] = 'application/octet-stream';
  return headers['content-disposition'] === undefined ? headers : lengthLast(headers);
}

/** Behind a length Node takes the bytes of a file's name for UTF-8, which no header can carry. */
function lengthLast({ 'content-length': length, ...others }: Record<string, string>): Record<string, string> {
  return length === undefined ? others : { ...others, 'content-length': length };
}

/** What an answer is, as far as that decides how it is read. */
export type Kind = 'json' | 'events' | 'other';

/** @param headers as they are passed on: what the caller is told an answer is, it is read as */
export function kindOf(headers: Record<string, string>): Kind {
  const type = String(headers['content-type']);
  if (type === 'application/json' || isJson.test(type)) return 'json';
  return isEventStream.test(type) ? 'events' : 'other';
}

/** No OpenAI call answers with a page: that comes from something in between. */
export function isPage(headers: Given): boolean {
  return /^(text\/html|application\/xhtml\+xml)\b/i.test(String(headers['content-type']));
}

const isJson = /^application\/([a-z0-9.+-]*\+)?json\s*(;|$)/i;
const isEventStream = /^text\/event-stream\b/i;

/** What a provider asks to wait, in milliseconds: a number of seconds, of milliseconds, or a date. */
export function retryAfterMs(headers: Given): number | undefined {
  const milliseconds = Number(headers['retry-after-ms'] ?? Number.NaN);
  if (milliseconds >= 0) return milliseconds;
  const asked = headers['retry-after'];
  if (typeof asked !== 'string') return undefined;
  const wait = asked.trim() === '' ? Number.NaN : Number(asked) * 1000;
  if (!Number.isNaN(wait)) return wait >= 0 ? wait : undefined;
  const until = Date.parse(asked) - Date.now();
  return until >= 0 ? until : undefined;
}
