import type { ServerResponse } from 'node:http';

/** Milliseconds for which a client may read nothing of a response before it is cut off. */
const maxStallMs = 120_000;
/** Milliseconds that a client has to read the last bytes. Then its connection is reset, which may drop them. */
const lastBytesMs = 250;

/** Returns whether a response is complete or its client has disconnected, so that no 'close' event follows. */
export function isOver({ closed, destroyed }: ServerResponse): boolean {
  return closed || destroyed;
}

/**
 * Waits until the client has read the written bytes, or has disconnected. Cuts off a client that reads nothing
 * for too long.
 */
export function drained(outgoing: ServerResponse): Promise<void> {
  if (isOver(outgoing)) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = () => {
      stop();
      outgoing.off('drain', settle).off('close', settle);
      resolve();
    };
    const stop = cutOffLater(outgoing, settle);
    outgoing.on('drain', settle).on('close', settle);
  });
}

/** Cuts off a client that does not read the end of a response, unless the response closes in time. */
export function cutOffStalled(outgoing: ServerResponse): void {
  if (isOver(outgoing)) return;
  outgoing.once(
    'close',
    cutOffLater(outgoing, () => {}),
  );
}

/** Destroys a response after a time limit. Returns a function that cancels the timer. */
function cutOffLater(outgoing: ServerResponse, cut: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = () => {
    timer = setTimeout(() => {
      // A pipelined response without a socket: its client cannot read any of it yet.
      if (outgoing.socket === null && !outgoing.destroyed) return arm();
      outgoing.destroy();
      cut();
    }, maxStallMs);
  };
  arm();
  return () => clearTimeout(timer);
}

/**
 * Breaks a response off so that its client detects it: flushes the written bytes and omits the final chunk. If
 * the end of the connection marks the end of the response, as in HTTP/1.0, resets the connection.
 */
export async function breakOff(outgoing: ServerResponse): Promise<void> {
  if (!outgoing.destroyed) await flushed(outgoing);
  const { socket } = outgoing;
  const looksShort = outgoing.chunkedEncoding || announcesLength(outgoing);
  if (looksShort || socket === null || outgoing.destroyed) {
    outgoing.destroy();
    return;
  }
  await new Promise((resolve) => setTimeout(resolve, lastBytesMs));
  try {
    socket.resetAndDestroy();
  } catch {
    // TLS has no reset. The client detects the end, because the closing alert is missing.
    outgoing.destroy();
  }
}

/** Returns whether the response announces its length. Node keeps the headers of `writeHead` only as text. */
function announcesLength(outgoing: ServerResponse): boolean {
  const { _header: head } = outgoing as { _header?: unknown };
  return typeof head === 'string' && /\r\ncontent-length:/i.test(head);
}

/** Waits until the kernel has the written bytes, or the client has disconnected. */
function flushed(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      stop();
      outgoing.off('close', settle).off('socket', onSocket);
      resolve();
    };
    const stop = cutOffLater(outgoing, settle);
    // An empty write follows all others, including writes that Node holds back until the end of this tick.
    const onSocket = () => setImmediate(() => outgoing.socket?.write('', settle) ?? settle());
    outgoing.on('close', settle);
    if (outgoing.socket === null) outgoing.on('socket', onSocket);
    else onSocket();
  });
}

/**
 * Wraps a body that the runtime or an application writes. Ends the body if its reader reads nothing for too
 * long, even if the reader never starts. Waits one turn of the event loop before an error, because a writer
 * that destroys its connection immediately would drop the last bytes.
 */
export function heldByReader(
  body: AsyncIterable<Uint8Array>,
  outgoing: ServerResponse | undefined,
): AsyncIterableIterator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  const leave = async (): Promise<IteratorResult<Uint8Array>> => {
    clearTimeout(timer);
    await iterator.return?.();
    return { done: true, value: undefined };
  };
  let timer: NodeJS.Timeout | undefined;
  const arm = () => {
    timer = setTimeout(() => {
      // A pipelined response without a socket, which its client cannot read yet.
      if (outgoing?.socket === null && !outgoing.destroyed) return arm();
      outgoing?.destroy();
      // No reader handles its rejection.
      leave().catch(() => {});
    }, maxStallMs).unref();
  };
  const held: AsyncIterableIterator<Uint8Array> = {
    [Symbol.asyncIterator]: () => held,
    async next() {
      clearTimeout(timer);
      try {
        const next = await iterator.next();
        if (next.done !== true) arm();
        return next;
      } catch (error) {
        await new Promise((resolve) => setImmediate(resolve));
        throw error;
      }
    },
    return: leave,
  };
  arm();
  return held;
}
