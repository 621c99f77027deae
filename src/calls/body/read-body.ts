import { RouterError } from '../../errors.ts';
import type { CallSignal } from '../abort/call-signal.ts';
import { asBuffer } from '../answer.ts';
import { carriesModel, type Endpoint } from '../endpoints/match.ts';
import { FormSpans, formOf, readFormModel, readLongFormModel } from '../form/body.ts';
import { boundaryOf, isForm } from '../form/content-type.ts';
import { FormScanner } from '../form/multipart-scanner.ts';
import { readJsonBody } from '../json/body.ts';
import { BodySource, bodyTooLarge } from './body-source.ts';
import { BufferedForm } from './buffered-form.ts';
import { ByteCollector } from './byte-collector.ts';
import { EmptyBody, RawBody } from './empty-body.ts';
import { JsonBody } from './json-body.ts';
import type { BodyContext, BodyLimits, RequestBody, UnreadBody } from './request-body.ts';
import { sharedShape } from './shared-fields.ts';
import { StreamedForm } from './streamed-form.ts';

/** Above this size a form is scanned in slices. */
const longForm = 16_384;
/** A form that ends by here is held whole, so that it can be tried again. */
const readAhead = 262_144;

export function isStream(body: UnreadBody): body is AsyncIterable<Uint8Array> {
  return typeof body !== 'string' && !(body instanceof Uint8Array);
}

/**
 * Reads the body of a call as the kind that its headers say. A long body is scanned in slices, so that other calls run
 * between them.
 *
 * @throws RouterError `request_too_large`; `invalid_request` if the body is malformed; the signal's reason if it aborts
 */
export async function readBody(
  body: UnreadBody | undefined,
  context: BodyContext,
  limits: BodyLimits,
  signal: CallSignal | undefined,
): Promise<RequestBody> {
  const { endpoint, method } = context;
  if (body === undefined || method === 'GET') return new EmptyBody(endpoint, method);
  if (isStream(body)) return readStreamedBody(body, context, limits, signal);
  const size = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
  if (size > limits.maxBodyBytes) throw bodyTooLarge(limits.maxBodyBytes);
  return readBufferedBody(body, context);
}

async function readBufferedBody(body: string | Uint8Array, context: BodyContext): Promise<RequestBody> {
  const { endpoint, method, contentType, teamId } = context;
  if (body.length === 0) return new EmptyBody(endpoint, method);
  const bytes = typeof body === 'string' ? Buffer.from(body) : asBuffer(body);
  if (isRaw(endpoint, contentType)) return new RawBody(bytes, contentType, endpoint);
  if (!isForm(contentType)) {
    checkNotUrlEncoded(bytes, contentType);
    return new JsonBody(bytes, await readJsonBody(bytes, sharedShape(endpoint.id), teamId), context);
  }
  const boundary = boundaryOf(contentType);
  if (bytes.length <= longForm) return new BufferedForm(readFormModel(bytes, contentType), boundary, context);
  return new BufferedForm(await readLongFormModel(bytes, contentType, teamId), boundary, context);
}

/**
 * Reads a body that arrives in chunks. A form is sent while it arrives, once its model is known or if it carries none.
 * Any other body is read whole first.
 */
async function readStreamedBody(
  body: AsyncIterable<Uint8Array>,
  context: BodyContext,
  limits: BodyLimits,
  signal: CallSignal | undefined,
): Promise<RequestBody> {
  const source = new BodySource(body, limits.maxBodyBytes, context.length, signal, context.teamId);
  try {
    if (isForm(context.contentType)) {
      return await readForm(source, context.contentType, context, limits.maxHeldBytes);
    }
    const collected = new ByteCollector();
    for (let chunk = await source.next(); chunk; chunk = await source.next()) collected.add(chunk);
    return await readBufferedBody(collected.take(), context);
  } catch (error) {
    source.release();
    throw error;
  }
}

async function readForm(
  source: BodySource,
  contentType: string,
  context: BodyContext,
  maxHeldBytes: number,
): Promise<RequestBody> {
  const { endpoint, given, pathModel, defaultModel, length } = context;
  const scanner = new FormScanner(contentType);
  const spans = new FormSpans();
  const held = new ByteCollector();
  const named = carriesModel(endpoint);
  const known = pathModel ?? given;
  // With a length to announce, it helps to know whether the form has the field.
  const searching = () =>
    named && scanner.model === undefined && (known === undefined || length !== undefined);
  while (source.size <= readAhead || searching() || scanner.isReadingValue) {
    const chunk = await source.next();
    if (chunk === undefined) {
      if (source.size === 0) return new EmptyBody(endpoint, context.method);
      scanner.end();
      return new BufferedForm(formOf(scanner, spans, held.take()), scanner.boundary, context);
    }
    for (const token of scanner.feed(chunk)) {
      spans.add(token);
      held.add(token.bytes);
    }
    if (source.size <= maxHeldBytes || !searching() || scanner.isReadingValue) continue;
    if ((known ?? defaultModel) === undefined && !endpoint.modelOptional) throw modelTooLate(maxHeldBytes);
    break;
  }
  const lateModel = searching() ? modelTooLate(maxHeldBytes) : undefined;
  return new StreamedForm({ source, scanner, spans, head: held.take() }, context, lateModel);
}

function isRaw({ rawBody }: Endpoint, contentType: string | null): contentType is string {
  if (rawBody === undefined || contentType === null) return false;
  if (rawBody === '*') return !isJson(contentType) && !isForm(contentType);
  return contentType.split(';', 1)[0]?.trim().toLowerCase() === rawBody;
}

function isJson(contentType: string): boolean {
  return /^(application\/([\w.-]+\+)?json|application\/x-www-form-urlencoded)\s*(;|$)/i.test(contentType);
}

/** curl sends JSON under this type if it is given none, so only other bodies are rejected. */
function checkNotUrlEncoded(bytes: Buffer, contentType: string | null): void {
  if (contentType === null || !/^application\/x-www-form-urlencoded/i.test(contentType)) return;
  if (/^\s*(\{|$)/.test(bytes.toString('latin1', 0, 1024))) return;
  const message =
    'content-type: must be application/json or multipart/form-data, not application/x-www-form-urlencoded.';
  throw new RouterError('invalid_request', message, { param: 'content-type' });
}

function modelTooLate(limit: number): RouterError {
  const message = `The first ${limit} bytes of the form do not name its model: name it in the header x-team-model, or with ?model=.`;
  return new RouterError('request_too_large', message, { param: 'model' });
}
