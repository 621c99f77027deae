import type { IncomingMessage } from 'node:http';
import { asBuffer } from '../../calls/answer.ts';
import { BodyBuffer } from '../../calls/body/body-buffer.ts';
import { checkEncoding } from '../../calls/body/content-encoding.ts';
import { mediaTypeOf } from '../../calls/form/content-type.ts';
import { checkJsonBounds } from '../../calls/json/bounds.ts';
import { RouterError } from '../../errors.ts';
import { PieceTurns } from '../../tick-batch.ts';
import type { NodeBindings } from './bindings.ts';
import { refuseDuplicateKeys } from './duplicate-keys.ts';
import {
  askForBody,
  type BodyReading,
  bodyBrokeOff,
  bodyTooLong,
  RequestTimeout,
  receive,
} from './incoming-body.ts';
import type { HeaderReader } from './request-headers.ts';
import type { StallWatch } from './stall-watch.ts';

/** Properties that an application's body parsers set on Node's request. */
type ParsedMessage = IncomingMessage & { rawBody?: unknown; body?: unknown };

export type CallBody = Uint8Array | AsyncIterable<Uint8Array> | undefined;

/**
 * Reads the body of a request as sent, up to a limit; `undefined` if there is no body. If a body parser has
 * consumed it, returns its `rawBody`, or else its parsed body written again, without duplicate keys and with
 * rounded numbers.
 *
 * @throws RouterError `request_too_large`, `rate_limit_exceeded`, `overloaded`; `invalid_request` if other code
 * consumed the body and kept nothing, if the body breaks off, or if it stalls
 */
export function readBytes(
  request: Request,
  headers: HeaderReader,
  { incoming, direct }: NodeBindings,
  reading: BodyReading,
): Uint8Array | undefined | Promise<Uint8Array | undefined> {
  if (request.method === 'GET' || request.method === 'HEAD') return undefined;
  checkLength(headers, reading.limit);
  // Middleware may have replaced Node's body.
  if (incoming === undefined || direct !== true) return collect(webBody(request), headers, reading);
  return readIncoming(incoming, reading);
}

/** Reads the body of Node's own request like `readBytes`. */
export function readIncoming(
  incoming: IncomingMessage,
  reading: BodyReading,
): Uint8Array | Promise<Uint8Array> {
  const { rawBody } = incoming as ParsedMessage;
  if (rawBody instanceof Uint8Array) return checked(rawBody, reading);
  if (incoming.readableDidRead) return checked(written(incoming), reading);
  return receive(incoming, reading);
}

/**
 * Reads the body of a call: streams a form, so that an upload is not held in memory, and reads any other body
 * like `readBytes`. Returns a promise only if the body has to be awaited.
 *
 * @throws RouterError like `readBytes`; the stream throws `request_too_large` at the limit
 */
export function readCallBody(
  request: Request,
  headers: HeaderReader,
  bindings: NodeBindings,
  reading: BodyReading,
): CallBody | Promise<Uint8Array | undefined> {
  const contentType = headers.get('content-type');
  const stream = isForm(contentType) && streamOf(request, bindings);
  if (!stream) return readBytes(request, headers, bindings, reading);
  checkLength(headers, reading.limit);
  return bounded(stream, reading.limit, reading.stalls);
}

/**
 * Rejects a body whose type is neither JSON nor a form, before it is read, if its length is announced.
 *
 * @param takesRaw returns whether the call takes another media type too
 * @throws RouterError `invalid_request`
 */
export function checkUnread(headers: HeaderReader, takesRaw: (mediaType: string) => boolean = never): void {
  if (Number(headers.get('content-length') ?? 0) > 0) checkCallType(headers, takesRaw);
}

/** Rejects a management body whose type is not JSON, like `checkUnread`. */
export function checkJsonUnread(headers: HeaderReader): void {
  checkEncoding(headers);
  if (Number(headers.get('content-length') ?? 0) > 0) checkContentType(headers.get('content-type'), json);
}

/** Rejects a call's body that was read and whose type is neither JSON nor a form, like `checkUnread`. */
export function checkCallBody<Body extends CallBody>(
  body: Body,
  headers: HeaderReader,
  takesRaw: (mediaType: string) => boolean = never,
): Body | undefined {
  if (body === undefined || (body instanceof Uint8Array && body.byteLength === 0)) return undefined;
  checkCallType(headers, takesRaw);
  return body;
}

const never = () => false;

function checkCallType(headers: HeaderReader, takesRaw: (mediaType: string) => boolean): void {
  const contentType = headers.get('content-type');
  const mediaType = mediaTypeOf(contentType);
  if (
    mediaType !== undefined &&
    !withoutPreflight.has(mediaType) &&
    !jsonOrForm.includes(mediaType) &&
    takesRaw(mediaType)
  )
    return;
  checkContentType(contentType, jsonOrForm);
}

/** Other types that a page of another site may send without asking. */
const withoutPreflight: ReadonlySet<string> = new Set(['text/plain', 'application/x-www-form-urlencoded']);

/**
 * Streams a body. Yields nothing if other code has consumed it. If the reader stops early, the connection stays
 * open for the response.
 */
function streamOf(
  request: Request,
  { incoming, direct }: NodeBindings,
): AsyncIterable<Uint8Array> | undefined {
  if (incoming === undefined || direct !== true) return webBody(request);
  const taken = incoming.readableDidRead || (incoming as ParsedMessage).rawBody instanceof Uint8Array;
  if (taken) return undefined;
  askForBody(incoming);
  return incoming.iterator({ destroyOnReturn: false });
}

/**
 * Returns the body of a standard request.
 *
 * @throws RouterError `invalid_request` if other code has consumed it
 */
function webBody(request: Request): AsyncIterable<Uint8Array> | undefined {
  if (request.bodyUsed || request.body?.locked) throw takenBefore();
  return (request.body as AsyncIterable<Uint8Array> | null) ?? undefined;
}

async function* bounded(
  stream: AsyncIterable<Uint8Array>,
  limit: number,
  stalls: StallWatch,
): AsyncGenerator<Uint8Array> {
  const iterator = stream[Symbol.asyncIterator]();
  const turns = new PieceTurns(null);
  let size = 0;
  try {
    for (;;) {
      const next = await stalls.within(Promise.resolve(iterator.next()), () => new RequestTimeout());
      if (next.done === true) return;
      size += next.value.byteLength;
      if (size > limit) throw bodyTooLong(limit);
      const turn = turns.take(next.value.byteLength);
      if (turn !== undefined) await turn;
      yield next.value;
    }
  } finally {
    // Not awaited, because it would never settle behind a stalled read.
    Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function written({ body, headers }: ParsedMessage): Uint8Array {
  // A parsed form is incomplete, because parsers do not keep its files.
  const whole = !isForm(headers['content-type'] ?? null);
  if (body instanceof Uint8Array) return body;
  if (typeof body === 'string') return Buffer.from(body);
  if (whole && typeof body === 'object' && body !== null) return Buffer.from(JSON.stringify(body));
  throw takenBefore();
}

/**
 * Checks that no other code has consumed the body and kept nothing.
 *
 * @throws RouterError `invalid_request`
 */
export function checkNotTaken(request: Request, { incoming, direct }: NodeBindings): void {
  if (incoming === undefined || direct !== true) {
    if (request.bodyUsed) throw takenBefore();
  } else checkIncomingNotTaken(incoming);
}

/** Checks the same for Node's own request. */
export function checkIncomingNotTaken(incoming: IncomingMessage): void {
  if (!incoming.readableDidRead) return;
  const { rawBody, body } = incoming as ParsedMessage;
  const kept = rawBody instanceof Uint8Array || (body !== undefined && body !== null);
  if (!kept) throw takenBefore();
}

function takenBefore(): RouterError {
  return new RouterError(
    'invalid_request',
    'The body of the request was read before it reached the gateway. Ask the operator of this service.',
    {
      hint: 'Mount the gateway before body parsers, or have them keep rawBody.',
    },
  );
}

function checked(bytes: Uint8Array, { limit, reservation }: BodyReading): Uint8Array {
  if (bytes.byteLength > limit) throw bodyTooLong(limit);
  reservation.hold(bytes.byteLength);
  return bytes;
}

async function collect(
  stream: AsyncIterable<Uint8Array> | undefined,
  headers: HeaderReader,
  { limit, reservation, stalls }: BodyReading,
): Promise<Uint8Array | undefined> {
  if (stream === undefined) return undefined;
  const announced = Number(headers.get('content-length') ?? Number.NaN);
  const buffer = new BodyBuffer(reservation, announced >= 0 ? announced : undefined);
  try {
    for await (const chunk of bounded(stream, limit, stalls)) buffer.push(chunk);
  } catch (error) {
    throw RouterError.isInstance(error) ? error : bodyBrokeOff();
  }
  return buffer.whole();
}

/**
 * Parses a JSON body.
 *
 * @throws RouterError `invalid_request` for a body that is not JSON, is not declared as JSON, or has a
 * duplicate key
 */
export function parseJson(bytes: Uint8Array | undefined, contentType: string | null): unknown {
  checkContentType(contentType, json);
  try {
    const text = utf8.decode(bytes);
    if (bytes !== undefined) checkJsonBounds(asBuffer(bytes));
    const value: unknown = JSON.parse(text);
    refuseDuplicateKeys(text);
    return value;
  } catch (error) {
    if (RouterError.isInstance(error)) throw error;
    throw new RouterError('invalid_request', 'Malformed JSON body.');
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const json = ['application/json'];
const jsonOrForm = ['application/json', 'multipart/form-data'];

// Checks the content type. Of the allowed types, a form of a cross-site page can send only multipart without a
// preflight.
function checkContentType(contentType: string | null, types: readonly string[]): void {
  if (types.includes(mediaTypeOf(contentType) ?? '')) return;
  const message = `content-type: must be ${types.join(' or ')}`;
  throw new RouterError('invalid_request', message, { param: 'content-type' });
}

/** Returns whether a content type is a form's. A malformed header is rejected later, like any other type. */
function isForm(contentType: string | null): boolean {
  return mediaTypeOf(contentType) === 'multipart/form-data';
}

function checkLength(headers: HeaderReader, limit: number): void {
  if (Number(headers.get('content-length') ?? 0) > limit) throw bodyTooLong(limit);
}
