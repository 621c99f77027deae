import { pipeline, type Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { RouterError } from '../errors.ts';

const decoders = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

interface Encoded {
  headers: Record<string, string | string[] | undefined>;
  body: Readable;
}

/**
 * Asked for `identity`, some encode all the same. What an answer unpacks to is capped at `limit` bytes: a megabyte on
 * the wire may hold a gigabyte of nothing.
 *
 * @throws RouterError `provider_unreachable` for an encoding that we do not know, or for more than one
 */
export function decoded<Response extends Encoded>(response: Response, limit: number): Response {
  const encoding = String(response.headers['content-encoding'] ?? 'identity')
    .trim()
    .toLowerCase();
  if (encoding === 'identity' || encoding === '') return response;
  if (!Object.hasOwn(decoders, encoding)) {
    response.body.on('error', () => {}).destroy();
    throw refusal('in an encoding that was not asked for');
  }
  const { 'content-encoding': _, 'content-length': __, ...headers } = response.headers;
  const decoder = decoders[encoding as keyof typeof decoders]();
  // Whoever fails or leaves takes the others along; the reader of the last one hears of it.
  const body = pipeline(response.body, decoder, capped(limit), () => {});
  return { ...response, headers, body };
}

function capped(limit: number): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Uint8Array, _, done) {
      size += chunk.byteLength;
      if (size > limit) done(refusal(`with more than ${limit} bytes once unpacked`));
      else done(null, chunk);
    },
  });
}

function refusal(how: string): RouterError {
  return new RouterError('provider_unreachable', `The provider answered ${how}.`);
}
