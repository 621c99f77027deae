import type { Call } from '../calls/call.ts';
import { writeFormData } from './form-data.ts';

export interface FetchBody {
  body?: Call['body'];
  contentType?: string;
  /** Bytes of a body that comes in pieces, if they are known. */
  length?: number;
}

/**
 * Reads the body of a fetch: text and bytes as they are, any other body as a stream. A form and a Blob have a content type
 * and a length of their own.
 */
export function readBody(body: unknown): FetchBody {
  if (body === undefined || body === null) return {};
  if (typeof body === 'string' || body instanceof Uint8Array || isIterable(body)) return { body };
  if (body instanceof FormData) return writeFormData(body);
  const response = new Response(body as ConstructorParameters<typeof Response>[0]);
  const contentType = response.headers.get('content-type');
  const stream = response.body as AsyncIterable<Uint8Array> | null;
  return {
    ...(stream === null ? {} : { body: stream }),
    ...(contentType === null ? {} : { contentType }),
    ...(body instanceof Blob ? { length: body.size } : {}),
  };
}

function isIterable(body: unknown): body is AsyncIterable<Uint8Array> {
  return (
    typeof body === 'object' &&
    body !== null &&
    Symbol.asyncIterator in body &&
    !(body instanceof ReadableStream)
  );
}
