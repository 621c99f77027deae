import type { SocketListener, SocketMessage } from '../egress/transport.ts';

export type { SocketListener, SocketMessage } from '../egress/transport.ts';

/** One end of a session: the provider's socket, the client's, or an in-process one. */
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
