import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { reply } from '../../src/http/messages/reply.ts';
import {
  type MeasuredGateway,
  measuredGateway,
  type RawConnection,
  rawConnection,
} from '../support/measured-gateway.ts';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const megabyte = 1_048_576;
const answer = Buffer.from(`{"choices":[],"padding":"${'x'.repeat(megabyte - 64)}"}`);

let provider: RecordingProvider;
let gateway: MeasuredGateway;
let chunked = false;
/** Calls that the provider has begun to answer. */
let answered = 0;
const connections: RawConnection[] = [];

beforeAll(async () => {
  provider = await recordingProvider((_request, response) => {
    answered += 1;
    const headers = {
      'content-type': 'application/json',
      ...(chunked ? {} : { 'content-length': answer.length }),
    };
    response.writeHead(200, headers).end(answer);
  });
  gateway = await measuredGateway(provider.url, { maxTeamBytesInFlight: 64 * megabyte });
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
});
afterEach(() => {
  for (const { socket } of connections.splice(0)) socket.destroy();
});

const body = '{"model":"mine","messages":[]}';
const post = (more = '') =>
  `POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${gateway.key}\r\ncontent-type: application/json\r\n${more}content-length: ${body.length}\r\n\r\n${body}`;

/** Sends requests and reads nothing. */
function unread(text: string): RawConnection {
  const connection = rawConnection(gateway.port);
  connections.push(connection);
  connection.socket.pause();
  connection.socket.write(text);
  return connection;
}

/** Until no more calls reach the provider: nothing moves any more. */
async function settled(): Promise<void> {
  let before = -1;
  let times = 0;
  await expect
    .poll(
      () => {
        times = answered === before ? times + 1 : 0;
        before = answered;
        return answered > 0 && times;
      },
      { interval: 250, timeout: 50_000 },
    )
    .toBe(4);
}

describe('unread responses of 1 MB', () => {
  it.each([
    ['900 calls on one connection', 1, 900, false],
    ['900 calls on one connection, with answers of unknown length', 1, 900, true],
    ['300 connections', 300, 1, false],
    ['300 connections, with answers of unknown length', 300, 1, true],
    ['30 connections of 30 calls', 30, 30, false],
  ])('%s: take no more than the share of their team', async (name, count, calls, unknown) => {
    answered = 0;
    chunked = unknown;
    const before = await gateway.resident('reset');
    const opened = Array.from({ length: count }, () => unread(post().repeat(calls)));
    await settled();
    const grown = ((await gateway.resident('peak')) - before) / megabyte;
    if (count === 1) expect(answered).toBeLessThanOrEqual(40);
    expect(grown).toBeLessThan(64 + 128);
    console.info(`${name}: ${grown.toFixed(1)} MB more resident, ${answered} asked`);
    for (const { socket } of opened) socket.destroy();
  });

  it('and all of them arrive in order, if they are read after all', async () => {
    // Calls of the connections before may still reach the provider.
    await settled();
    answered = 0;
    chunked = false;
    const { socket, closed } = unread(
      post('x-litellm-num-retries: 0\r\n').repeat(100) + post('connection: close\r\n'),
    );
    await settled();
    let bytes = 0;
    socket.removeAllListeners('data');
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.resume();
    await closed;
    expect(answered).toBe(101);
    expect(bytes).toBeGreaterThan(101 * answer.length);
  });
});

describe('a reader that takes nothing is cut off after 120 s', () => {
  const servers: Server[] = [];
  afterEach(() => {
    vi.restoreAllMocks();
    for (const server of servers.splice(0)) server.close();
  });

  // What waits for the reader: Node takes as much as the kernel's buffers hold.
  it.each<[string, number]>([
    ['a whole answer', 16 * megabyte],
    ['a whole answer in one write', 65_536],
  ])('of %s', async (_, bytes) => {
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const closed = new Promise<void>((resolve) => {
      const server = createServer((_incoming, outgoing) => {
        outgoing.on('close', () => resolve());
        // So that the kernel takes no more.
        if (bytes === 65_536) outgoing.socket?.write(Buffer.alloc(16 * megabyte));
        void reply({ status: 200, headers: {}, body: Buffer.alloc(bytes, 'x') }, { outgoing, direct: true });
      }).listen(0, '127.0.0.1', () => {
        const connection = rawConnection((server.address() as AddressInfo).port);
        connections.push(connection);
        connection.socket.pause();
        connection.socket.write('GET / HTTP/1.1\r\nhost: h\r\n\r\n');
      });
      servers.push(server);
    });
    const cutOff = () => timers.mock.calls.findLast(([, milliseconds]) => milliseconds === 120_000)?.[0];
    await expect.poll(cutOff).toBeTypeOf('function');
    // What the timer would do in two minutes.
    cutOff()?.();
    await closed;
  });

  it('of a stream that a runtime without bindings never begins to read', async () => {
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const ended = new Promise<void>((resolve) => {
      const body = {
        [Symbol.asyncIterator]: () => body,
        next: () =>
          Promise.resolve({ done: false, value: Buffer.from('x') }) as Promise<IteratorResult<Buffer>>,
        async return() {
          resolve();
          return { done: true, value: undefined } as IteratorResult<Buffer>;
        },
      };
      void reply({ status: 200, headers: {}, body }, {});
    });
    timers.mock.calls.findLast(([, milliseconds]) => milliseconds === 120_000)?.[0]();
    await ended;
  });
});
