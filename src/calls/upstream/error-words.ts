import { withoutQuotes, wrappedJson } from './quoted-text.ts';

/** What a provider's error answer says, in the forms that providers use. */
export interface ErrorWords {
  shape: 'json' | 'page' | 'text' | 'none';
  /** It says by its form that it is an error, whatever its status. */
  failed: boolean;
  /** Values of `code`, `type`, `status` and the like, in lower case without punctuation: `insufficientquota`. */
  codes: ReadonlySet<string>;
  /** The messages, in lower case, without addresses and without what they quote, at most `maxWords` characters. */
  words: string;
  /** The names of the request's parts that the error is about, such as `messages[0].role`. */
  params: readonly string[];
  /**
   * First message, unchanged. Absent without a message, or if it exceeds `maxMessage`, because a cut could hide
   * a secret.
   */
  message?: string;
}

/** Bytes of an answer that are looked at. JSON that is longer is not parsed. */
const maxBytes = 65_536;
const maxTextBytes = 2_048;
const maxWords = 4_096;
const maxMessage = 1_024;
const maxMessages = 32;
const maxNodes = 128;
const maxDepth = 8;
const maxEvents = 8;

const codeKeys: ReadonlySet<string> = new Set([
  '__type',
  'code',
  'error_code',
  'error_type',
  'errorcode',
  'errortype',
  'kind',
  'name',
  'reason',
  'status',
  'type',
]);
/** Never `input` and the like, where providers repeat what the caller wrote. */
const wordKeys: ReadonlySet<string> = new Set([
  'cause',
  'description',
  'detail',
  'details',
  'error',
  'error_description',
  'error_message',
  'error_msg',
  'errormessage',
  'errors',
  'faultstring',
  'message',
  'msg',
  'quotaid',
  'raw',
  'reason',
  'status_msg',
  'title',
]);
/** Keys that contain an error, besides `wordKeys`. */
const containerKeys: ReadonlySet<string> = new Set([
  'base_resp',
  'body',
  'data',
  'fault',
  'fieldviolations',
  'inner_error',
  'innererror',
  'metadata',
  'response',
  'violations',
]);

/** Where an error names the part of the request that it is about: as OpenAI, FastAPI and Google have it. */
const paramKey = 'param';
const locationKey = 'loc';
const fieldKey = 'field';
const paramKeys: ReadonlySet<string> = new Set([paramKey, locationKey, fieldKey]);

const nothing: ErrorWords = { shape: 'none', failed: false, codes: new Set(), words: '', params: [] };

/** Reads an error answer. Looks at a bounded part of it, and never throws. */
export function errorWords(body: Uint8Array): ErrorWords {
  if (body.length === 0) return nothing;
  const bytes = Buffer.from(body.buffer, body.byteOffset, Math.min(body.length, maxBytes));
  const text = bytes.toString('utf8').trim();
  if (text === '') return nothing;
  if (/^(<!--|<!doctype|<\?xml|<html|<head|<body)/i.test(text))
    return { ...nothing, shape: 'page', failed: true };
  const values = body.length > maxBytes ? [] : valuesIn(text);
  if (values.length > 0) return readValues(values);
  const beginning = bytes.toString('utf8', 0, maxTextBytes).trim();
  return { ...nothing, shape: 'text', words: plainWords(beginning) };
}

/** A JSON text, or the data of the first server-sent events. */
function valuesIn(text: string): unknown[] {
  const whole = parsed(text);
  if (whole !== undefined) return [whole];
  const values: unknown[] = [];
  let tried = 0;
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (!line.startsWith('data:')) continue;
    const value = parsed(line.slice('data:'.length));
    if (value !== undefined) values.push(value);
    if (++tried === maxEvents) break;
  }
  return values;
}

function parsed(text: string): object | string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' || (typeof value === 'object' && value !== null) ? value : undefined;
  } catch {
    return undefined;
  }
}

function readValues(values: readonly unknown[]): ErrorWords {
  const codes = new Set<string>();
  const messages: Message[] = [];
  const params: string[] = [];
  const open = values.map((value) => ({ key: 'error', value, depth: 0 }));
  // Breadth first: the outer message is the provider's own, an inner one may be that of a server behind it.
  for (let next = 0; next < open.length && next < maxNodes; next++) {
    const { key, value, depth } = open[next] ?? { key: '', value: undefined, depth: 0 };
    if (typeof value === 'string' || typeof value === 'number') {
      if (codeKeys.has(key) || (key === 'error' && !String(value).includes(' ')))
        codes.add(squashed(String(value)));
      if (key === paramKey || key === fieldKey) params.push(String(value));
      if (wordKeys.has(key) && typeof value === 'string' && value !== '') {
        messages.push({ key, depth, text: value });
        const inner = parsed(wrappedJson(value) ?? '');
        if (inner !== undefined && depth < maxDepth)
          open.push({ key: 'error', value: inner, depth: depth + 1 });
      }
    } else if (key === locationKey) {
      if (Array.isArray(value)) params.push(value.filter((part) => part !== 'body').join('.'));
    } else if (Array.isArray(value)) {
      for (const item of value.slice(0, 16))
        if (depth < maxDepth) open.push({ key, value: item, depth: depth + 1 });
    } else if (typeof value === 'object' && value !== null && depth < maxDepth) {
      for (const [name, inner] of Object.entries(value).slice(0, 32)) {
        const known = name.toLowerCase();
        if (codeKeys.has(known) || wordKeys.has(known) || containerKeys.has(known) || paramKeys.has(known))
          open.push({ key: known, value: inner, depth: depth + 1 });
      }
    }
  }
  codes.delete('');
  const message = mainMessage(messages);
  const words = plainWords(...messages.map(({ text }) => text));
  return {
    shape: 'json',
    failed: values.some(isError),
    codes,
    words,
    params,
    ...(message !== undefined && message.length <= maxMessage && { message }),
  };
}

interface Message {
  key: string;
  depth: number;
  text: string;
}

/**
 * Returns the first message. A code under `error`, as in OAuth, and the title of problem details (RFC 9457)
 * yield to the description at the same level or one level below.
 */
function mainMessage(messages: readonly Message[]): string | undefined {
  const [first] = messages;
  if (first === undefined) return undefined;
  const isLabel = ({ key, text }: Message) => key === 'title' || (key === 'error' && !text.includes(' '));
  if (!isLabel(first)) return first.text;
  const better = messages.find((each) => !isLabel(each) && each.depth <= first.depth + 2);
  return (better ?? first).text;
}

function isError(value: unknown): boolean {
  // Gemini answers with an array that holds the error.
  const outer: unknown = Array.isArray(value) ? value[0] : value;
  if (typeof outer !== 'object' || outer === null) return false;
  const { error, object, type } = outer as Record<string, unknown>;
  const empty = error === undefined || error === null || error === '' || error === false;
  const named = object === 'error' || type === 'error' || type === 'response.failed';
  return !empty || named || failureStatus(outer) !== undefined;
}

/** The members that hold what a call asked for. An answer that has one is no failure, whatever its codes say. */
const contentKeys = [
  'choices',
  'content',
  'data',
  'embeddings',
  'input_tokens',
  'output',
  'result',
  'results',
  'segments',
  'text',
  'vectors',
];
const successCode = /^(0+|20\d|ok|success|succeeded|completed)?$/i;

/** Returns whether a JSON answer holds anything that a call can ask for. */
export function holdsContent(value: object): boolean {
  return contentKeys.some((key) => !isEmpty((value as Record<string, unknown>)[key]));
}

/**
 * Returns the status of a failure that a JSON answer reports in members other than `error`: its own code if that is one of an
 * HTTP error, 502 otherwise, and `undefined` if it reports none. MiniMax has `base_resp`, Baidu `error_code` and `error_msg`,
 * SiliconFlow and Zhipu `code` and `message` or `msg`.
 */
export function failureStatus(value: object): number | undefined {
  const code = failureCode(value as Record<string, unknown>);
  if (code === undefined) return undefined;
  const status = Number(code);
  return Number.isInteger(status) && status >= 400 && status <= 599 ? status : 502;
}

function failureCode(value: Record<string, unknown>): unknown {
  if (holdsContent(value)) return undefined;
  const { base_resp, error_code, error_msg, code, data, id, message, msg = message, object } = value;
  const inner = (base_resp as { status_code?: unknown } | null | undefined)?.status_code;
  if (isFailureCode(inner)) return inner;
  if (isFailureCode(error_code)) return error_code;
  if (error_code === undefined && isFailureText(error_msg)) return error_msg;
  // What has an `id` is an object of the API, unless it says that it holds nothing.
  const bare = data === null || (id === undefined && (object === undefined || object === 'error'));
  return bare && isFailureCode(code) && isFailureText(msg) ? code : undefined;
}

function isFailureCode(code: unknown): boolean {
  return (typeof code === 'number' || typeof code === 'string') && !successCode.test(String(code));
}

function isFailureText(text: unknown): boolean {
  return typeof text === 'string' && !successCode.test(text);
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function squashed(text: string): string {
  return text
    .slice(0, 128)
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '');
}

/** An address may hold any word, such as that of a page about rate limits. */
function plainWords(...messages: string[]): string {
  return messages
    .slice(0, maxMessages)
    .map((message) => withoutQuotes(message.slice(0, maxWords)))
    .join('. ')
    .slice(0, maxWords)
    .toLowerCase()
    .replace(/https?:\/\/\S+/g, ' ')
    .replace(/[\u2018\u2019]/g, "'")
    .replace(/[`"]/g, '')
    .replace(/[\s_]+/g, ' ')
    .trim();
}
