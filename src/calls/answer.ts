import { JoinedChunks } from '../egress/joined-chunks.ts';
import type { ResponseBody } from '../egress/response-body.ts';
import { type ErrorBody, RouterError } from '../errors.ts';

/**
 * The answer to a call: what the in-process clients wrap in a `Response`, and the gateway writes to its socket.
 *
 * @example
 * ```ts
 * const answer: Answer = await router.dispatch({ teamId: 'acme' }, call);
 * console.log(answer.status, answer.headers['content-type']);
 * ```
 */
export interface Answer {
  status: number;
  /** Lower-case names. */
  headers: Record<string, string>;
  /** Small bodies as bytes, larger ones as a stream; `null` for no body. */
  body: Uint8Array | AsyncIterable<Uint8Array> | null;
}

/** Failures are answers too, in OpenAI's error shape: a fetch that throws would lose the code. */
export function errorAnswer(
  error: RouterError,
  extra: Partial<ErrorBody['error']> & Record<string, unknown> = {},
): Answer {
  const body = { error: { ...error.toJSON().error, ...extra } };
  const { retryAfter } = error;
  return {
    status: error.status,
    headers: {
      'content-type': 'application/json',
      ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
    },
    body: Buffer.from(JSON.stringify(body)),
  };
}

/**
 * Converts an error to an answer. An unexpected error reveals no details, because they could contain a secret.
 */
export function asRouterError(error: unknown): RouterError {
  if (RouterError.isInstance(error)) return error;
  return new RouterError('internal_error', 'The router failed to handle this call.');
}

/** Ends an answer that no caller will read, so that its provider stops sending. */
export function discard({ body }: Answer): void {
  if (body === null || body instanceof Uint8Array) return;
  const ended = body[Symbol.asyncIterator]().return?.();
  // What it rejects with has no reader either.
  ended?.catch(() => {});
}

/** The whole body. */
export async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const joined = new JoinedChunks();
  for await (const chunk of body) joined.push(asBuffer(chunk));
  return wholeOf(joined.takeAll());
}

/** The same bytes in one piece. */
export function wholeOf(chunks: readonly Buffer[]): Buffer {
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}

/** What an answer begins with, up to some bytes more than `limit`, and no more of it; nothing if it broke off. */
export async function readUpTo(
  body: ResponseBody,
  limit: number,
): Promise<{ bytes: Buffer; complete: boolean }> {
  try {
    const { chunks, complete } = await body.upTo(limit);
    return { bytes: wholeOf(chunks), complete };
  } catch {
    return { bytes: Buffer.alloc(0), complete: true };
  } finally {
    body.destroy();
  }
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
