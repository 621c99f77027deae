import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The answers that wait on each connection for those before them. */
const waiting = new WeakMap<Socket, Set<ServerResponse>>();

/**
 * Has an answer that waits behind another one, since its client did not wait, hear of its connection's end: Node tells only
 * the one that is being written, and the others' calls would go on for nobody.
 */
export function followConnection({ socket }: IncomingMessage, outgoing: ServerResponse): void {
  if (outgoing.socket !== null) return;
  const queue = waiting.get(socket) ?? watched(socket);
  queue.add(outgoing);
  outgoing.once('socket', () => queue.delete(outgoing));
}

function watched(socket: Socket): Set<ServerResponse> {
  const queue = new Set<ServerResponse>();
  waiting.set(socket, queue);
  socket.once('close', () => {
    for (const outgoing of queue) {
      outgoing.destroy();
      outgoing.emit('close');
    }
  });
  return queue;
}
