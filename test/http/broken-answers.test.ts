import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { serve } from '@hono/node-server';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { reply } from '../../src/http/messages/reply.ts';

const event = 'data: {"error":{"message":"broke off"}}\n\n';
const closers: (() => unknown)[] = [];

// The adapter prints what it breaks off for.
beforeAll(() => void vi.spyOn(console, 'error').mockImplementation(() => {}));
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** Some events, the last of which tells the error, and the failure itself. */
async function* broken(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('data: {}\n\n');
  await new Promise((resolve) => setImmediate(resolve));
  yield Buffer.from(event);
  throw new Error('broke off');
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (let count = 0; count < 100; count++) yield Buffer.alloc(65_536, 'x');
  yield Buffer.from(event);
  throw new Error('broke off');
}

const answerOf = (incoming: IncomingMessage) => ({
  status: 200,
  headers: { 'content-type': 'text/event-stream' } as Record<string, string>,
  body: incoming.url?.endsWith('long') ? endless() : broken(),
});
const direct = (incoming: IncomingMessage, outgoing: ServerResponse) =>
  void reply(answerOf(incoming), { outgoing, direct: true });

const mounts: Record<string, () => Promise<number>> = {
  async node() {
    const server = createServer(direct).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    closers.push(() => server.close());
    return (server.address() as AddressInfo).port;
  },
  async express() {
    const server = express().use(direct).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    closers.push(() => server.close());
    return (server.address() as AddressInfo).port;
  },
  async fastify() {
    const app = fastify();
    app.get('/*', (request, answer) => {
      answer.hijack();
      direct(request.raw, answer.raw);
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    closers.push(() => app.close());
    return (app.server.address() as AddressInfo).port;
  },
  async hono() {
    const app = new Hono<{ Bindings: { incoming: IncomingMessage; outgoing: ServerResponse } }>();
    app.get('/*', ({ env }) => reply(answerOf(env.incoming), { outgoing: env.outgoing }));
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
    await new Promise((resolve) => server.once('listening', resolve));
    closers.push(() => server.close());
    return (server.address() as AddressInfo).port;
  },
};

interface Ending {
  text: string;
  /** The code of the socket's error, or how it ended without one. */
  end: string;
}

function ask(port: number, request: string): Promise<Ending> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    let end = 'ended';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      end = error.code ?? 'error';
    });
    socket.on('close', () => resolve({ text, end }));
    socket.write(request);
  });
}

describe.each(Object.keys(mounts))('a stream that breaks, over %s', (mount) => {
  it.each(['/', '/long'])('HTTP/1.1 %s: the event arrives whole, and the final chunk never', async (path) => {
    const port = (await mounts[mount]?.()) ?? 0;
    const { text } = await ask(port, `GET ${path} HTTP/1.1\r\nhost: h\r\n\r\n`);
    expect(text).toMatch(/\r\ntransfer-encoding: chunked\r\n/i);
    expect(text).toContain(event);
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
    await expect(
      fetch(`http://127.0.0.1:${port}${path}`).then((response) => response.text()),
    ).rejects.toThrow();
  });

  it('HTTP/1.1 with `connection: close`: likewise', async () => {
    const port = (await mounts[mount]?.()) ?? 0;
    const { text } = await ask(port, 'GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n');
    expect(text).toContain(event);
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
  });
});

describe.each(['node', 'express', 'fastify'])('a stream that breaks, over %s', (mount) => {
  it.each(['/', '/long'])(
    'HTTP/1.0 %s: the event arrives whole, then the connection is reset',
    async (path) => {
      const port = (await mounts[mount]?.()) ?? 0;
      const { text, end } = await ask(port, `GET ${path} HTTP/1.0\r\nhost: h\r\n\r\n`);
      expect(text).not.toMatch(/transfer-encoding/i);
      expect(text.endsWith(event)).toBe(true);
      expect(end).toBe('ECONNRESET');
    },
  );
});

it('a standard response errors after the event', async () => {
  const response = await reply({ status: 200, headers: {}, body: broken() }, {});
  const reader = response.body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('data: {}\n\n');
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe(event);
  await expect(reader?.read()).rejects.toThrow('broke off');
});

it('a body with a length that breaks ends before it', async () => {
  const server = createServer((_incoming, outgoing) => {
    const headers = { 'content-length': '1000' };
    void reply({ status: 200, headers, body: broken() }, { outgoing, direct: true });
  }).listen(0, '127.0.0.1');
  closers.push(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  for (const version of ['1.0', '1.1']) {
    const { text } = await ask(port, `GET / HTTP/${version}\r\nhost: h\r\n\r\n`);
    expect(text.endsWith(event)).toBe(true);
  }
});
