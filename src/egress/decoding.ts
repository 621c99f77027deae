import { type Duplex, pipeline, Readable, Transform } from 'node:stream';
import zlib, { createBrotliDecompress, createGunzip } from 'node:zlib';
import { RouterError } from '../errors.ts';
import { InflateAny } from './inflate-any.ts';
import { ResponseBody } from './response-body.ts';

/** Node 20 and Node 22 before 22.15 have none. */
const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Duplex };

const decoders: ReadonlyMap<string, () => Duplex> = new Map<string, () => Duplex>([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', () => new InflateAny()],
  ['br', createBrotliDecompress],
  ...(createZstdDecompress === undefined ? [] : ([['zstd', createZstdDecompress]] as const)),
]);
/** Same limit as in undici's `fetch`. */
const maxEncodings = 5;
/** Encodings that exist but cannot be decoded here. */
const unsupported = new Set(
  ['zstd', 'compress', 'x-compress', 'dcb', 'dcz'].filter((name) => !decoders.has(name)),
);
/** Values of `content-encoding` for a body that is not encoded. */
const identityNames = new Set(['', 'identity', 'none']);

interface Encoded {
  headers: Record<string, string | string[] | undefined>;
  body: ResponseBody;
}

/**
 * Decodes a compressed response. Providers may compress although the request asks for `identity`. The decoded size is
 * limited to `limit` bytes, because a megabyte on the wire can decode to a gigabyte.
 *
 * Ignores an unknown encoding, as undici's `fetch` does. The OpenAI client uses that `fetch` by default.
 *
 * @throws RouterError `provider_unreachable` for too many encodings, or for an encoding that cannot be decoded
 */
export function decoded<Response extends Encoded>(response: Response, limit: number): Response {
  const header = response.headers['content-encoding'];
  if (header === undefined) return response;
  const names = [header].flat().join(',').toLowerCase().split(',');
  const encodings = names.map((name) => name.trim()).filter((name) => !identityNames.has(name));
  if (encodings.length > maxEncodings) throw invalidResponse('with too many content encodings');
  const unknown = encodings.find((name) => unsupported.has(name));
  if (unknown !== undefined) throw invalidResponse(`in the unsupported content encoding ${unknown}`);
  const factories = encodings.toReversed().map((name) => decoders.get(name));
  if (factories.length === 0 || factories.includes(undefined)) return response;
  const { 'content-encoding': _, 'content-length': __, ...headers } = response.headers;
  const steps = factories.flatMap((create) => (create === undefined ? [] : [create(), limited(limit)]));
  return { ...response, headers, body: decodedBody(response.body, steps) };
}

/** Creates a body that reads through the decoders. An error or an abort at either end destroys the whole pipeline. */
function decodedBody(encoded: ResponseBody, steps: Duplex[]): ResponseBody {
  const source = Readable.from(encoded, { objectMode: false });
  const readable = pipeline([source, ...steps], () => {}) as unknown as Readable;
  const body = new ResponseBody({
    pause: () => readable.pause(),
    resume: () => readable.resume(),
    abort: () => readable.destroy(),
  });
  readable
    .on('data', (chunk: Buffer) => body.push(chunk))
    .on('end', () => body.end())
    .on('error', (error) => body.fail(error))
    // Destroys the source explicitly, because its iterator would notice the close only at the provider's next chunk.
    .on('close', () => encoded.destroy());
  return body;
}

function limited(limit: number): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Uint8Array, _, done) {
      size += chunk.byteLength;
      if (size > limit) done(invalidResponse(`with more than ${limit} decoded bytes`));
      else done(null, chunk);
    },
  });
}

function invalidResponse(problem: string): RouterError {
  return new RouterError('provider_unreachable', `The provider sent a response ${problem}.`);
}
