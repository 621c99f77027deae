import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Answer, discard, errorAnswer } from '../../calls/answer.ts';
import { RouterError, type RouterErrorCode } from '../../errors.ts';
import { beforeReading } from './incoming-body.ts';
import { reply } from './reply.ts';

interface Refusal {
  status: number;
  reason: string;
  code: RouterErrorCode;
  message: string;
}

const malformed: Refusal = {
  status: 400,
  reason: 'Bad Request',
  code: 'invalid_request',
  message: 'The request is malformed.',
};
/** Rejections of Node's parser and timers, by the code of their error. */
const refusals: Record<string, Refusal> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    reason: 'Request Header Fields Too Large',
    code: 'request_too_large',
    message: 'The request headers exceed the size limit. Send smaller headers.',
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    reason: 'Payload Too Large',
    code: 'request_too_large',
    message: 'The chunk extensions of the body exceed the size limit. Omit them.',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    reason: 'Request Timeout',
    code: 'invalid_request',
    message: 'The request did not arrive in time.',
  },
};

type Handler = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

/**
 * Makes a server use the one error shape for Node's own rejections. Asks a client that waits for `100 Continue`
 * for its body only when the body is read.
 */
export function answerServerErrors(server: Server, handle: Handler): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Bytes after rejected bytes are rejected with them.
    if (refused.has(socket)) return;
    refused.add(socket);
    refuseInTurn(socket, refusals[error.code ?? ''] ?? malformed);
  });
  server.on('checkContinue', (incoming: IncomingMessage, outgoing: ServerResponse) => {
    beforeReading(incoming, () => {
      if (!outgoing.headersSent) outgoing.writeContinue();
    });
    handle(incoming, outgoing);
  });
  server.on('checkExpectation', (_incoming: IncomingMessage, outgoing: ServerResponse) => {
    const message = 'expect: is unknown. Send 100-continue or omit the header.';
    const error = new RouterError('invalid_request', message, { param: 'expect' });
    void reply({ ...errorAnswer(error), status: 417 }, { outgoing, direct: true });
  });
}

/**
 * Returns whether a request lacks the host that HTTP/1.1 requires. HTTP/1.0 does not require it, and an empty
 * host is legal.
 */
export function lacksHost({ httpVersionMajor, httpVersionMinor, headers }: IncomingMessage): boolean {
  return headers.host === undefined && httpVersionMajor === 1 && httpVersionMinor > 0;
}

export function hostMissing(): Answer {
  const answer = errorAnswer(new RouterError('invalid_request', 'host: is required.', { param: 'host' }));
  answer.headers.connection = 'close';
  return answer;
}

/** Connections that are not read any more. */
const refused = new WeakSet<Duplex>();

/**
 * Rejects invalid bytes after the responses to earlier requests. A client that pipelines would otherwise take
 * the rejection for the response to one of them, which may be another client's behind the same intermediary.
 */
function refuseInTurn(socket: Duplex, refusal: Refusal): void {
  const { _httpMessage: current } = socket as { _httpMessage?: ServerResponse | null };
  if (current == null) refuse(socket, refusal);
  // The rejected bytes belong to the body of the request that is answered now.
  else if (!current.req.complete) current.headersSent ? socket.destroy() : refuse(socket, refusal);
  else current.once('close', () => refuseInTurn(socket, refusal));
}

/** Writes a raw response, because there is no parsed request to respond to. */
function refuse(socket: Duplex, { status, reason, code, message }: Refusal): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  writeAnswer(socket, { ...errorAnswer(new RouterError(code, message)), status }, reason);
}

/** Writes an answer to a socket that has no response of Node's, and ends the connection. */
export function writeAnswer(
  socket: Duplex,
  answer: Answer,
  reason = STATUS_CODES[answer.status] ?? 'Refused',
): void {
  const { status, headers } = answer;
  const body = answer.body instanceof Uint8Array ? answer.body : Buffer.alloc(0);
  discard(answer);
  const id = headers['x-request-id'] ?? headers['x-litellm-call-id'] ?? randomUUID();
  const fields = {
    ...headers,
    'content-length': String(body.byteLength),
    'x-content-type-options': 'nosniff',
    'content-security-policy': 'sandbox',
    'x-request-id': id,
    'x-litellm-call-id': headers['x-litellm-call-id'] ?? id,
    connection: 'close',
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${status} ${reason}\r\n${lines.join('')}\r\n`);
  socket.end(body);
}
