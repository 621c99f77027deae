import { RouterError } from '../errors.ts';

/**
 * The body of a fetch as bytes, or as the text it is, and the content type that comes with its form.
 *
 * @throws RouterError `request_too_large` beyond `limit` bytes
 */
export async function readBody(
  body: unknown,
  limit: number,
): Promise<{ bytes?: string | Uint8Array; contentType?: string }> {
  if (body === undefined || body === null) return {};
  if (typeof body === 'string') {
    if (body.length > limit) throw tooLarge(limit);
    return { bytes: body };
  }
  if (body instanceof Uint8Array) {
    if (body.byteLength > limit) throw tooLarge(limit);
    return { bytes: body };
  }
  // FormData gets its boundary, a Blob its type, from the one who knows how.
  const response = isIterable(body)
    ? undefined
    : new Response(body as ConstructorParameters<typeof Response>[0]);
  const contentType = response?.headers.get('content-type') ?? undefined;
  const source = response === undefined ? (body as AsyncIterable<Uint8Array>) : response.body;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge(limit);
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  return contentType === undefined ? { bytes } : { bytes, contentType };
}

function isIterable(body: unknown): body is AsyncIterable<Uint8Array> {
  return (
    typeof body === 'object' &&
    body !== null &&
    Symbol.asyncIterator in body &&
    !(body instanceof ReadableStream)
  );
}

function tooLarge(limit: number): RouterError {
  return new RouterError('request_too_large', `The body of a call may have ${limit} bytes at most.`);
}
