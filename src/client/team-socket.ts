import { Blob } from 'node:buffer';
import { CloseEvent, ErrorEvent, MessageEvent } from 'undici';
import { passedCode } from '../sessions/close-codes.ts';
import type { Session } from '../sessions/session.ts';
import { type SocketEnd, type SocketListener, type SocketMessage, sizeOf } from '../sessions/socket-end.ts';

type Handler<Kind> = ((event: Kind) => unknown) | null;

/** Bytes that may wait to be sent. A sender that ignores `bufferedAmount` is disconnected there. */
const maxQueuedBytes = 16_777_216;

const states = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 } as const;

/**
 * An in-process session with the interface of the standard `WebSocket`. No socket leaves the process but the provider's.
 *
 * @example
 * ```ts
 * const socket: TeamSocket = router.connect('acme', { path: '/v1/responses' });
 * socket.onmessage = ({ data }) => console.log(data);
 * ```
 *
 * @see https://websockets.spec.whatwg.org/#the-websocket-interface
 */
export class TeamSocket extends EventTarget {
  static readonly CONNECTING: 0 = states.CONNECTING;
  static readonly OPEN: 1 = states.OPEN;
  static readonly CLOSING: 2 = states.CLOSING;
  static readonly CLOSED: 3 = states.CLOSED;
  readonly CONNECTING: 0 = states.CONNECTING;
  readonly OPEN: 1 = states.OPEN;
  readonly CLOSING: 2 = states.CLOSING;
  readonly CLOSED: 3 = states.CLOSED;
  readonly url: string;
  readonly protocol: string = '';
  readonly extensions: string = '';
  binaryType: 'blob' | 'arraybuffer' = 'blob';
  onopen: Handler<Event> = null;
  onmessage: Handler<MessageEvent> = null;
  onerror: Handler<ErrorEvent> = null;
  onclose: Handler<CloseEvent> = null;
  readonly #leaving = new AbortController();
  #state: 0 | 1 | 2 | 3 = states.CONNECTING;
  #listener: SocketListener | undefined;
  #queue: (SocketMessage | Blob)[] = [];
  #queuedBytes = 0;
  /** The Blob at the head of the queue, while it is read. */
  #reading: Blob | undefined;
  #bytesRead = 0;
  #paused = true;

  /**
   * @param open opens the session. A RouterError that it rejects with is the `error` of the error event.
   */
  constructor(url: string, open: (signal: AbortSignal) => Promise<Session>) {
    super();
    this.url = url;
    this.addEventListener('open', (event) => this.onopen?.(event));
    this.addEventListener('message', (event) => this.onmessage?.(event as unknown as MessageEvent));
    this.addEventListener('error', (event) => this.onerror?.(event as unknown as ErrorEvent));
    this.addEventListener('close', (event) => this.onclose?.(event as unknown as CloseEvent));
    open(this.#leaving.signal).then(
      (session) => this.#attach(session),
      (error: unknown) => this.#fail(error),
    );
  }

  get readyState(): 0 | 1 | 2 | 3 {
    return this.#state;
  }

  /** Bytes that were sent and that the provider's socket has not taken yet. */
  get bufferedAmount(): number {
    return this.#queuedBytes;
  }

  /** @throws DOMException `InvalidStateError` before the session is open */
  send(data: string | ArrayBufferLike | ArrayBufferView | Blob): void {
    if (this.#state === states.CONNECTING)
      throw new DOMException('Sent before connected.', 'InvalidStateError');
    if (this.#state !== states.OPEN) return;
    const queued = typeof data === 'string' || data instanceof Blob ? data : copyOf(data);
    this.#queue.push(queued);
    this.#queuedBytes += sizeOfQueued(queued);
    this.#flush();
    if (this.#queuedBytes > maxQueuedBytes) this.#leave(1009, 'Too many bytes wait to be sent.');
  }

  /** @throws DOMException `InvalidAccessError` for a code other than 1000 and 3000 to 4999 */
  close(code?: number, reason = ''): void {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999))
      throw new DOMException('The code must be 1000 or 3000 to 4999.', 'InvalidAccessError');
    if (Buffer.byteLength(reason) > 123)
      throw new DOMException('The reason must have at most 123 bytes.', 'SyntaxError');
    this.#leave(code ?? 1005, reason);
  }

  #leave(code: number, reason: string): void {
    if (this.#state >= states.CLOSING) return;
    const wasOpen = this.#state === states.OPEN;
    this.#state = states.CLOSING;
    this.#leaving.abort();
    if (wasOpen) this.#listener?.closed(code, reason);
  }

  #attach(session: Session): void {
    if (this.#state !== states.CONNECTING) {
      session.attach(this.#end());
      this.#listener?.closed(1000, '');
      return;
    }
    this.#state = states.OPEN;
    this.dispatchEvent(new Event('open'));
    session.attach(this.#end());
    this.#paused = false;
    this.#flush();
  }

  #end(): SocketEnd {
    const socket = this;
    return {
      get buffered() {
        return socket.#queuedBytes;
      },
      unsent: 0,
      get bytesRead() {
        return socket.#bytesRead;
      },
      start: (listener) => {
        this.#listener = listener;
      },
      send: (message) => this.#deliver(message),
      pause: () => {
        this.#paused = true;
      },
      resume: () => {
        this.#paused = false;
        queueMicrotask(() => this.#flush());
      },
      // The process itself is the peer.
      ping: () => {
        this.#bytesRead += 1;
      },
      close: (code, reason) => this.#closed(code, reason, true),
      terminate: () => this.#closed(1006, '', false),
    };
  }

  #flush(): void {
    while (!this.#paused && this.#state === states.OPEN) {
      const [message] = this.#queue;
      if (message === undefined) return;
      if (message instanceof Blob) {
        this.#readFirst(message);
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= sizeOfQueued(message);
      this.#bytesRead += 1;
      this.#listener?.message(message);
    }
  }

  /** Replaces the Blob at the head of the queue by its bytes. Later messages wait for it. */
  #readFirst(blob: Blob): void {
    if (this.#reading === blob) return;
    this.#reading = blob;
    blob.arrayBuffer().then(
      (bytes) => {
        this.#reading = undefined;
        if (this.#queue[0] === blob) this.#queue[0] = new Uint8Array(bytes);
        this.#flush();
      },
      () => this.#leave(1011, 'A Blob could not be read.'),
    );
  }

  #deliver(message: SocketMessage): void {
    if (this.#state !== states.OPEN) return;
    const data = typeof message === 'string' ? message : this.#binary(message);
    this.dispatchEvent(new MessageEvent('message', { data }) as unknown as Event);
  }

  #binary(bytes: Uint8Array): Blob | ArrayBuffer {
    return this.binaryType === 'blob' ? new Blob([bytes]) : copyOf(bytes).buffer;
  }

  #fail(error: unknown): void {
    if (this.#state === states.CLOSED) return;
    const message = error instanceof Error ? error.message : 'The session could not be opened.';
    this.#state = states.CLOSED;
    this.dispatchEvent(new ErrorEvent('error', { error, message }) as unknown as Event);
    this.#emitClose(1006, '', false);
  }

  #closed(code: number, reason: string, wasClean: boolean): void {
    if (this.#state === states.CLOSED) return;
    this.#state = states.CLOSED;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#emitClose(code === 1005 ? code : passedCode(code), reason, wasClean);
  }

  #emitClose(code: number, reason: string, wasClean: boolean): void {
    this.dispatchEvent(new CloseEvent('close', { code, reason, wasClean }) as unknown as Event);
  }
}

function sizeOfQueued(message: SocketMessage | Blob): number {
  return message instanceof Blob ? message.size : sizeOf(message);
}

function copyOf(data: ArrayBufferLike | ArrayBufferView): Uint8Array<ArrayBuffer> {
  const view = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  return Uint8Array.from(view);
}
