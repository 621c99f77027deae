import type { SocketListener, SocketMessage } from '../egress/transport.ts';

export type { SocketListener, SocketMessage } from '../egress/transport.ts';

/**
 * One end of a session: the provider's socket, the client's, or an in-process one.
 *
 * @example
 * ```ts
 * const notify = (end: SocketEnd) => end.send(JSON.stringify({ type: 'session.updated' }));
 * ```
 */
export interface SocketEnd {
  /** Bytes that are held: sent and not yet written, or received of a message that is not complete. */
  readonly buffered: number;
  /** Bytes that were sent and are not yet written. */
  readonly unsent: number;
  /** Bytes that the peer has sent so far. */
  readonly bytesRead: number;
  start(listener: SocketListener): void;
  send(message: SocketMessage): void;
  pause(): void;
  resume(): void;
  ping(): void;
  close(code: number, reason: string): void;
  /** Ends the connection without a close frame. */
  terminate(): void;
}

/** Returns the size of a message in characters or bytes. */
export function sizeOf(message: SocketMessage): number {
  return typeof message === 'string' ? message.length : message.byteLength;
}

/** A provider may read the bytes of a binary message as an event. Returns `undefined` for what cannot be one. */
export function asText(bytes: Uint8Array): string | undefined {
  const first = bytes.find((byte) => byte > 0x20);
  // An opening brace, or the first byte of a byte order mark.
  if (first !== 0x7b && first !== 0xef) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString('utf8')
    .replace(/^\ufeff/, '');
}
