import type { IncomingMessage } from 'node:http';
import { RouterError } from '../errors.ts';
import { Turn } from '../turn.ts';
import type { NodeBindings } from './bindings.ts';
import type { HeaderReader } from './request-headers.ts';

/** What body parsers of an application leave behind on Node's request. */
type ParsedMessage = IncomingMessage & { rawBody?: unknown; body?: unknown };

export type CallBody = Uint8Array | AsyncIterable<Uint8Array> | undefined;

/**
 * The body of a request, as it came, up to `limit` bytes; `undefined` if there is none. A body that a parser has
 * taken already is the `rawBody` that it kept, else what it made of it, written again: there duplicate keys and the
 * spelling of numbers are lost.
 *
 * @throws RouterError `request_too_large`; `invalid_request` if somebody has read the body and kept nothing of it
 */
export function readBytes(
  request: Request,
  headers: HeaderReader,
  { incoming, direct }: NodeBindings,
  limit: number,
): Uint8Array | undefined | Promise<Uint8Array | undefined> {
  if (request.method === 'GET' || request.method === 'HEAD') return undefined;
  checkLength(headers, limit);
  // Whoever stands between may have put another body in the place of Node's.
  if (incoming === undefined || direct !== true) return collect(webBody(request), limit);
  return readIncoming(incoming, limit);
}

/** The same of Node's own request. */
export function readIncoming(incoming: IncomingMessage, limit: number): Uint8Array | Promise<Uint8Array> {
  const { rawBody } = incoming as ParsedMessage;
  if (rawBody instanceof Uint8Array) return checked(rawBody, limit);
  if (incoming.readableDidRead) return checked(written(incoming), limit);
  return receive(incoming, limit);
}

/**
 * The body of a call: a form as it comes, so that an upload need not lie in memory; anything else as `readBytes`. A
 * promise only if it has to be waited for.
 *
 * @throws RouterError as `readBytes`; the stream throws `request_too_large` where it passes `limit`
 */
export function readCallBody(
  request: Request,
  headers: HeaderReader,
  bindings: NodeBindings,
  limit: number,
): CallBody | Promise<CallBody> {
  const contentType = headers.get('content-type');
  const stream = contentType !== null && isForm.test(contentType) && streamOf(request, bindings);
  if (!stream) return readBytes(request, headers, bindings, limit);
  checkLength(headers, limit);
  return bounded(stream, limit);
}

/** @throws RouterError `invalid_request` for what does not say that it is JSON or a form */
export function checkCallBody(body: CallBody, headers: HeaderReader): CallBody {
  if (body === undefined || (body instanceof Uint8Array && body.byteLength === 0)) return undefined;
  checkContentType(headers.get('content-type'), isJsonOrForm, 'application/json or multipart/form-data');
  return body;
}

/** Nothing if somebody has read it before. Whoever stops reading leaves the connection open, for the answer. */
function streamOf(
  request: Request,
  { incoming, direct }: NodeBindings,
): AsyncIterable<Uint8Array> | undefined {
  if (incoming === undefined || direct !== true) return webBody(request);
  const taken = incoming.readableDidRead || (incoming as ParsedMessage).rawBody instanceof Uint8Array;
  return taken ? undefined : incoming.iterator({ destroyOnReturn: false });
}

/** @throws RouterError `invalid_request` if somebody has read it before */
function webBody(request: Request): AsyncIterable<Uint8Array> | undefined {
  if (request.bodyUsed || request.body?.locked) throw takenBefore();
  return (request.body as AsyncIterable<Uint8Array> | null) ?? undefined;
}

async function* bounded(stream: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge(limit);
    yield chunk;
  }
}

function written({ body, headers }: ParsedMessage): Uint8Array {
  // Of a form nobody keeps all, files least of all.
  const whole = !isForm.test(headers['content-type'] ?? '');
  if (body instanceof Uint8Array) return body;
  if (typeof body === 'string') return Buffer.from(body);
  if (whole && typeof body === 'object' && body !== null) return Buffer.from(JSON.stringify(body));
  throw takenBefore();
}

function takenBefore(): RouterError {
  return new RouterError(
    'invalid_request',
    'The body was read before it came here: mount the gateway before body parsers, or have them keep rawBody.',
  );
}

function brokenOff(): RouterError {
  return new RouterError('invalid_request', 'The body of the request broke off.');
}

function checked(bytes: Uint8Array, limit: number): Uint8Array {
  if (bytes.byteLength > limit) throw tooLarge(limit);
  return bytes;
}

async function collect(
  stream: AsyncIterable<Uint8Array> | undefined,
  limit: number,
): Promise<Uint8Array | undefined> {
  if (stream === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of bounded(stream, limit)) chunks.push(chunk);
  } catch (error) {
    throw RouterError.isInstance(error) ? error : brokenOff();
  }
  return Buffer.concat(chunks);
}

/** Those whose bodies came in together. */
const requests = new Turn();

/** By events: an async iteration of the same takes four times as long. */
function receive(incoming: IncomingMessage, limit: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (given: Buffer | string) => {
      // Text, if somebody before had it decoded.
      const chunk =
        typeof given === 'string' ? Buffer.from(given, incoming.readableEncoding ?? 'utf8') : given;
      size += chunk.length;
      if (size <= limit) {
        chunks.push(chunk);
        return;
      }
      incoming.off('data', onData);
      incoming.pause();
      reject(tooLarge(limit));
    };
    let whole = false;
    const onEnd = () => {
      whole = true;
      const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
      // Node keeps what listens until the call is over.
      chunks.length = 0;
      requests.end(() => resolve(bytes));
    };
    const onClose = () => {
      if (!whole) reject(brokenOff());
    };
    // No event tells of what has ended already.
    if (incoming.destroyed) onClose();
    // Somebody before may have paused it.
    else incoming.on('data', onData).on('end', onEnd).on('close', onClose).resume();
  });
}

/** @throws RouterError `invalid_request` for a body that is no JSON, or does not say that it is */
export function parseJson(bytes: Uint8Array | undefined, contentType: string | null): unknown {
  checkContentType(contentType, isJson, 'application/json');
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch {
    throw new RouterError('invalid_request', 'The body is not JSON.');
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const isJson = /^application\/json\s*(;|$)/i;
const isForm = /^multipart\/form-data\s*(;|$)/i;
const isJsonOrForm = /^(application\/json|multipart\/form-data)\s*(;|$)/i;

// What a plain form of a foreign page can send is none of these but multipart.
function checkContentType(contentType: string | null, form: RegExp, expected: string): void {
  if (contentType !== null && form.test(contentType)) return;
  throw new RouterError('invalid_request', `content-type: must be ${expected}`, { param: 'content-type' });
}

function checkLength(headers: HeaderReader, limit: number): void {
  if (Number(headers.get('content-length') ?? 0) > limit) throw tooLarge(limit);
}

function tooLarge(limit: number): RouterError {
  return new RouterError('request_too_large', `The body may have ${limit} bytes at most.`);
}
