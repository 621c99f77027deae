import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';

/** One session as the provider saw it. */
export interface ProviderSession {
  /** Path and query of the handshake. */
  url: string;
  headers: IncomingHttpHeaders;
  socket: WebSocket;
  /** The text messages that came, parsed. */
  events: Record<string, unknown>[];
  /** The text messages as they came. */
  texts: string[];
  /** Resolves with the close code. */
  closed: Promise<number>;
}

export interface SocketProvider {
  /** Without a trailing slash. */
  url: string;
  sessions: ProviderSession[];
  /** Resolves with the next session that is opened, or with one that nobody has asked for. */
  next(): Promise<ProviderSession>;
  close(): Promise<void>;
}

export interface ScriptOptions {
  /** Answers an event of the client. Default: `answerAsRealtime`. */
  onEvent?: (event: Record<string, unknown>, session: ProviderSession) => void;
  onOpen?: (session: ProviderSession) => void;
  /** Handles the handshake in place of the server. Returns whether it did. */
  onUpgrade?: (request: IncomingMessage, socket: Duplex) => boolean;
  /** Maximum size of a message in bytes. */
  maxPayload?: number;
}

/** A provider on a loopback port that speaks WebSocket, by the package `ws`. */
export async function socketProvider(options: ScriptOptions = {}): Promise<SocketProvider> {
  const { onEvent = answerAsRealtime, onOpen, onUpgrade, maxPayload = 268_435_456 } = options;
  const sessions: ProviderSession[] = [];
  const unasked: ProviderSession[] = [];
  const waiting: ((session: ProviderSession) => void)[] = [];
  const server = createServer((_, response) => response.writeHead(426).end());
  const sockets = new WebSocketServer({ noServer: true, maxPayload });
  const duplexes: Duplex[] = [];
  server.on('upgrade', (request, duplex, head) => {
    duplexes.push(duplex.on('error', () => {}));
    if (onUpgrade?.(request, duplex)) return;
    sockets.handleUpgrade(request, duplex, head, (socket) => {
      const closed = new Promise<number>((resolve) => socket.once('close', resolve));
      const { url = '', headers } = request;
      const session: ProviderSession = { url, headers, socket, events: [], texts: [], closed };
      sessions.push(session);
      socket.on('error', () => {});
      socket.on('message', (data, binary) => {
        if (binary) return;
        const text = String(data);
        session.texts.push(text);
        const event = JSON.parse(text) as Record<string, unknown>;
        session.events.push(event);
        onEvent(event, session);
      });
      onOpen?.(session);
      const ask = waiting.shift();
      if (ask === undefined) unasked.push(session);
      else ask(session);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    sessions,
    next() {
      const first = unasked.shift();
      return first === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(first);
    },
    async close() {
      for (const duplex of duplexes) duplex.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function sendEvent({ socket }: ProviderSession, event: Record<string, unknown>): void {
  socket.send(JSON.stringify(event));
}

/** What a response used, as `answerAsRealtime` tells it. */
export const usage = { input_tokens: 7, output_tokens: 5, total_tokens: 12 };

/** Answers `response.create` with deltas of text and audio, and the other events as OpenAI does. */
export function answerAsRealtime(event: Record<string, unknown>, session: ProviderSession): void {
  const model = modelOf(event, session);
  if (event.type === 'session.update' || event.type === 'session.start') {
    const type = event.type === 'session.start' ? 'session.started' : 'session.updated';
    sendEvent(session, { type, event_id: 'event_1', session: { id: 'sess_1', model } });
  }
  if (event.type !== 'response.create') return;
  const response = { id: 'resp_1', object: 'realtime.response', model };
  sendEvent(session, { type: 'response.created', event_id: 'event_2', response });
  for (const delta of ['Hel', 'lo ', 'you']) {
    sendEvent(session, { type: 'response.output_text.delta', event_id: 'event_3', delta, item_id: 'item_1' });
    const audio = Buffer.from(delta).toString('base64');
    sendEvent(session, { type: 'response.output_audio.delta', event_id: 'event_4', delta: audio });
  }
  const done = session.url.includes('/responses') ? 'response.completed' : 'response.done';
  sendEvent(session, {
    type: done,
    event_id: 'event_5',
    response: { ...response, status: 'completed', usage },
  });
}

function modelOf(event: Record<string, unknown>, { url }: ProviderSession): unknown {
  const inSession = (event.session as { model?: unknown } | undefined)?.model;
  const query = new URL(url, 'http://127.0.0.1').searchParams;
  return event.model ?? inSession ?? query.get('model') ?? query.get('deployment');
}
