import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { asRouterError, errorAnswer } from '../../calls/answer.ts';
import type { TeamModelRouter } from '../../router.ts';
import { loadAccept } from '../../sessions/accept.ts';
import { writeAnswer } from '../messages/server-errors.ts';

/**
 * Options of the package `ws`, which the OpenAI client's WebSocket classes pass to it.
 *
 * @example
 * ```ts
 * const options: TeamSocketOptions = socketOptions(router, 'acme');
 * const socket = options.createConnection();
 * ```
 */
export interface TeamSocketOptions {
  /** Returns a stream in memory, with the type that `ws` declares. */
  createConnection: () => Socket;
}

/**
 * Returns options for the WebSocket classes of the OpenAI client, so that their sessions run in-process as a team, whatever their
 * URL says. The classes need the package `ws`.
 *
 * @example
 * ```ts
 * const client = router.forTeam('acme');
 * const options = socketOptions(router, 'acme');
 * const realtime = new OpenAIRealtimeWS({ model: 'my-voice-model', options }, client);
 * const responses = new ResponsesWS(client, socketOptions(router, 'acme'));
 * ```
 */
export function socketOptions(router: TeamModelRouter, teamId: string): TeamSocketOptions {
  const server = createServer();
  server.on('upgrade', async (incoming, socket, head) => {
    socket.on('error', () => socket.destroy());
    const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://localhost');
    const headers = new Headers();
    const beta = incoming.headers['openai-beta'];
    if (typeof beta === 'string') headers.set('openai-beta', beta);
    const leaving = new AbortController();
    const left = () => leaving.abort(new DOMException('The client left.', 'AbortError'));
    socket.once('close', left);
    try {
      const accept = await loadAccept();
      const request = { path: pathname, query: searchParams, headers, signal: leaving.signal };
      const opened = await router.openSession({ teamId }, request);
      if ('session' in opened) accept(opened.session, incoming, socket, head);
      else writeAnswer(socket, opened.answer);
    } catch (error) {
      writeAnswer(socket, errorAnswer(asRouterError(error)));
    } finally {
      socket.off('close', left);
    }
  });
  return {
    createConnection() {
      const [client, other] = streamPair();
      server.emit('connection', other);
      return client as Duplex as Socket;
    },
  };
}

/** One end of a pair of streams in memory, with back-pressure. */
class StreamEnd extends Duplex {
  other: StreamEnd | undefined;
  bytesRead = 0;
  #written: (() => void) | undefined;

  override _read(): void {
    this.other?.release();
  }

  /** Completes a write that waited for the other end. */
  release(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  override _write(chunk: Buffer, _: BufferEncoding, written: () => void): void {
    const { other } = this;
    if (other === undefined || other.destroyed) {
      written();
      return;
    }
    other.bytesRead += chunk.byteLength;
    this.#written = written;
    if (!other.push(chunk)) return;
    this.#written = undefined;
    written();
  }

  override _final(ended: () => void): void {
    this.other?.push(null);
    ended();
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    const { other } = this;
    other?.release();
    setImmediate(() => other?.destroy());
    destroyed(error);
  }
}

function streamPair(): [StreamEnd, StreamEnd] {
  const [one, two] = [new StreamEnd(), new StreamEnd()];
  one.other = two;
  two.other = one;
  return [one, two];
}
