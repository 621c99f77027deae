import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { type Answer, discard } from '../../calls/answer.ts';
import { toResponse } from '../../client/web-response.ts';
import type { NodeBindings } from './bindings.ts';
import { breakOff, cutOffStalled, drained, heldByReader, isOver } from './reader.ts';

/**
 * Bytes that are written at a time: an answer that is larger is written as its reader takes it, so that a reader that
 * takes some of it can be told from one that takes nothing.
 */
const maxWriteBytes = 65_536;

/** Tells @hono/node-server that the answer is on its way already. One for all: to make one costs 3 us. */
const sentHeader = 'x-hono-already-sent';
const alreadySent = new Response(null, { headers: { [sentHeader]: 'true' } });
// If `serve` of @hono/node-server has replaced the global Response, its own is written again until its body was read once.
void alreadySent.body;

/**
 * Returns the response that tells @hono/node-server that the answer was sent, if the given one is a copy of it. Hono copies
 * the response to HEAD, and a copy may be written again.
 */
export function withoutCopy(response: Response): Response {
  return response.headers.has(sentHeader) ? alreadySent : response;
}

/**
 * Hands an answer over: to Node's own response where it may be, small ones whole and streams as they come, which
 * costs half of what a web stream does; else as a standard `Response`.
 *
 * @param extra headers that middleware has set, such as CORS, if there may be any
 */
export function reply(
  answer: Answer,
  { outgoing, direct }: NodeBindings,
  extra?: Record<string, string>,
): Response | Promise<Response> {
  const { status, body } = answer;
  const headers = extra === undefined ? answer.headers : { ...extra, ...answer.headers };
  // nginx would collect the events before it hands them on.
  if (headers['content-type']?.startsWith('text/event-stream')) headers['x-accel-buffering'] = 'no';
  // A hostile provider answers on the application's own origin.
  headers['x-content-type-options'] = 'nosniff';
  headers['content-security-policy'] = 'sandbox';
  identify(headers);
  // The length of a 205 has to be told, because it may have a body by its framing: RFC 9110, section 15.3.6.
  if (status === 205) headers['content-length'] = '0';
  if (direct !== true || outgoing === undefined)
    return toResponse(webAnswer(status, headers, body, outgoing));
  // The rest of a body that stopped would be read as the next request.
  if (status === 408 && !outgoing.req.complete) headers.connection = 'close';
  // Its client has left: what was written now would lie in memory, and nothing would tell its end.
  if (isOver(outgoing)) {
    discard(answer);
    return alreadySent;
  }
  if (outgoing.req.method === 'HEAD') return headOf(status, headers, answer, outgoing);
  if (body !== null && !(body instanceof Uint8Array)) return stream(status, headers, body, outgoing);
  // Somebody else may have answered in the meantime, such as a time-out of the application's.
  if (outgoing.headersSent) return alreadySent;
  if (body !== null) {
    headers['content-length'] = String(body.byteLength);
    if (body.byteLength > maxWriteBytes) return stream(status, headers, slicesOf(body), outgoing);
  }
  begin(outgoing, status, headers);
  outgoing.end(body ?? undefined);
  if (outgoing.writableLength > 0) cutOffStalled(outgoing);
  return alreadySent;
}

/** The answer to HEAD has no body, and tells no length that could be taken for one. */
function headOf(
  status: number,
  { 'content-length': _, ...headers }: Record<string, string>,
  answer: Answer,
  outgoing: ServerResponse,
): Response {
  discard(answer);
  if (!outgoing.headersSent) {
    begin(outgoing, status, headers);
    outgoing.end();
  }
  return alreadySent;
}

/**
 * Writes the headers. Behind another answer on the same connection Node keeps them until the body is written, and puts them
 * before a `100 Continue` that waits there, so they are handed over now.
 */
function begin(outgoing: ServerResponse, status: number, headers: Record<string, string>): void {
  outgoing.writeHead(status, headers);
  if (outgoing.socket === null) outgoing.flushHeaders();
}

/** An answer of the gateway's own has an id as well: the one that a client's error shows, and that the log has. */
export function identify(headers: Record<string, string>): string {
  const id = headers['x-request-id'] ?? headers['x-litellm-call-id'];
  if (id !== undefined) return id;
  const minted = randomUUID();
  headers['x-request-id'] = minted;
  headers['x-litellm-call-id'] = minted;
  return minted;
}

/** An answer that somebody else writes, whose reader is watched as far as that is possible. */
function webAnswer(
  status: number,
  headers: Record<string, string>,
  body: Answer['body'],
  outgoing: ServerResponse | undefined,
): Answer {
  if (body !== null && !(body instanceof Uint8Array))
    return { status, headers, body: heldByReader(body, outgoing) };
  outgoing?.once('prefinish', () => {
    if (outgoing.writableLength > 0) cutOffStalled(outgoing);
  });
  return { status, headers, body };
}

async function* slicesOf(body: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.byteLength; at += maxWriteBytes) yield body.subarray(at, at + maxWriteBytes);
}

async function stream(
  status: number,
  headers: Record<string, string>,
  body: AsyncIterable<Uint8Array>,
  outgoing: ServerResponse,
): Promise<Response> {
  try {
    if (!outgoing.headersSent) {
      begin(outgoing, status, headers);
      await pipe(body, outgoing);
    }
  } finally {
    // Whatever came between: the provider's call ends with it.
    await body[Symbol.asyncIterator]().return?.();
  }
  return alreadySent;
}

/** At the reader's pace; when the reader leaves, so does the provider's call. What breaks off must not look complete. */
async function pipe(body: AsyncIterable<Uint8Array>, outgoing: ServerResponse): Promise<void> {
  // Together with the first bytes, which nearly always are here already: apart, it is one more system call.
  const head = setImmediate(() => outgoing.flushHeaders());
  try {
    for await (const chunk of body) {
      clearImmediate(head);
      if (outgoing.destroyed) return;
      if (!outgoing.write(chunk)) await drained(outgoing);
    }
    outgoing.end();
    if (outgoing.writableLength > 0) cutOffStalled(outgoing);
  } catch {
    await breakOff(outgoing);
  } finally {
    clearImmediate(head);
  }
}
