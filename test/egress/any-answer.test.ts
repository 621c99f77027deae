import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport } from '../../src/egress/transport.ts';
import { runs } from '../support/runs.ts';

/** What a provider may write; `null`: it lets a turn of the event loop pass. */
const pieces = [
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.0 200 OK\r\n',
  'HTTP/1.1 204 No Content\r\n',
  'HTTP/1.1 304 Not Modified\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
  'connection: close\r\n',
  'connection: keep-alive\r\nkeep-alive: timeout=1\r\n',
  'content-length: 3\r\n',
  'content-length: 65536\r\n',
  'content-length: 65537\r\n',
  'transfer-encoding: chunked\r\n',
  'transfer-encoding: gzip, chunked\r\n',
  'trailer: x\r\n',
  'x: '.concat('y'.repeat(40_000), '\r\n'),
  '\r\n',
  'abc',
  '3\r\nabc\r\n',
  '10000\r\n',
  'z'.repeat(65_536),
  'z'.repeat(200_000),
  '0\r\n\r\n',
  '0\r\nx: y\r\n\r\n',
  'ffffffffff\r\n',
  '\u0000\u00ff',
];
const endings = ['end', 'reset', 'destroy', 'nothing'] as const;
const readers = ['nothing', 'one chunk', 'all', 'late', 'leaves'] as const;

interface Plan {
  writes: (string | null)[];
  ending: (typeof endings)[number];
}

let server: Server;
let url: string;
let plan: Plan = { writes: [], ending: 'end' };
const sockets = new Set<Socket>();
const uncaught: unknown[] = [];
const note = (error: unknown) => void uncaught.push(error);

async function answer(socket: Socket, { writes, ending }: Plan): Promise<void> {
  for (const text of writes) {
    if (text === null) await turn();
    else socket.write(text, 'latin1');
  }
  if (ending === 'end') socket.end();
  else if (ending === 'reset') socket.resetAndDestroy();
  else if (ending === 'destroy') socket.destroy();
}

beforeAll(async () => {
  process.on('uncaughtException', note);
  process.on('unhandledRejection', note);
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    socket.on('data', () => void answer(socket, plan));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  process.off('uncaughtException', note);
  process.off('unhandledRejection', note);
  for (const socket of sockets) socket.destroy();
  server.close();
});

/** One call, and what its reader does with the answer. */
async function call(way: Transport, reader: (typeof readers)[number]): Promise<void> {
  const leaving = new AbortController();
  const body = reader === 'late' ? Buffer.from('{}') : undefined;
  const asked = way.request({
    method: body === undefined ? 'GET' : 'POST',
    url: `${url}/`,
    headers: {},
    headersTimeoutMs: 1_000,
    bodyTimeoutMs: 1_000,
    signal: leaving.signal,
    team: 'acme',
    ...(body === undefined ? {} : { body }),
  });
  // Some plans never answer: their caller leaves.
  const leave = setTimeout(() => leaving.abort(new Error('left')), 60);
  try {
    const response = await asked;
    for (let count = 0; count < (reader === 'all' ? 0 : 10); count++) await turn();
    if (reader === 'leaves') leaving.abort(new Error('left'));
    else if (reader === 'nothing') response.body.destroy();
    else {
      for await (const _ of response.body) if (reader === 'one chunk') break;
    }
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
  } finally {
    clearTimeout(leave);
  }
}

it('whatever a provider writes, and however it ends the connection, no error escapes the call', async () => {
  const write = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...pieces) }, fc.constant(null));
  // Most begin as an answer does, or nothing that comes later would be read.
  const head = fc
    .tuple(fc.constantFrom(...pieces.slice(0, 4)), fc.subarray(pieces.slice(7, 15)))
    .map(([status, headers]) => [status, ...headers, '\r\n']);
  const writes = fc
    .tuple(
      fc.oneof({ weight: 5, arbitrary: head }, fc.constant<string[]>([])),
      fc.array(write, { maxLength: 8 }),
    )
    .map(([first, rest]) => [...first, ...rest]);
  const way = new Transport({ policy: compilePolicy([url]) });
  await fc.assert(
    fc.asyncProperty(
      writes,
      fc.constantFrom(...endings),
      fc.constantFrom(...readers),
      async (given, ending, reader) => {
        plan = { writes: given, ending };
        await call(way, reader);
        expect(uncaught).toEqual([]);
      },
    ),
    { numRuns: runs(400), endOnFailure: true },
  );
  await way.close();
  for (let count = 0; count < 20; count++) await turn();
  expect(uncaught).toEqual([]);
}, 120_000);
