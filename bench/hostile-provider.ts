/** The providers of the attacked gateway: what they answer is the first segment of a model's `api_base`. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface Providers {
  /** Without a trailing slash. */
  url: string;
  /** How many requests came in, by the first segment of their path. */
  requests: Map<string, number>;
  close(): void;
}

const mebibyte = 1_048_576;

type Answer = (response: ServerResponse, path: string) => void;

const completion = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'gpt-4o',
  choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
});

/** Answers by name; `tiny-<kind>-<bytes>-<size>` is made on demand. */
const answers: Record<string, Answer> = {
  good: (response) => json(response, 200, completion),
  failing: (response) => json(response, 500, '{"error":{"message":"failed","type":"server_error"}}'),
  limited: (response) => {
    response.setHeader('retry-after', '20');
    json(
      response,
      429,
      '{"error":{"message":"Request too large for gpt-4o on tokens per min","type":"tokens","code":"rate_limit_exceeded"}}',
    );
  },
  silent: (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': waiting\n\n');
  },
  megabyte: (response) => json(response, 200, completion.replace('"ok"', `"${'x'.repeat(1_000_000)}"`)),
};

/** A large body of an error: no secret stands in it, but all of it has to be looked at. */
function refusal(bytes: number, filling: string): string {
  const text = filling.repeat(Math.ceil(bytes / filling.length)).slice(0, bytes);
  return JSON.stringify({ error: { message: text, type: 'invalid_request_error' } });
}

/** The same bytes in pieces of `size`, framed as chunks of HTTP. */
function inChunks(body: string, size: number): Buffer {
  const pieces: string[] = [];
  for (let at = 0; at < body.length; at += size) {
    const piece = body.slice(at, at + size);
    pieces.push(`${piece.length.toString(16)}\r\n${piece}\r\n`);
  }
  return Buffer.from(`${pieces.join('')}0\r\n\r\n`, 'latin1');
}

const bodiesInChunks: Record<string, (bytes: number) => { type: string; status: number; body: string }> = {
  // An event that does not end before its last byte.
  event: (bytes) => ({
    type: 'text/event-stream',
    status: 200,
    body: `data: {"type":"response.output_text.delta","delta":"${'x'.repeat(bytes)}"}\n\n`,
  }),
  comments: (bytes) => ({ type: 'text/event-stream', status: 200, body: ':\n\n'.repeat(bytes / 3) }),
  lines: (bytes) => ({ type: 'text/event-stream', status: 200, body: 'data: x\n'.repeat(bytes / 8) }),
  json: (bytes) => ({
    type: 'application/json',
    status: 200,
    body: `{"id":"resp_1","object":"response","text":"${'x'.repeat(bytes)}"}`,
  }),
  spaces: (bytes) => ({ type: 'application/json', status: 200, body: `${' '.repeat(bytes)}${completion}` }),
  error: (bytes) => ({ type: 'application/json', status: 400, body: refusal(bytes, 'abcdefgh') }),
  alike: (bytes) => ({ type: 'application/json', status: 400, body: refusal(bytes, 'a') }),
  slashes: (bytes) => ({ type: 'application/json', status: 400, body: refusal(bytes, '://') }),
  percents: (bytes) => ({ type: 'application/json', status: 400, body: refusal(bytes, '%25') }),
  bytes: (bytes) => ({ type: 'audio/mpeg', status: 200, body: 'x'.repeat(bytes) }),
};

const prepared = new Map<string, Buffer>();

/** Chunk by chunk, so that each is read alone: what is done once a chunk shows. */
function writeApart(socket: Socket, whole: Buffer, size: number): void {
  socket.setNoDelay(true);
  const step = 4 * size;
  let at = 0;
  const next = () => {
    if (at >= whole.length || socket.destroyed) return;
    socket.write(whole.subarray(at, at + step), () => setImmediate(next));
    at += step;
  };
  next();
}

/** `<kind>-<bytes>-<size of a chunk>`, with `-paced` behind it if each chunk comes alone */
function chunked(name: string): Answer | undefined {
  const [kind = '', bytes = '', size = '', paced] = name.split('-');
  const make = bodiesInChunks[kind];
  if (make === undefined) return undefined;
  return (response) => {
    let whole = prepared.get(name);
    if (whole === undefined) {
      const { type, status, body } = make(Number(bytes));
      const head = `HTTP/1.1 ${status} x\r\ncontent-type: ${type}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n`;
      whole = Buffer.concat([Buffer.from(head), inChunks(body, Number(size))]);
      prepared.set(name, whole);
    }
    // By the socket itself: an HTTP server would join what is written together. It would not answer another request there.
    if (paced === undefined) response.socket?.end(whole);
    else if (response.socket !== null) writeApart(response.socket, whole, Number(size));
  };
}

export async function startProviders(): Promise<Providers> {
  const requests = new Map<string, number>();
  const server = createServer(
    { keepAliveTimeout: 60_000, maxHeaderSize: mebibyte },
    (incoming: IncomingMessage, response) => {
      const name = (incoming.url ?? '').split('/')[1] ?? '';
      const answer = answers[name] ?? chunked(name);
      requests.set(name, (requests.get(name) ?? 0) + 1);
      incoming.resume().on('end', () => {
        if (answer === undefined) json(response, 404, '{}');
        else answer(response, incoming.url ?? '');
      });
      incoming.on('error', () => {});
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function json(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}
