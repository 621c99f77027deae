import type { ServerResponse } from 'node:http';

/** Milliseconds for which a reader may take nothing of an answer that waits for it. */
const maxStallMs = 120_000;
/** Milliseconds that a client has to take the last bytes before its connection is reset, which may drop them. */
const lastBytesMs = 250;

/** Whether an answer is written or its client has left: no 'close' follows. */
export function isOver({ closed, destroyed }: ServerResponse): boolean {
  return closed || destroyed;
}

/** Waits until the reader has taken what was written, or has left; one that takes nothing for too long is cut off. */
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

/** Cuts off a reader that does not take the end of an answer, unless the answer closes in time. */
export function cutOffStalled(outgoing: ServerResponse): void {
  if (isOver(outgoing)) return;
  outgoing.once(
    'close',
    cutOffLater(outgoing, () => {}),
  );
}

/** Destroys an answer when its time is over. Returns what calls that off. */
function cutOffLater(outgoing: ServerResponse, cut: () => void): () => void {
  let timer: NodeJS.Timeout;
  const arm = () => {
    timer = setTimeout(() => {
      // Behind another answer on the same connection: its reader could not take anything of it yet.
      if (outgoing.socket === null && !outgoing.destroyed) return arm();
      outgoing.destroy();
      cut();
    }, maxStallMs);
  };
  arm();
  return () => clearTimeout(timer);
}

/**
 * Breaks an answer off such that its client notices: what was written is flushed first, and the final chunk is not sent.
 * Where the end of the connection is the end of the answer, as in HTTP/1.0, the connection is reset.
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
    // Over TLS there is no reset; without its closing alert the end is noticed there.
    outgoing.destroy();
  }
}

/** Node keeps the headers of `writeHead` as text alone. */
function announcesLength(outgoing: ServerResponse): boolean {
  const { _header: head } = outgoing as { _header?: unknown };
  return typeof head === 'string' && /\r\ncontent-length:/i.test(head);
}

/** Resolves when the kernel has what was written, or the reader has left. */
function flushed(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      stop();
      outgoing.off('close', settle).off('socket', onSocket);
      resolve();
    };
    const stop = cutOffLater(outgoing, settle);
    // An empty write comes behind all others, those that Node holds back until the end of this turn too.
    const onSocket = () => setImmediate(() => outgoing.socket?.write('', settle) ?? settle());
    outgoing.on('close', settle);
    if (outgoing.socket === null) outgoing.on('socket', onSocket);
    else onSocket();
  });
}

/**
 * Wraps a body that is written by the runtime or by an application. Ends it if its reader takes nothing for too long,
 * also if the reader never begins. Before an error it waits for a turn of the event loop, because a writer that destroys
 * its connection immediately would drop the last bytes.
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
      // Behind another answer on the same connection, where its reader cannot take it yet.
      if (outgoing?.socket === null && !outgoing.destroyed) return arm();
      outgoing?.destroy();
      // Its rejection has no reader either.
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
