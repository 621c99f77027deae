import { type ErrorBody, RouterError } from '../errors.ts';

/** The answer to a call: what the in-process clients wrap in a `Response`, and the gateway writes to its socket. */
export interface Answer {
  status: number;
  /** Lower-case names. */
  headers: Record<string, string>;
  /** Whole when it is small, else as it comes; `null` if there is none. */
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

/** What nobody foresaw says nothing of itself: a detail could carry a secret. */
export function asRouterError(error: unknown): RouterError {
  if (RouterError.isInstance(error)) return error;
  return new RouterError('internal_error', 'The router failed to handle this call.');
}

/** The whole body, up to `limit` bytes. */
export async function collect(
  body: AsyncIterable<Uint8Array>,
  limit = Number.POSITIVE_INFINITY,
): Promise<{ bytes: Buffer; complete: boolean }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > limit) return { bytes: Buffer.concat(chunks), complete: false };
  }
  return {
    bytes: chunks.length === 1 && chunks[0] ? asBuffer(chunks[0]) : Buffer.concat(chunks),
    complete: true,
  };
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
