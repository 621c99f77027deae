import { RouterError } from '../errors.ts';

/** Where the top-level values of a JSON object stand in its text. Nothing below them is parsed. */
export interface BodyScan {
  model?: { value: string; start: number; end: number };
  /** Whether `stream` is the literal `true`. */
  stream: boolean;
  /** Spans of the top-level values: [start, end). */
  keys: ReadonlyMap<string, readonly [start: number, end: number]>;
  /** The index after the opening brace. */
  open: number;
}

/** Where a call goes and with which key is the router's to say, never the body's. */
export const forbiddenKeys = new Set([
  'api_key',
  'api_base',
  'base_url',
  'api_version',
  'custom_llm_provider',
  'litellm_params',
]);

/**
 * Scans a JSON body for its top-level keys. Numbers and escapes stay as they were written, and long texts are
 * jumped over: the model is replaced in the text itself.
 *
 * @throws RouterError `invalid_request` if it is no object, or a top-level key stands twice or is forbidden
 */
export function scanBody(text: string): BodyScan {
  const keys = new Map<string, readonly [number, number]>();
  const open = expect(text, skipSpace(text, 0), '{');
  let at = skipSpace(text, open);
  if (text[at] !== '}') {
    for (;;) {
      const keyEnd = stringEnd(text, at);
      const key = decodeString(text.slice(at, keyEnd), undefined);
      if (keys.has(key)) throw refusal(`${shown(key)} stands twice in the body.`, key);
      if (forbiddenKeys.has(key)) throw refusal(`${key} may not be set by a call.`, key);
      const start = skipSpace(text, expect(text, skipSpace(text, keyEnd), ':'));
      const end = valueEnd(text, start);
      keys.set(key, [start, end]);
      at = skipSpace(text, end);
      if (text[at] === '}') break;
      at = skipSpace(text, expect(text, at, ','));
    }
  }
  if (skipSpace(text, at + 1) !== text.length) throw unreadable();
  return {
    ...readModel(text, keys.get('model')),
    stream: literal(text, keys.get('stream')) === 'true',
    keys,
    open,
  };
}

/** The same text with another model. */
export function replaceModel(text: string, scan: BodyScan, model: string): string {
  if (scan.model === undefined) return text;
  return text.slice(0, scan.model.start) + JSON.stringify(model) + text.slice(scan.model.end);
}

/**
 * The same text with what it lacks of `extra`, put in front of everything else: positions behind the opening
 * brace need not hold, so a text in which the model was replaced may be given with the scan of the one before.
 */
export function mergeExtra(text: string, scan: BodyScan, extra: Record<string, unknown>): string {
  const lacking = Object.entries(extra).filter(([key, value]) => !scan.keys.has(key) && value !== undefined);
  if (lacking.length === 0) return text;
  const members = lacking.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',');
  const comma = scan.keys.size === 0 ? '' : ',';
  return text.slice(0, scan.open) + members + comma + text.slice(scan.open);
}

/**
 * Every key of a valid JSON text, at whatever depth, with the text of its value if that is a scalar. Unlike the
 * outcome of `JSON.parse` it shows a key that stands twice twice, and one with escapes as what it is, which V8
 * does not always do.
 *
 * @see https://github.com/nodejs/node/issues/63785
 */
export function* membersOf(text: string): Generator<{ key: string; value: string | undefined }> {
  for (let start = text.indexOf('"'); start !== -1; ) {
    const end = stringEnd(text, start);
    const colon = skipSpace(text, end);
    if (text[colon] === ':') {
      const at = skipSpace(text, colon + 1);
      const nested = text[at] === '{' || text[at] === '[';
      const key = decodeString(text.slice(start, end), undefined);
      yield { key, value: nested ? undefined : text.slice(at, valueEnd(text, at)) };
    }
    start = text.indexOf('"', end);
  }
}

/** The text of a top-level value, if there is one. */
export function literal(text: string, span: readonly [number, number] | undefined): string | undefined {
  return span === undefined ? undefined : text.slice(span[0], span[1]);
}

function readModel(text: string, span: readonly [number, number] | undefined): Pick<BodyScan, 'model'> {
  if (span === undefined) return {};
  const [start, end] = span;
  if (text[start] !== '"') throw refusal('model must be a string.', 'model');
  return { model: { value: decodeString(text.slice(start, end), 'model'), start, end } };
}

function skipSpace(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return at;
    at++;
  }
}

function expect(text: string, at: number, character: string): number {
  if (text[at] !== character) throw unreadable();
  return at + 1;
}

/** The index after the string that begins at `start`. */
function stringEnd(text: string, start: number): number {
  if (text[start] !== '"') throw unreadable();
  let quote = start;
  for (;;) {
    quote = text.indexOf('"', quote + 1);
    if (quote === -1) throw unreadable();
    let before = quote - 1;
    while (text[before] === '\\') before--;
    // An even number of backslashes escape each other, not the quotation mark.
    if ((quote - before) % 2 === 1) return quote + 1;
  }
}

const opening = new Map([
  ['{', '}'],
  ['[', ']'],
]);

/** The index after the value that begins at `start`. */
function valueEnd(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return stringEnd(text, start);
  if (first === '{' || first === '[') return nestedEnd(text, start);
  let at = start;
  while (at < text.length && !/[\s,}\]]/.test(text[at] ?? '')) at++;
  if (!/^(true|false|null|-?[0-9][-+.0-9eE]*)$/.test(text.slice(start, at))) throw unreadable();
  return at;
}

function nestedEnd(text: string, start: number): number {
  const closing: string[] = [];
  for (let at = start; at < text.length; ) {
    const character = text[at] ?? '';
    if (character === '"') {
      at = stringEnd(text, at);
      continue;
    }
    const closer = opening.get(character);
    if (closer !== undefined) closing.push(closer);
    else if (character === '}' || character === ']') {
      if (closing.pop() !== character) throw unreadable();
      if (closing.length === 0) return at + 1;
    }
    at++;
  }
  throw unreadable();
}

function decodeString(text: string, param: string | undefined): string {
  // Nearly every one: nothing in it is escaped, and nothing would have to be.
  if (plainString.test(text)) return text.slice(1, -1);
  try {
    return JSON.parse(text) as string;
  } catch {
    throw param === undefined ? unreadable() : refusal(`${param} is not a valid string.`, param);
  }
}

const plainString = /^"[\x20-\x21\x23-\x5b\x5d-\x7e]*"$/;

function shown(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}

function refusal(message: string, param: string): RouterError {
  return new RouterError('invalid_request', message, { param: param.slice(0, 64) });
}

function unreadable(): RouterError {
  return new RouterError('invalid_request', 'The body is not a JSON object that can be read.');
}
