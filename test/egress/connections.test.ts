import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { collect } from '../../src/calls/answer.ts';
import { compilePolicy } from '../../src/egress/guard.ts';
import { Transport } from '../../src/egress/transport.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function server(): Promise<{ server: Server; url: string; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const made = createServer((_, response) => void response.end('ok'));
  made.on('connection', (socket: Socket) => sockets.push(socket));
  made.listen(0, '127.0.0.1');
  await once(made, 'listening');
  closing.push(() => made.close());
  return { server: made, url: `http://127.0.0.1:${(made.address() as AddressInfo).port}`, sockets };
}

async function get(way: Transport, url: string, team: string | null): Promise<void> {
  const call = { method: 'GET', url: `${url}/`, headers: {}, headersTimeoutMs: 5_000, bodyTimeoutMs: 5_000 };
  await collect((await way.request({ ...call, team })).body);
  // undici keeps the connection a turn of the event loop after the answer has ended.
  for (let count = 0; count < 5; count++) await turn();
}

it('the teams reuse one connection to the same origin', async () => {
  const { url, sockets } = await server();
  const way = new Transport({ policy: compilePolicy([url]) });
  closing.push(() => way.close());
  for (const team of ['acme', 'zenith', null, 'acme']) await get(way, url, team);
  expect(sockets).toHaveLength(1);
});

it('unused connections to many origins are closed before there are more than all together may be', async () => {
  const [first, second, third] = await Promise.all([server(), server(), server()]);
  const way = new Transport({
    policy: compilePolicy([first.url, second.url, third.url]),
    maxConnections: 2,
  });
  closing.push(() => way.close());
  await get(way, first.url, 'acme');
  await get(way, second.url, 'acme');
  const [oldest] = first.sockets;
  const closed = once(oldest as Socket, 'close');
  await get(way, third.url, 'acme');
  await closed;
  await get(way, second.url, 'zenith');
  expect([first, second, third].map(({ sockets }) => sockets.length)).toEqual([1, 1, 1]);
});
