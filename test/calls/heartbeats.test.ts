import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { within } from '../support/within.ts';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';

let server: Server;
let url: string;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;
let answering: (response: ServerResponse) => void;

beforeAll(async () => {
  server = createServer((incoming, response) => {
    incoming.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      answering(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [url] },
  });
  const litellm_params = { model: 'theirs', api_key: 'sk-0123456789abcdef', api_base: `${url}/v1` };
  await router.addModel('acme', { model_name: 'mine', litellm_params });
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});
afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  server.closeAllConnections();
  server.close();
});

const chunk = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const first = chunk({ content: 'Hel' });
const rest = `${chunk({ content: 'lo' })}${chunk({}, 'stop')}data: [DONE]\n\n`;
const typed = (type: string) => `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: 1 })}\n\n`;

/** The calls that stream: path, body, an event of it, and what ends it. */
const streams: Record<string, [path: string, body: object, begins: string, ends: string]> = {
  chat: ['/chat/completions', { messages: [], stream: true }, first, rest],
  completions: ['/completions', { prompt: 'x', stream: true }, first, rest],
  responses: [
    '/responses',
    { input: 'x', stream: true },
    typed('response.created'),
    typed('response.completed'),
  ],
  images: [
    '/images/generations',
    { prompt: 'x', stream: true },
    typed('image_generation.partial_image'),
    typed('image_generation.completed'),
  ],
  speech: [
    '/audio/speech',
    { input: 'x', voice: 'alloy', stream_format: 'sse' },
    typed('speech.audio.delta'),
    typed('speech.audio.done'),
  ],
};

/** Heartbeats as servers write them, also in one line that no blank line follows. */
const heartbeats = [
  ': ping\n\n',
  ':\n\n',
  ':\n',
  ': ping\n',
  ':\r\n\r\n',
  ': OPENROUTER PROCESSING\n\n',
  ':\r\n',
  ': a\n: b\n',
];

type Send = (path: string, init: RequestInit) => Promise<Response>;
const doors: Record<string, Send> = {
  fetchFor: (path, init) => router.fetchFor('acme')(teamBaseUrl + path, init),
  'the gateway': (path, init) => fetch(`${gateway.url}/v1${path}`, init),
};

describe.each(Object.entries(doors))('heartbeats of a stream through %s', (door, send) => {
  const call = async (path: string, body: object) => {
    const response = await within(
      5_000,
      send(path, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'mine', ...body }),
      }),
      'the answer',
    );
    expect(response.status).toBe(200);
    if (door === 'the gateway') expect(response.headers.get('x-accel-buffering')).toBe('no');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    /** Reads until the text so far ends so; the provider sends nothing more before. */
    const until = async (end: string) => {
      while (!text.endsWith(end)) {
        const next = await within(5_000, reader.read(), JSON.stringify(end));
        if (next.done) expect.unreachable(`the stream ended after ${JSON.stringify(text)}`);
        text += Buffer.from(next.value).toString();
      }
    };
    /** All that came, and what broke it off. */
    const end = async () => {
      try {
        for (let next = await reader.read(); !next.done; next = await reader.read())
          text += Buffer.from(next.value).toString();
        return { text };
      } catch (error) {
        return { text, error };
      }
    };
    return { until, end };
  };

  describe.each(Object.entries(streams))('of %s', (_, [path, body, begins, ends]) => {
    it.each(heartbeats)(
      'are forwarded immediately, before the first event and after it: %j',
      async (heartbeat) => {
        let provider: ServerResponse | undefined;
        answering = (response) => {
          provider = response;
          response.write(heartbeat);
        };
        const stream = await call(path, body);
        await stream.until(heartbeat);
        provider?.write(heartbeat);
        await stream.until(heartbeat + heartbeat);
        provider?.write(begins);
        await stream.until(begins);
        for (const sofar of [begins + heartbeat, begins + heartbeat + heartbeat]) {
          provider?.write(heartbeat);
          await stream.until(sofar);
        }
        provider?.end(ends);
        const text = heartbeat + heartbeat + begins + heartbeat + heartbeat + ends;
        expect(await stream.end()).toEqual({ text });
      },
    );
  });

  it('are forwarded byte by byte, and with an event after them', async () => {
    let provider: ServerResponse | undefined;
    answering = (response) => {
      provider = response;
      response.write(first);
    };
    const stream = await call('/chat/completions', { messages: [], stream: true });
    await stream.until(first);
    for (const byte of ': ping') {
      provider?.write(byte);
      await new Promise(setImmediate);
    }
    provider?.write('\n');
    await stream.until(': ping\n');
    provider?.write(':\n:\ndata: {"cho');
    await stream.until(': ping\n:\n:\n');
    provider?.end(`ices":[]}\n\n${rest}`);
    const text = `${first}: ping\n:\n:\ndata: {"choices":[]}\n\n${rest}`;
    expect(await stream.end()).toEqual({ text });
  });

  it('stay whole before the error of a stream that is cut behind them', async () => {
    let provider: ServerResponse | undefined;
    answering = (response) => {
      provider = response;
      response.write(`${first}: ping\n`);
    };
    const stream = await call('/chat/completions', { messages: [], stream: true });
    await stream.until(`${first}: ping\n`);
    provider?.destroy();
    const { text, error } = await stream.end();
    expect(text.startsWith(`${first}: ping\ndata: {"error":`)).toBe(true);
    expect(text.endsWith('}\n\n')).toBe(true);
    expect(error).toBeDefined();
  });
});
