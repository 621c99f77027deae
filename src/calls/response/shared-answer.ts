import { classifyAnswer } from '../upstream/classify-answer.ts';
import { safeToken } from '../upstream/safe-words.ts';
import { type SharedError, sharedError } from '../upstream/shared-error.ts';

type Fields = Record<string, unknown>;

/** The members by which a JSON answer under a 200 is one. Each endpoint that a shared deployment serves has one of them. */
const content = ['choices', 'data', 'output', 'text', 'results', 'segments', 'input_tokens'];
/** Members of an answer in which providers explain a failure. */
const explaining = [
  'base_resp',
  'detail',
  'details',
  'error_description',
  'error_message',
  'errors',
  'message',
  'msg',
  'status_msg',
  'user_id',
];

/** Returns whether a JSON answer of a shared deployment holds what was asked for. */
function holdsContent(value: Fields): boolean {
  return content.some((name) => value[name] !== undefined);
}

/** What an answer of a shared deployment looks like that has to be parsed, because it may explain a failure. */
export const mayExplain: RegExp =
  /"(?:error(?:s|_message|_description)?|details?|base_resp|status_msg|user_id)"\s*:\s*[{["]|"(?:message|msg)"\s*:\s*"|"incomplete_details"\s*:\s*\{/;

/**
 * Reads a JSON answer of a shared deployment, as far as it may explain a failure.
 *
 * @param value the answer parsed, if it is short; modified
 * @param body what the caller may see; the result has another `body` if it says something of an error
 */
export function readShared(value: Fields | undefined, body: Buffer): { failed: boolean; body?: Buffer } {
  if (value === undefined && !mayExplain.test(body.toString('latin1'))) return { failed: false };
  if (value !== undefined && !holdsContent(value)) return { failed: true };
  // Nearly no answer needs to be written again.
  if (value !== undefined && !replaceErrors(value)) return { failed: false };
  try {
    const shown = JSON.parse(body.toString('utf8')) as Fields;
    if (!replaceErrors(shown)) return { failed: !holdsContent(shown) };
    return { failed: !holdsContent(shown), body: Buffer.from(JSON.stringify(shown)) };
  } catch {
    return { failed: true };
  }
}

/**
 * Replaces what an answer of a shared deployment says of an error, in place. Returns whether there was anything to
 * replace.
 */
export function replaceErrors(value: Fields): boolean {
  let changed = false;
  for (const outer of [value, value.response]) {
    if (!isObject(outer)) continue;
    for (const name of explaining) {
      if (outer[name] === undefined || outer[name] === null) continue;
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
