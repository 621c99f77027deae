import { classifyAnswer } from '../upstream/classify-answer.ts';
import { safeToken } from '../upstream/safe-words.ts';
import { type SharedError, sharedError } from '../upstream/shared-error.ts';

type Fields = Record<string, unknown>;

/** The members that hold what OpenAI's endpoints were asked for. An answer that has one is a success. */
const content = ['choices', 'data', 'output', 'text', 'results', 'segments', 'input_tokens'];
/** Members of an answer in which providers explain a failure. They are removed from answers that pass. */
const removed = [
  'base_resp',
  'detail',
  'details',
  'error_code',
  'error_description',
  'error_message',
  'error_msg',
  'errors',
  'fault',
  'message',
  'msg',
  'status_msg',
  'user_id',
];
/** Members that make an answer without content a failure, whatever its code is. */
const failing = [
  'error',
  'errors',
  'error_code',
  'error_description',
  'error_message',
  'error_msg',
  'detail',
  'details',
  'fault',
];
/** Members that explain a failure, unless a code at the same level reports success. */
const words = ['message', 'msg', 'status_msg', 'reason', 'description'];
const codes = ['code', 'status_code', 'status'];

function holdsContent(value: Fields): boolean {
  return content.some((name) => value[name] !== undefined);
}

/** Returns whether a JSON answer of a shared deployment is a failure. Providers have other shapes of success than OpenAI's. */
function isFailure(value: unknown, isPart = false): boolean {
  if (Array.isArray(value)) return !isPart && value.some((part) => isFailure(part, true));
  // Text without an object around it is an explanation.
  if (!isObject(value)) return !isPart && typeof value === 'string';
  if (holdsContent(value)) return false;
  if (failing.some((name) => explains(value[name]))) return true;
  const { base_resp } = value;
  if (isObject(base_resp) && !reportsSuccess(base_resp)) return true;
  return !reportsSuccess(value) && words.some((name) => explains(value[name]) && !isChatMessage(value[name]));
}

function explains(value: unknown): boolean {
  return typeof value === 'number' ? value !== 0 : value !== false && tellsOf(value) && !isEmpty(value);
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** Returns whether a code says that the call succeeded, as `{"code":0,"msg":"ok"}` does. */
function reportsSuccess(value: Fields): boolean {
  return codes.some((name) => /^(?:0|200|ok|success|succeeded|completed)$/i.test(String(value[name])));
}

/** Returns whether `message` is the answer of a chat, as it is in Cohere's and Ollama's APIs. */
function isChatMessage(value: unknown): boolean {
  return isObject(value) && value.role !== undefined && value.content !== undefined;
}

/** What an answer of a shared deployment looks like that has to be parsed, because it may explain a failure. */
export const mayExplain: RegExp =
  /"(?:error(?:s|_message|_description)?|details?|base_resp|fault|status_msg|user_id)"\s*:\s*[{["]|"(?:message|msg|error_msg|error_code)"\s*:\s*["\d]|"incomplete_details"\s*:\s*\{/;

/**
 * Reads a JSON answer of a shared deployment, as far as it may explain a failure.
 *
 * @param value the answer parsed, if it is short; modified
 * @param body what the caller may see; the result has another `body` if it says something of an error
 */
export function readShared(value: Fields | undefined, body: Buffer): { failed: boolean; body?: Buffer } {
  if (value === undefined && !mayExplain.test(body.toString('latin1'))) return { failed: false };
  if (value !== undefined && isFailure(isText(body) ? '' : value)) return { failed: true };
  // Nearly no answer needs to be written again.
  if (value !== undefined && !replaceErrors(value)) return { failed: false };
  try {
    const shown = JSON.parse(body.toString('utf8')) as Fields;
    if (isFailure(shown)) return { failed: true };
    if (!replaceErrors(shown)) return { failed: false };
    return { failed: false, body: Buffer.from(JSON.stringify(shown)) };
  } catch {
    return { failed: true };
  }
}

/** Returns whether a body of JSON is a string. */
function isText(body: Buffer): boolean {
  return body.toString('latin1', 0, 64).trimStart().startsWith('"');
}

/**
 * Replaces what an answer of a shared deployment says of an error, in place. Returns whether there was anything to
 * replace.
 */
export function replaceErrors(value: Fields): boolean {
  let changed = false;
  for (const outer of [value, value.response]) {
    if (!isObject(outer)) continue;
    for (const name of removed) {
      if (outer[name] === undefined || outer[name] === null || isChatMessage(outer[name])) continue;
      delete outer[name];
      changed = true;
    }
    if (isObject(outer.incomplete_details)) {
      const { reason } = outer.incomplete_details;
      outer.incomplete_details = { reason: safeToken(reason) ?? 'other' };
      changed = true;
    }
    for (const holder of [outer, ...listOf(outer.choices), ...listOf(outer.output)]) {
      if (!isObject(holder) || !tellsOf(holder.error)) continue;
      holder.error = errorOf(holder.error);
      changed = true;
    }
  }
  return changed;
}

function errorOf(error: unknown): SharedError {
  const body = Buffer.from(JSON.stringify({ error }));
  const answer = { status: 200, headers: {}, body };
  return sharedError(answer, classifyAnswer(answer));
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function tellsOf(error: unknown): boolean {
  return typeof error === 'string' ? error !== '' : typeof error === 'object' && error !== null;
}

const carriedChars = 256;
const longMessage =
  /"error"\s*:\s*(?:\{[^{}]{0,200}"message"\s*:\s*)?"|"(?:detail|status_msg|error_message)"\s*:\s*"[^"]{16}/;

/** Looks for the words of an error in an answer or an event that is too long to be parsed. */
export class LongAnswerCheck {
  #carried = '';

  /** Returns whether the bytes so far end in the words of an error. */
  tells(bytes: Buffer): boolean {
    const text = this.#carried + bytes.toString('latin1');
    this.#carried = text.slice(-carriedChars);
    return longMessage.test(text);
  }
}
