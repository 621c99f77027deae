import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import { RouterError } from '../errors.ts';
import type { Session } from './session.ts';
import type { SocketEnd, SocketListener, SocketMessage } from './socket-end.ts';

/** Completes a client's handshake, and attaches its socket to a session. */
export type AcceptSession = (
  session: Session,
  incoming: IncomingMessage,
  socket: Duplex,
  head: Buffer,
) => void;

const servers = new Map<number, WebSocketServer>();

/**
 * Loads the package `ws`, which is an optional peer dependency.
 *
 * @throws RouterError `internal_error` with a hint for the operator, if the package is not installed
 */
export async function loadAccept(): Promise<AcceptSession> {
  const { WebSocketServer: Server } = await import('ws').catch((cause: unknown) => {
    const hint = 'WebSocket sessions require the package ws. Run npm install ws.';
    throw new RouterError('internal_error', 'This server serves no WebSockets.', { hint, cause });
  });
  return (session, incoming, socket, head) => {
    const { maxMessageBytes } = session;
    let server = servers.get(maxMessageBytes);
    if (server === undefined) {
      server = new Server({
        noServer: true,
        clientTracking: false,
        perMessageDeflate: false,
        maxPayload: maxMessageBytes,
        handleProtocols: selectProtocol,
      });
      servers.set(maxMessageBytes, server);
    }
    server.handleUpgrade(incoming, socket, head, (webSocket) =>
      session.attach(new ClientEnd(webSocket, socket as Socket)),
    );
  };
}

/** Subprotocols that carry a key, an organization or a version, and are no protocols. */
const carriers = /^openai-(insecure-api-key|organization|project|beta)\./;

/** Browsers offer `realtime` next to their key, and fail unless a protocol is selected. The key is never sent back. */
function selectProtocol(offered: Set<string>): string | false {
  if (offered.has('realtime')) return 'realtime';
  return [...offered].find((protocol) => !carriers.test(protocol)) ?? false;
}

/** A client's socket, by the package `ws`. */
class ClientEnd implements SocketEnd {
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  #partial = 0;

  constructor(webSocket: WebSocket, socket: Socket) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    socket.prependListener('data', (chunk: Buffer) => {
      this.#partial += chunk.byteLength;
    });
  }

  get buffered(): number {
    return this.#webSocket.bufferedAmount + this.#partial;
  }

  get unsent(): number {
    return this.#webSocket.bufferedAmount;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead ?? 0;
  }

  start(listener: SocketListener): void {
    const webSocket = this.#webSocket;
    // `close` follows.
    webSocket.on('error', () => {});
    webSocket.on('message', (data, isBinary) => {
      this.#partial = 0;
      listener.message(isBinary ? (data as Buffer) : data.toString());
    });
    webSocket.on('close', (code, reason) => listener.closed(code, reason.toString()));
    this.#socket.on('drain', () => listener.drained());
  }

  send(message: SocketMessage): void {
    this.#webSocket.send(message, { binary: typeof message !== 'string' });
  }

  pause(): void {
    this.#webSocket.pause();
  }

  resume(): void {
    this.#webSocket.resume();
  }

  ping(): void {
    this.#webSocket.ping();
  }

  close(code: number, reason: string): void {
    if (code === 1005) this.#webSocket.close();
    else this.#webSocket.close(code, reason);
    this.resume();
  }

  terminate(): void {
    this.#webSocket.terminate();
  }
}
