import { isSpace } from '../json/tokens.ts';
import { failureStatus } from '../upstream/error-words.ts';

/** Longer answers are only looked at from both ends: to parse them would cost more than to pass them on. */
const parsedBytes = 65_536;

/** The first and last bytes of JSON texts that are longer than any number or word. */
const pairs: ReadonlyMap<number | undefined, number> = new Map([
  [0x7b, 0x7d],
  [0x5b, 0x5d],
  [0x22, 0x22],
]);

/**
 * Checks that a body is complete JSON, because a provider may cut it and still end it normally. Accepts white
 * space of any length around it and a byte order mark before it, because clients drop both.
 */
export function isWhole(given: Buffer): { valid: boolean; value?: Record<string, unknown> } {
  const bytes = withoutSpace(given);
  if (bytes.length > parsedBytes) return { valid: pairs.get(bytes[0]) === bytes[bytes.length - 1] };
  try {
    // What is looked at is ASCII, and to read each byte as a character is the fastest.
    const value: unknown = JSON.parse(bytes.toString('latin1'));
    return {
      valid: true,
      value: (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>,
    };
  } catch {
    return { valid: false };
  }
}

function withoutSpace(bytes: Buffer): Buffer {
  let start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  let end = bytes.length;
  while (start < end && isSpace(bytes[start])) start++;
  while (end > start && isSpace(bytes[end - 1])) end--;
  return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
}

/** Members that identify a successful response even if it has `error`. */
const answering = ['id', 'choices', 'data', 'output', 'text', 'results', 'segments', 'created', 'created_at'];

/**
 * Returns the status of a failure that comes under a 200: an error, or a code of failure, without content. Some providers say the
 * status in the code, as OpenRouter does. An object with an `id` and an `error` is one that has failed, such as a batch, and
 * no failure of the call.
 */
export function readFailure(value: Record<string, unknown> | undefined): number | undefined {
  if (value === undefined) return undefined;
  const { error } = value;
  if (!tellsOf(error)) return failureStatus(value);
  // A completion without choices holds no content.
  const isAnswer = (name: string) => value[name] !== undefined && value[name] !== null;
  if (value.choices !== null && answering.some(isAnswer)) return undefined;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'number' && Number.isInteger(code) && code >= 400 && code <= 599 ? code : 502;
}

/** An empty error, a flag or a number says nothing. */
function tellsOf(error: unknown): boolean {
  if (typeof error === 'string') return error !== '';
  return typeof error === 'object' && error !== null && Object.keys(error).length > 0;
}
