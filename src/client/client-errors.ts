import type { Answer } from '../calls/answer.ts';
import { errorWords } from '../calls/upstream/error-words.ts';

const maxBytes = 65_536;

/**
 * Converts an error response so that the OpenAI client finds its message. The client reads `error` of an
 * object, and shows "status code (no body)" for any other JSON. A body with a message in `error` stays
 * unchanged.
 */
export function readableError(answer: Answer): Answer {
  const { body, status } = answer;
  if (status < 400 || !(body instanceof Uint8Array) || body.length > maxBytes) return answer;
  const value = parsed(body);
  if (value === undefined || hasError(value)) return answer;
  const { message } = errorWords(body);
  if (message === undefined) return answer;
  const source = fieldsOf(Array.isArray(value) ? value[0] : value);
  const { code, type, param } = { ...source, ...fieldsOf(source.error) };
  const error = {
    ...fieldsOf(source.error),
    message,
    type: type ?? null,
    param: param ?? null,
    code: code ?? null,
  };
  return { ...answer, body: Buffer.from(JSON.stringify({ ...fieldsOf(value), error })) };
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8')) as unknown;
  } catch {
    // The client shows text unchanged.
    return undefined;
  }
}

/** Returns whether the client finds a message in `error`: a string, or an object with a message. */
function hasError(value: unknown): boolean {
  const { error } = fieldsOf(value);
  return typeof error === 'object' && error !== null ? Boolean(fieldsOf(error).message) : Boolean(error);
}

function fieldsOf(value: unknown): Record<string, unknown> {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Record<string, unknown>) : {};
}
