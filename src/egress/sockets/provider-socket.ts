import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { ping, type WebSocket } from 'undici';

/**
 * A text message, or the bytes of a binary one.
 *
 * @example
 * ```ts
 * const message: SocketMessage = JSON.stringify({ type: 'response.create' });
 * ```
 */
export type SocketMessage = string | Uint8Array;

/**
 * Receives what happens on one end of a session.
 *
 * @example
 * ```ts
 * const listen = (end: SocketEnd, listener: SocketListener) => end.start(listener);
 * ```
 */
export interface SocketListener {
  message(message: SocketMessage): void;
  /** The bytes that were sent have been written. */
  drained(): void;
  /** @param code 1006 if the connection ended without a close frame */
  closed(code: number, reason: string): void;
}

/** The gate of a socket's input, which undici must not open while the router holds it. */
export interface InputGate {
  held: boolean;
}

/**
 * Creates the gate of a socket's input, closed. undici resumes a socket whenever its parser has room, so a gate takes the
 * place of `pause`.
 */
export function gateInput(socket: Socket): InputGate {
  const gate: InputGate = { held: true };
  const resume = socket.resume;
  socket.resume = () => (gate.held ? socket : resume.call(socket));
  return gate;
}

/** A WebSocket to a provider, with back-pressure in both directions. Delivers nothing before `start`. */
export class ProviderSocket {
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #gate: InputGate;
  #listener: SocketListener | undefined;
  /** Bytes of the message that is being received. */
  #partial = 0;
  #closed: { code: number; reason: string } | undefined;

  constructor(webSocket: WebSocket, socket: Socket, gate: InputGate) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#gate = gate;
    webSocket.binaryType = 'arraybuffer';
    webSocket.addEventListener('message', ({ data }: { data: unknown }) => {
      this.#partial = 0;
      this.#listener?.message(typeof data === 'string' ? data : new Uint8Array(data as ArrayBuffer));
    });
    webSocket.addEventListener('close', ({ code, reason }) => {
      this.#closed = { code, reason };
      this.#listener?.closed(code, reason);
    });
    socket.on('drain', () => this.#listener?.drained());
    socket.prependListener('data', (chunk: Buffer) => {
      this.#partial += chunk.byteLength;
    });
  }

  /** Bytes that are held: sent and not yet written, or received of a message that is not complete. */
  get buffered(): number {
    return this.#socket.writableLength + this.#partial;
  }

  /** Bytes that were sent and are not yet written. undici's `bufferedAmount` falls only after the socket has emitted `drain`. */
  get unsent(): number {
    return this.#socket.writableLength;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  /** Begins to deliver. */
  start(listener: SocketListener): void {
    this.#listener = listener;
    if (this.#closed === undefined) this.resume();
    else listener.closed(this.#closed.code, this.#closed.reason);
  }

  send(message: SocketMessage): void {
    this.#webSocket.send(message as string | Uint8Array<ArrayBuffer>);
  }

  pause(): void {
    this.#gate.held = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#gate.held = false;
    this.#socket.resume();
  }

  ping(): void {
    ping(this.#webSocket);
  }

  /** @param code 1005 sends a close frame without a code */
  close(code: number, reason: string): void {
    if (code === 1005) this.#webSocket.close();
    else if (code === 1000 || code >= 3000) this.#webSocket.close(code, reason);
    else if (this.#webSocket.readyState === this.#webSocket.OPEN)
      this.#socket.write(closeFrame(code, reason));
    this.resume();
  }

  terminate(): void {
    this.#socket.destroy();
  }
}

/**
 * Creates a masked close frame with a code that the standard interface does not let a page send, such as 1001.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6455#section-5.2
 */
function closeFrame(code: number, reason: string): Buffer {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  const mask = randomBytes(4);
  const masked = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x88, 0x80 | payload.byteLength]), mask, masked]);
}
