import { pipeline, Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { RouterError } from '../errors.ts';
import { ResponseBody } from './response-body.ts';

const decoders = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

interface Encoded {
  headers: Record<string, string | string[] | undefined>;
  body: ResponseBody;
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
  if (!Object.hasOwn(decoders, encoding)) throw refusal('in an encoding that was not asked for');
  const { 'content-encoding': _, 'content-length': __, ...headers } = response.headers;
  const decoder = decoders[encoding as keyof typeof decoders]();
  return { ...response, headers, body: unpacked(response.body, decoder, limit) };
}

/** Whoever fails or leaves takes the others along; the reader of the last one hears of it. */
function unpacked(packed: ResponseBody, decoder: Transform, limit: number): ResponseBody {
  const source = Readable.from(packed, { objectMode: false });
  const readable: Readable = pipeline(source, decoder, capped(limit), () => {});
  const body = new ResponseBody({
    pause: () => readable.pause(),
    resume: () => readable.resume(),
    abort: () => readable.destroy(),
  });
  readable
    .on('data', (chunk: Buffer) => body.push(chunk))
    .on('end', () => body.end())
    .on('error', (error) => body.fail(error));
  return body;
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
