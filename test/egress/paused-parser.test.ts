import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { collect } from '../../src/calls/answer.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport } from '../../src/egress/transport.ts';

/** What is held back: as much as may lie here, and not more, so that the provider's end is heard while it is. */
const held = 65_536;
const closing: (() => unknown)[] = [];
const uncaught: unknown[] = [];
const note = (error: unknown) => void uncaught.push(error);

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  process.off('uncaughtException', note);
});

const framings = {
  'a length': { header: `content-length: ${held}`, body: 'x'.repeat(held) },
  chunks: {
    header: 'transfer-encoding: chunked',
    body: `${held.toString(16)}\r\n${'x'.repeat(held)}\r\n0\r\n\r\n`,
  },
  'an unfinished chunk': {
    header: 'transfer-encoding: chunked',
    body: `${(held + 1).toString(16)}\r\n${'x'.repeat(held)}`,
  },
  'too short a body': { header: `content-length: ${held + 1}`, body: 'x'.repeat(held) },
  'the end of the connection': { header: 'x-none: 1', body: 'x'.repeat(held) },
};
const whole: readonly string[] = ['a length', 'chunks', 'the end of the connection'];

/** A provider's answer that nobody reads until the provider has closed the connection. */
async function heldBack(framing: keyof typeof framings, close: (socket: Socket) => void) {
  process.on('uncaughtException', note);
  const { header, body } = framings[framing];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () =>
      socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\n${header}\r\n\r\n${body}`),
    );
  }).listen(0, '127.0.0.1');
  const connected = once(server, 'connection');
  await once(server, 'listening');
  closing.push(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const way = new Transport({ policy: compilePolicy([url]) });
  closing.push(() => way.close());
  const call = { method: 'GET', url: `${url}/`, headers: {}, headersTimeoutMs: 5_000, bodyTimeoutMs: 5_000 };
  const response = await way.request({ ...call, team: 'acme' });
  for (let count = 0; count < 20; count++) await turn();
  const [socket] = (await connected) as [Socket];
  const sent = Promise.race([once(socket, 'finish'), once(socket, 'close')]);
  close(socket);
  await sent;
  for (let count = 0; count < 20; count++) await turn();
  return response.body;
}

it.each(Object.keys(framings) as (keyof typeof framings)[])(
  'a provider that closes while its answer is held back ends that call alone: %s',
  async (framing) => {
    const body = await heldBack(framing, (socket) => socket.end());
    const read = collect(body);
    if (whole.includes(framing)) expect((await read).length).toBe(held);
    else await expect(read).rejects.toThrow();
    expect(uncaught).toEqual([]);
  },
);

it.each(Object.keys(framings) as (keyof typeof framings)[])(
  'a provider that resets the connection while its answer is held back ends that call alone: %s',
  async (framing) => {
    const body = await heldBack(framing, (socket) => socket.resetAndDestroy());
    await collect(body).catch((error: unknown) => expect(error).toBeInstanceOf(Error));
    expect(uncaught).toEqual([]);
  },
);
