import type { Call } from './request.ts';

/**
 * The body of a fetch: text and bytes as they are, anything else as a stream, with the content type that comes with
 * its form.
 */
export function readBody(body: unknown): { body?: Call['body']; contentType?: string } {
  if (body === undefined || body === null) return {};
  if (typeof body === 'string' || body instanceof Uint8Array || isIterable(body)) return { body };
  // FormData gets its boundary, a Blob its type, from the one who knows how.
  const response = new Response(body as ConstructorParameters<typeof Response>[0]);
  const contentType = response.headers.get('content-type');
  const stream = response.body as AsyncIterable<Uint8Array> | null;
  return {
    ...(stream === null ? {} : { body: stream }),
    ...(contentType === null ? {} : { contentType }),
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
