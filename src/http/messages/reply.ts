import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { type Answer, discard } from '../../calls/answer.ts';
import { toResponse } from '../../client/web-response.ts';
import type { NodeBindings } from './bindings.ts';
import { breakOff, cutOffStalled, drained, heldByReader, isOver } from './reader.ts';

/**
 * Bytes per write. A larger response is written in parts as its client reads, so that a slow client differs
 * from one that reads nothing.
 */
const maxWriteBytes = 65_536;

/**
 * Notifies @hono/node-server that the response is already sent. One shared response, because creating one costs
 * 3 us.
 */
const sentHeader = 'x-hono-already-sent';
const alreadySent = new Response(null, { headers: { [sentHeader]: 'true' } });
// If `serve` of @hono/node-server has replaced the global Response, it writes the response again until its body
// was read once.
void alreadySent.body;

/**
 * Returns the shared "already sent" response if the given response is a copy of it. Hono copies the response to
 * HEAD, and a copy may be written again.
 */
export function withoutCopy(response: Response): Response {
  return response.headers.has(sentHeader) ? alreadySent : response;
}

/**
 * Sends a response. Writes to Node's own response if allowed, which costs half of what a web stream does.
 * Otherwise returns a standard `Response`.
 *
 * @param extra headers that middleware has set, such as CORS
 */
export function reply(
  answer: Answer,
  { outgoing, direct }: NodeBindings,
  extra?: Record<string, string>,
): Response | Promise<Response> {
  const { status, body } = answer;
  const headers = extra === undefined ? answer.headers : { ...extra, ...answer.headers };
  // nginx would buffer the events otherwise.
  if (headers['content-type']?.startsWith('text/event-stream')) headers['x-accel-buffering'] = 'no';
  // The response of a hostile provider is served on the application's origin.
  headers['x-content-type-options'] = 'nosniff';
  headers['content-security-policy'] = 'sandbox';
  identify(headers);
  // A 205 needs an explicit length, because its framing allows a body: RFC 9110, section 15.3.6.
  if (status === 205) headers['content-length'] = '0';
  if (direct !== true || outgoing === undefined)
    return toResponse(webAnswer(status, headers, body, outgoing));
  // The rest of a stalled body would be parsed as the next request.
  if (status === 408 && !outgoing.req.complete) headers.connection = 'close';
  // Its client has disconnected: written bytes would stay in memory, and no event would report the end.
  if (isOver(outgoing)) {
    discard(answer);
    return alreadySent;
  }
  if (outgoing.req.method === 'HEAD') return headOf(status, headers, answer, outgoing);
  if (body !== null && !(body instanceof Uint8Array)) return stream(status, headers, body, outgoing);
  // Other code may have responded meanwhile, such as the application's timeout handler.
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

/**
 * Returns the headers. A response to HEAD has no body and no length that could be mistaken for the body's
 * length.
 */
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
 * Writes the headers. Behind another pipelined response Node would keep the headers until the body is written,
 * and would send a waiting `100 Continue` after them. So they are flushed now.
 */
function begin(outgoing: ServerResponse, status: number, headers: Record<string, string>): void {
  outgoing.writeHead(status, headers);
  if (outgoing.socket === null) outgoing.flushHeaders();
}

/** Adds a request id to a response of the gateway itself. The client's error and the log contain the same id. */
export function identify(headers: Record<string, string>): string {
  const id = headers['x-request-id'] ?? headers['x-litellm-call-id'];
  if (id !== undefined) return id;
  const minted = randomUUID();
  headers['x-request-id'] = minted;
  headers['x-litellm-call-id'] = minted;
  return minted;
}

/** Returns a response that the runtime or the application writes. Watches its reader as far as possible. */
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
    // Ends the provider's call if the body cannot be written.
    await body[Symbol.asyncIterator]().return?.();
  }
  return alreadySent;
}

/**
 * Writes a body at the client's reading speed. Ends the provider's call if the client disconnects. A body that
 * breaks off must not look complete.
 */
async function pipe(body: AsyncIterable<Uint8Array>, outgoing: ServerResponse): Promise<void> {
  // Sent together with the first bytes, which usually are here already, because separate headers cost another
  // system call.
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
