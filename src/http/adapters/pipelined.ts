import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection that are worked on at a time: the one whose answer is written, and those behind it. */
const maxAtOnce = 32;
/** Milliseconds until a connection with deferred requests is read again, doubled after each further request. */
const firstPauseMs = 250;
const longestPauseMs = 2 ** 30;

/** The requests of a connection whose answers wait for those before them. */
interface Line {
  answers: Set<ServerResponse>;
  /** Begin the requests that are not worked on yet. */
  deferred: (() => void)[];
  /** How many of `answers` are worked on. */
  begun: number;
  /** Reads the connection again, because only a read tells that its client has left. */
  timer?: NodeJS.Timeout;
  pauseMs: number;
  /** Whether the connection is read until the next request, although some are deferred. */
  watching: boolean;
}

const lines = new WeakMap<Socket, Line>();

/**
 * Has an answer that waits behind another one, since its client did not wait, hear of its connection's end: Node tells only
 * the one that is being written, and the others' calls would go on for nobody. Beyond a number of them a request waits
 * before it is worked on, and no more are read from its connection, except for one read after each pause. The pauses
 * double, so a client that sends on fills no memory, and a client that leaves is noticed.
 *
 * @returns what the request has to wait for, if it has to
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
  // Several requests of one read are one.
  if (!line.watching && line.deferred.length > 0) return;
  line.watching = false;
  socket.pause();
  clearTimeout(line.timer);
  line.timer = setTimeout(() => {
    line.watching = true;
    socket.resume();
  }, line.pauseMs).unref();
  line.pauseMs = Math.min(line.pauseMs * 2, longestPauseMs);
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
  // Node resumes it for the body of each request.
  socket.on('resume', () => {
    if (line.deferred.length > 0 && !line.watching) socket.pause();
  });
  socket.once('close', () => {
    clearTimeout(line.timer);
    for (const outgoing of line.answers) {
      outgoing.destroy();
      outgoing.emit('close');
    }
    // They see that their answers are destroyed.
    for (const begin of line.deferred.splice(0)) begin();
  });
  return line;
}
