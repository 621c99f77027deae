import type { TransportResponse } from '../egress/transport.ts';
import { RouterError } from '../errors.ts';
import type { Deployment } from '../teams/deployment.ts';
import { type Answer, collect, errorAnswer } from './answer.ts';
import { watchEvents } from './event-stream.ts';
import { redact } from './redact.ts';

/** JSON answers up to here are handed over whole, so that a broken one is an error and not half an answer. */
const wholeBodyLimit = 1_048_576;
const errorBodyLimit = 262_144;

/** Of the provider's headers only these pass: it may be hostile, and it answers on the application's own origin. */
const passedHeaders =
  /^(content-type|content-length|content-disposition|x-request-id|retry-after|retry-after-ms|openai-.+|x-ratelimit-.+)$/;

const passedTypes =
  /^(application\/([a-z0-9.+-]*\+)?json|application\/x-ndjson|application\/jsonl|text\/event-stream|text\/plain|(audio|image|video|multipart)\/[a-z0-9.+-]+|application\/octet-stream)\s*(;|$)/i;

/** Turns a provider's response into the caller's answer. */
export async function relay(
  deployment: Deployment,
  response: TransportResponse,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const { status } = response;
  if (status >= 400 && status <= 599) return relayError(deployment, response);
  if (status >= 300 || status < 200) {
    await collectUpTo(response, 0);
    const reason = status > 599 ? 'no answer can have that status' : 'redirects are not followed';
    const message = `The provider of ${shown(deployment)} answered ${status}; ${reason}.`;
    return errorAnswer(new RouterError('provider_unreachable', message));
  }
  const headers = passHeaders(response.headers);
  if (status === 204 || status === 205) {
    await collectUpTo(response, 0);
    return { status, headers, body: null };
  }
  const announced = Number(headers['content-length'] ?? Number.NaN);
  if (announced <= wholeBodyLimit && !isEventStream(headers)) {
    return { status, headers, body: await readWhole(deployment, response, signal) };
  }
  const body = guarded(deployment, response, signal);
  if (isEventStream(headers)) {
    // A stream may get one event more than the provider announced: the error that ends it.
    const { 'content-length': _, ...streamHeaders } = headers;
    return { status, headers: streamHeaders, body: abandonable(watchEvents(body), response) };
  }
  const iterator = body[Symbol.asyncIterator]();
  const { chunks, complete } = await take(iterator, wholeBodyLimit);
  if (complete) return { status, headers, body: Buffer.concat(chunks) };
  return { status, headers, body: abandonable(rejoin(chunks, iterator), response) };
}

function isEventStream(headers: Record<string, string>): boolean {
  return headers['content-type']?.startsWith('text/event-stream') ?? false;
}

async function relayError(deployment: Deployment, response: TransportResponse): Promise<Answer> {
  const { status } = response;
  const { bytes } = await collectUpTo(response, errorBodyLimit);
  if (status === 401) {
    const shownKey = deployment.masks.map(([, mask]) => mask).join(', ') || 'no key';
    const message = `The provider rejected the stored credential (${shownKey}) of ${shown(deployment)}.`;
    const extra = { provider_status: status };
    return errorAnswer(new RouterError('provider_authentication_failed', message), extra);
  }
  const body = redact(bytes, deployment.secrets());
  const { 'content-length': _, ...headers } = passHeaders(response.headers);
  return { status, headers: { ...headers, 'x-litellm-error-source': 'provider' }, body };
}

function shown(deployment: Deployment): string {
  return `model ${JSON.stringify(deployment.publicName)} (deployment ${deployment.id})`;
}

function passHeaders(given: TransportResponse['headers']): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name in given) {
    const value = given[name];
    if (typeof value === 'string' && passedHeaders.test(name)) headers[name] = value;
  }
  const type = headers['content-type'];
  if (type === undefined || !passedTypes.test(type)) headers['content-type'] = 'application/octet-stream';
  return headers;
}

async function collectUpTo(response: TransportResponse, limit: number): Promise<{ bytes: Buffer }> {
  response.body.on('error', () => {});
  try {
    return await collect(response.body, limit);
  } catch {
    return { bytes: Buffer.alloc(0) };
  } finally {
    response.body.destroy();
  }
}

/** A body whose length was announced: the HTTP parser ends it there. */
async function readWhole(
  deployment: Deployment,
  response: TransportResponse,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  try {
    return (await collect(response.body)).bytes;
  } catch (error) {
    throw brokenOff(deployment, error, signal);
  }
}

/** The body as it comes, its failures in our own words. */
async function* guarded(
  deployment: Deployment,
  response: TransportResponse,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response.body) yield chunk as Uint8Array;
  } catch (error) {
    throw brokenOff(deployment, error, signal);
  }
}

/**
 * Whoever gives the body up ends the provider's answer at once: a generator would not hear of it before it is begun,
 * nor while it waits for more.
 */
function abandonable(
  body: AsyncGenerator<Uint8Array>,
  response: TransportResponse,
): AsyncIterableIterator<Uint8Array> {
  response.body.on('error', () => {});
  return {
    next: () => body.next(),
    return() {
      response.body.destroy();
      return body.return(undefined);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** The caller's own abort goes through as it is. */
function brokenOff(deployment: Deployment, error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted || RouterError.isInstance(error)) return error;
  if ((error as { code?: unknown }).code === 'UND_ERR_BODY_TIMEOUT') {
    return new RouterError('provider_timeout', `The provider of ${shown(deployment)} stopped sending.`);
  }
  return new RouterError(
    'provider_unreachable',
    `The provider of ${shown(deployment)} broke off its answer.`,
  );
}

async function take(iterator: AsyncIterator<Uint8Array>, limit: number) {
  const chunks: Uint8Array[] = [];
  let size = 0;
  while (size <= limit) {
    const next = await iterator.next();
    if (next.done) return { chunks, complete: true };
    chunks.push(next.value);
    size += next.value.byteLength;
  }
  return { chunks, complete: false };
}

async function* rejoin(
  chunks: Uint8Array[],
  iterator: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (const chunk of chunks.splice(0)) yield chunk;
    for (;;) {
      const next = await iterator.next();
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}
