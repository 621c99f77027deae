import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Maximum requests of one connection that are processed concurrently, including the one whose response is
 * written.
 */
const maxAtOnce = 32;
/** Milliseconds until a connection with deferred requests is read again, doubled after each further request. */
const firstPauseMs = 250;
const maxPauseMs = 2 ** 30;

/** The pipelined requests of a connection. Each response waits for the responses before it. */
interface Line {
  answers: Set<ServerResponse>;
  /** Start the requests that are not processed yet. */
  deferred: (() => void)[];
  /** Number of `answers` that are processed. */
  begun: number;
  /** Timer that reads the connection again, because only a read detects a client disconnect. */
  timer?: NodeJS.Timeout;
  pauseMs: number;
  /** Whether the connection is read until the next request, although some are deferred. */
  watching: boolean;
}

const lines = new WeakMap<Socket, Line>();

/**
 * Notifies each pipelined response of a client disconnect. Node notifies only the response that is being
 * written, so the calls of the others would continue. Above `maxAtOnce` a request waits before it is processed,
 * and its connection is not read except for one read after each pause. The pauses double, so a client that
 * sends more fills no memory, and a client disconnect is detected.
 *
 * @returns a promise if the request has to wait
 */
export function followConnection(
  { socket }: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> | undefined {
  if (outgoing.socket !== null) return undefined;
  if (socket.destroyed) {
    outgoing.destroy();
    return Promise.resolve();
  }
  const line = lines.get(socket) ?? newLine(socket);
  if (line.answers.has(outgoing)) return undefined;
  line.answers.add(outgoing);
  let begun = line.begun < maxAtOnce - 1 && line.deferred.length === 0;
  if (begun) line.begun += 1;
  outgoing.once('socket', () => {
    line.answers.delete(outgoing);
    if (begun) line.begun -= 1;
    beginNext(line);
    if (line.deferred.length > 0) return;
    clearTimeout(line.timer);
    line.pauseMs = firstPauseMs;
    socket.resume();
  });
  if (begun) return undefined;
  pauseReading(socket, line);
  return new Promise((resolve) => {
    line.deferred.push(() => {
      begun = true;
      line.begun += 1;
      resolve();
    });
  });
}

function pauseReading(socket: Socket, line: Line): void {
  // Several requests of one read count once.
  if (!line.watching && line.deferred.length > 0) return;
  line.watching = false;
  socket.pause();
  clearTimeout(line.timer);
  line.timer = setTimeout(() => {
    line.watching = true;
    socket.resume();
  }, line.pauseMs).unref();
  line.pauseMs = Math.min(line.pauseMs * 2, maxPauseMs);
}

function beginNext(line: Line): void {
  while (line.begun < maxAtOnce - 1) {
    const begin = line.deferred.shift();
    if (begin === undefined) return;
    begin();
  }
}

function newLine(socket: Socket): Line {
  const line: Line = {
    answers: new Set(),
    deferred: [],
    begun: 0,
    pauseMs: firstPauseMs,
    watching: false,
  };
  lines.set(socket, line);
  // Node resumes the socket for the body of each request.
  socket.on('resume', () => {
    if (line.deferred.length > 0 && !line.watching) socket.pause();
  });
  socket.once('close', () => {
    clearTimeout(line.timer);
    for (const outgoing of line.answers) {
      outgoing.destroy();
      outgoing.emit('close');
    }
    // The started requests find their responses destroyed.
    for (const begin of line.deferred.splice(0)) begin();
  });
  return line;
}
