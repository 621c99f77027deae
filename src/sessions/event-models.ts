import { checkSpelling } from '../calls/json/reader.ts';
import { RouterError } from '../errors.ts';

/** The paths at which an event may name a model. */
interface Tree {
  [key: string]: Tree | true;
}

const transcription: Tree = { model: true };
const session: Tree = {
  model: true,
  audio: { input: { transcription } },
  input_audio_transcription: transcription,
};
const paths: Tree = { model: true, session, response: { model: true } };

/** A model's name in an event. */
export interface ModelSpan {
  /** Position of its opening quotation mark. */
  start: number;
  end: number;
  name: string;
  /** Whether it names the model of a transcription inside of the session. */
  nested: boolean;
}

/**
 * Finds the names of models in an event. Every occurrence counts, also of a duplicate key.
 *
 * @param text valid JSON
 * @throws RouterError `invalid_request` for a key that a lenient parser takes for one of a model, such as `Model`
 */
export function modelSpans(text: string): ModelSpan[] {
  const spans: ModelSpan[] = [];
  const start = skipSpace(text, 0);
  if (text[start] === '{') readObject(text, start, paths, spans, false);
  return spans;
}

/** Replaces names of models in an event. Every other character stays as it is. */
export function replaceModels(
  text: string,
  spans: readonly ModelSpan[],
  nameOf: (span: ModelSpan) => string,
): string {
  let replaced = '';
  let from = 0;
  for (const span of spans) {
    const name = nameOf(span);
    if (name === span.name) continue;
    replaced += text.slice(from, span.start) + JSON.stringify(name);
    from = span.end;
  }
  return from === 0 ? text : replaced + text.slice(from);
}

/** Returns whether an event may name a model. A key may be written with escapes, or in other letters. */
export function mayNameModel(text: string): boolean {
  return /model|\\u|[^\n-~]/i.test(text);
}

/** @throws RouterError `invalid_request` for text that is no JSON object */
export function parseEvent(text: string): Record<string, unknown> {
  try {
    const event: unknown = JSON.parse(text);
    if (typeof event === 'object' && event !== null && !Array.isArray(event))
      return event as Record<string, unknown>;
  } catch {
    // The error of JSON.parse quotes the text.
  }
  throw new RouterError('invalid_request', 'The event must be a JSON object.');
}

const noNames: ReadonlyMap<string, string> = new Map();

/** Returns the position behind the object. */
function readObject(text: string, start: number, tree: Tree, spans: ModelSpan[], nested: boolean): number {
  let at = skipSpace(text, start + 1);
  while (at < text.length && text[at] !== '}') {
    const keyEnd = stringEnd(text, at);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    const valueAt = skipSpace(text, skipSpace(text, keyEnd) + 1);
    checkSpelling(key, noNames, (name) => Object.hasOwn(tree, name));
    const branch = Object.hasOwn(tree, key) ? tree[key] : undefined;
    at = readValue(text, valueAt, branch, spans, nested || branch === transcription);
    at = skipSpace(text, at);
    if (text[at] === ',') at = skipSpace(text, at + 1);
  }
  return at + 1;
}

function readValue(
  text: string,
  start: number,
  branch: Tree | true | undefined,
  spans: ModelSpan[],
  nested: boolean,
): number {
  const first = text[start];
  if (first === '"') {
    const end = stringEnd(text, start);
    if (branch === true)
      spans.push({ start, end, name: JSON.parse(text.slice(start, end)) as string, nested });
    return end;
  }
  if (first === '{' && typeof branch === 'object') return readObject(text, start, branch, spans, nested);
  return first === '{' || first === '[' ? containerEnd(text, start) : scalarEnd(text, start);
}

function stringEnd(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let escapes = at;
    while (text[escapes - 1] === '\\') escapes -= 1;
    if ((at - escapes) % 2 === 0) return at + 1;
  }
  return text.length;
}

const brackets = /["[\]{}]/g;

function containerEnd(text: string, start: number): number {
  let depth = 0;
  brackets.lastIndex = start;
  for (let found = brackets.exec(text); found !== null; found = brackets.exec(text)) {
    if (found[0] === '"') brackets.lastIndex = stringEnd(text, found.index);
    else depth += found[0] === '{' || found[0] === '[' ? 1 : -1;
    if (depth === 0) return brackets.lastIndex;
  }
  return text.length;
}

function scalarEnd(text: string, start: number): number {
  let at = start;
  while (at < text.length && !',]} \t\r\n'.includes(text[at] ?? '')) at += 1;
  return at;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (' \t\r\n'.includes(text[at] ?? '-')) at += 1;
  return at;
}
