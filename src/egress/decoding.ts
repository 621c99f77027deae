import { pipeline, Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { RouterError } from '../errors.ts';
import { ResponseBody } from './response-body.ts';

const decoders: ReadonlyMap<string, () => Transform> = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);
/** As many as the clients' own fetch unpacks. */
const maxEncodings = 5;
/** They exist, so what is packed by them could not be read. */
const unsupported = new Set(['zstd', 'compress', 'x-compress', 'dcb', 'dcz']);
/** What stands there for bytes that are not packed. */
const unpackedNames = new Set(['', 'identity', 'none']);

interface Encoded {
  headers: Record<string, string | string[] | undefined>;
  body: ResponseBody;
}

/**
 * Asked for `identity`, some encode all the same. What an answer unpacks to is capped at `limit` bytes: a megabyte on
 * the wire may hold a gigabyte of nothing.
 *
 * An encoding that is unknown is ignored, as it is by the fetch that the OpenAI client calls by default.
 *
 * @throws RouterError `provider_unreachable` for too many encodings, and for one that cannot be unpacked
 */
export function decoded<Response extends Encoded>(response: Response, limit: number): Response {
  const given = response.headers['content-encoding'];
  if (given === undefined) return response;
  const names = [given].flat().join(',').toLowerCase().split(',');
  const encodings = names.map((name) => name.trim()).filter((name) => !unpackedNames.has(name));
  if (encodings.length > maxEncodings) throw unreadableAnswer('packed too many times');
  if (encodings.some((name) => unsupported.has(name)))
    throw unreadableAnswer('in an encoding that was not asked for');
  const made = encodings.toReversed().map((name) => decoders.get(name));
  if (made.length === 0 || made.includes(undefined)) return response;
  const { 'content-encoding': _, 'content-length': __, ...headers } = response.headers;
  const steps = made.flatMap((make) => (make === undefined ? [] : [make(), capped(limit)]));
  return { ...response, headers, body: unpacked(response.body, steps) };
}

/** Whoever fails or leaves takes the others along; the reader of the last one hears of it. */
function unpacked(packed: ResponseBody, steps: Transform[]): ResponseBody {
  const source = Readable.from(packed, { objectMode: false });
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
    // The iterator of `packed` hears of that only with the next bytes, which a provider need not send.
    .on('close', () => packed.destroy());
  return body;
}

function capped(limit: number): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Uint8Array, _, done) {
      size += chunk.byteLength;
      if (size > limit) done(unreadableAnswer(`with more than ${limit} bytes once unpacked`));
      else done(null, chunk);
    },
  });
}

function unreadableAnswer(how: string): RouterError {
  return new RouterError('provider_unreachable', `The provider answered ${how}.`);
}
