import type { Call } from '../calls/call.ts';
import { RouterError } from '../errors.ts';
import { writeFormData } from './form-data.ts';

export interface FetchBody {
  body?: Call['body'];
  contentType?: string;
  /** Length of a streamed body in bytes, if known. */
  length?: number;
}

/**
 * Reads the body of a fetch. Text and bytes stay unchanged; any other body becomes a stream. A form and a Blob
 * determine their content type and length.
 *
 * @throws RouterError `invalid_request` for a stream that is locked or already read, and for an unsupported
 * body
 */
export function readBody(body: unknown): FetchBody {
  if (body === undefined || body === null) return {};
  if (typeof body === 'string' || body instanceof Uint8Array) return { body };
  try {
    if (isIterable(body)) return { body: new CheckedChunks(body) };
    if (body instanceof FormData) return writeFormData(body);
    const response = new Response(body as ConstructorParameters<typeof Response>[0]);
    const contentType = response.headers.get('content-type');
    return {
      ...(response.body === null ? {} : { body: new CheckedChunks(response.body) }),
      ...(contentType === null ? {} : { contentType }),
      ...(body instanceof Blob ? { length: body.size } : {}),
    };
  } catch {
    throw body instanceof ReadableStream
      ? invalidBody('must not be locked or already read. Create a new body for each call.')
      : invalidBody('cannot be read. Pass a string, bytes, a Blob, FormData, a stream or an async iterable.');
  }
}

/**
 * Passes chunks through, and rejects chunks other than bytes. Not a generator, because `return` must not wait
 * for `next`.
 */
class CheckedChunks implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<unknown>;

  constructor(body: AsyncIterable<unknown>) {
    this.#source = body[Symbol.asyncIterator]();
    if (typeof this.#source.next !== 'function') throw new TypeError('An iterator without next().');
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    const next = await this.#source.next();
    if (next.done === true || next.value instanceof Uint8Array) return next as IteratorResult<Uint8Array>;
    throw invalidBody('must consist of Uint8Array chunks. Encode text with TextEncoder.');
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }
}

function isIterable(body: unknown): body is AsyncIterable<unknown> {
  return (
    typeof body === 'object' &&
    body !== null &&
    Symbol.asyncIterator in body &&
    !(body instanceof ReadableStream)
  );
}

function invalidBody(problem: string): RouterError {
  return new RouterError('invalid_request', `body: ${problem}`, { param: 'body' });
}
