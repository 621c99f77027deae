/** Sessions in numbers: bytes, sockets, and a browser. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { serveGateway } from 'team-model-router/http/node';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type ScriptOptions, socketProvider } from '../support/socket-provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const opened: { close(): Promise<unknown> }[] = [];
const folder = dirname(temporaryFolder()());

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function served(script: ScriptOptions = {}) {
  const provider = await socketProvider(script);
  const router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: ['http://127.0.0.1'], maxConnectionsPerTeam: 1_000 },
    sessions: { maxSessionsPerTeam: 1_000 },
  });
  for (const name of ['voice', 'other'])
    await router.addModel('acme', {
      model_name: name,
      litellm_params: {
        model: 'openai/gpt-realtime',
        api_base: `${provider.url}/v1`,
        api_key: 'sk-acme-secret-key',
      },
    });
  const { key } = await router.createKey('acme', {});
  const server = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(40) }), {
    port: 0,
    drainTimeoutMs: 50,
  });
  opened.push(provider, router, server);
  return { provider, router, key, url: server.url.replace('http', 'ws') };
}

async function open(url: string, key: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url}/v1/realtime?model=voice`, {
    headers: { authorization: `Bearer ${key}` },
  });
  await new Promise<void>((resolve, reject) => socket.once('open', () => resolve()).once('error', reject));
  return socket;
}

const megabyte = 1_048_576;
const event = JSON.stringify({ type: 'input_audio_buffer.append', audio: 'A'.repeat(megabyte) });

describe('sessions', () => {
  it('pass 100 MB in each direction with bounded memory, past a reader that is slow', async () => {
    let received = 0;
    const { provider, key, url } = await served({
      onEvent: () => {
        received += megabyte;
      },
    });
    const socket = await open(url, key);
    const { socket: far } = await provider.next();
    let back = 0;
    socket.on('message', (data: Buffer) => {
      back += data.byteLength;
    });
    const before = process.memoryUsage().rss;
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss - before);
    }, 20);
    const sendAll = async (from: WebSocket) => {
      for (let sent = 0; sent < 100; sent++) {
        await new Promise<void>((resolve, reject) =>
          from.send(event, (error) => (error == null ? resolve() : reject(error))),
        );
      }
    };
    far.pause();
    const sending = Promise.all([sendAll(socket), sendAll(far)]);
    await expect.poll(() => back, { timeout: 60_000 }).toBeGreaterThan(50 * megabyte);
    // The provider reads nothing, so the client's bytes stay in the client.
    expect(received).toBe(0);
    far.resume();
    await sending;
    await expect.poll(() => received, { timeout: 60_000 }).toBe(100 * megabyte);
    await expect.poll(() => back, { timeout: 60_000 }).toBe(100 * event.length);
    clearInterval(watch);
    // Both peers of the test and the router share this process.
    expect(most).toBeLessThan(400 * megabyte);
  });

  it('are open by 500 in parallel', async () => {
    const { provider, key, url } = await served();
    const sockets = await Promise.all(Array.from({ length: 500 }, () => open(url, key)));
    expect(provider.sessions).toHaveLength(500);
    const answered = sockets.map(
      (socket) =>
        new Promise<void>((resolve) =>
          socket.on('message', (data) => {
            if (String(data).includes('response.done')) resolve();
          }),
        ),
    );
    for (const socket of sockets) socket.send('{"type":"response.create"}');
    await Promise.all(answered);
    for (const socket of sockets) socket.close();
    await Promise.all(provider.sessions.map(({ closed }) => closed));
  });

  it('are opened by a page in a browser, with a key of a short duration', async () => {
    const { router, url } = await served();
    const site = createServer((_, response) =>
      response.setHeader('content-type', 'text/html').end('<title>page</title>'),
    );
    await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
    opened.push({ close: async () => site.close() });
    const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
    if (executablePath === undefined) throw new Error('Chromium is missing: apt-get install chromium');
    const browser = await chromium.launchPersistentContext(join(folder, 'chromium'), {
      executablePath,
      args: [
        '--no-sandbox',
        '--disable-background-networking',
        '--disable-component-update',
        '--no-first-run',
      ],
    });
    opened.push(browser);
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
    const talk = (key: string, model: string) =>
      page.evaluate(
        ([address, name, secret]) =>
          new Promise<string>((resolve) => {
            const socket = new globalThis.WebSocket(`${address}/v1/realtime?model=${name}`, [
              'realtime',
              `openai-insecure-api-key.${secret}`,
            ]);
            let said = '';
            socket.onopen = () => socket.send(JSON.stringify({ type: 'response.create' }));
            socket.onerror = () => resolve('refused');
            socket.onmessage = ({ data }) => {
              const event = JSON.parse(String(data)) as { type: string; delta?: string };
              if (event.type === 'response.output_text.delta') said += event.delta;
              if (event.type === 'response.done') resolve(said);
            };
          }),
        [url, model, key] as const,
      );
    const { key, token } = await router.createKey('acme', { duration: '60s', models: ['voice'] });
    expect(await talk(key, 'voice')).toBe('Hello you');
    expect(await talk(key, 'other')).toBe('refused');
    await router.updateKey('acme', token, { duration: '1s' });
    await expect.poll(() => talk(key, 'voice'), { timeout: 10_000 }).toBe('refused');
  });
});
