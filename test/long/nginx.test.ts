import { mkdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNginx } from '../support/nginx-server.ts';
import { type RawProvider, rawProvider } from '../support/raw-provider.ts';
import type { TestServer } from '../support/server-process.ts';
import { type StreamApi, streamApis } from '../support/stream-apis.ts';
import { askRaw, clients, expectEnding, fetchStream, unchunked } from '../support/stream-endings.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// Where nginx is not installed this fails, and is not skipped.

const configurations: Record<string, string> = {
  'as it comes, which speaks HTTP/1.0 to the gateway': '',
  'over HTTP/1.1': 'proxy_http_version 1.1; proxy_set_header Connection "";',
  'without buffers': 'proxy_buffering off;',
  'over HTTP/1.1, without buffers':
    'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;',
};

const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const failures: Record<string, { code: string; go: (socket: Socket, api: StreamApi) => void }> = {
  reset: { code: 'provider_unreachable', go: (socket) => void socket.resetAndDestroy() },
  cut: {
    code: 'provider_unreachable',
    go: (socket, { rest }) => void socket.end(chunk(rest.slice(0, 12))),
  },
  incomplete: { code: 'provider_unreachable', go: (socket) => void socket.write('0\r\n\r\n') },
  stalled: { code: 'provider_timeout', go() {} },
};

const folder = temporaryFolder();
let provider: RawProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;
const proxies: Record<string, TestServer> = {};
/** Ends the streams that are held. */
let release: () => void = () => {};
let released: Promise<void> = Promise.resolve();

beforeAll(async () => {
  provider = await rawProvider((socket, request) => {
    const [, id = '', what = ''] = /mark-(.+?)-(.+?)-end/.exec(request) ?? [];
    const api = streamApis[id.replaceAll('_', ' ')];
    if (api === undefined) return;
    const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
    const goOn = () => {
      if (what === 'held') void released.then(() => socket.write(`${chunk(api.rest)}0\r\n\r\n`));
      else failures[what]?.go(socket, api);
    };
    socket.write(head + chunk(api.begin), () => setImmediate(goOn));
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: {
      model: 'openai/m',
      api_key: 'sk-0123456789abcdef',
      api_base: provider.url,
      stream_timeout: 2,
    },
  });
  await router.updateTeam('acme', { settings: { num_retries: 0, allowed_fails: 1_000, cooldown_time: 0 } });
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(32) }), { port: 0 });
  for (const [name, directives] of Object.entries(configurations)) {
    const own = folder('nginx');
    mkdirSync(own);
    proxies[name] = await startNginx(own, gateway.url, directives);
  }
});
afterAll(async () => {
  for (const proxy of Object.values(proxies)) await proxy.stop();
  await gateway.close();
  await router.close();
  await provider.close();
});

const callOf = (name: string, api: StreamApi, what: string) => ({
  api,
  model: 'm',
  mark: `mark-${name.replaceAll(' ', '_')}-${what}-end`,
  key,
});

describe.each(Object.keys(configurations))('behind nginx %s', (configuration) => {
  describe.each(Object.entries(streamApis))('a stream of %s', (name, api) => {
    it.each(Object.entries(failures))(
      'that is %s ends in the error event, then breaks',
      async (what, { code }) => {
        const { port, url } = proxies[configuration] as TestServer;
        const call = callOf(name, api, what);
        const read = Object.entries(clients).map(async ([version, { Client, APIError }]) => {
          const client = new Client({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0, logLevel: 'off' });
          const error: unknown = await api.read(client, 'm', call.mark).then(
            (value) => new Error(`was read: ${JSON.stringify(value)}`),
            (thrown: unknown) => thrown,
          );
          // The client hands the response of a speech out, and does not read its events.
          if (name === 'speech')
            expect(error, version).not.toMatchObject({ message: expect.stringMatching(/^was read/) });
          else {
            expect(error, version).toBeInstanceOf(APIError);
            expect(error, version).toMatchObject({ code });
          }
        });
        const [first, old, fetched] = await Promise.all([
          askRaw(port, call, '1.1', 'connection: close\r\n'),
          askRaw(port, call, '1.0'),
          fetchStream(fetch, url, call),
          ...read,
        ]);
        const { body, last } = unchunked(first.text);
        expectEnding(api, body, api.error(code));
        expect(last).toBe(false);
        expectEnding(api, fetched.text, api.error(code));
        expect(fetched.end).not.toBe('end');
        // nginx has no other end for HTTP/1.0 than that of the connection: the event is what tells.
        expectEnding(api, old.text.slice(old.text.indexOf('\r\n\r\n') + 4), api.error(code));
      },
    );

    it('arrives event by event, and whole', async () => {
      const { port, url } = proxies[configuration] as TestServer;
      released = new Promise((resolve) => {
        release = resolve;
      });
      const call = callOf(name, api, 'held');
      let text = '';
      // What has come before the provider goes on is what makes it go on.
      const watching: typeof fetch = async (input, init) => {
        const response = await fetch(input, init);
        const watch = new TransformStream<Uint8Array, Uint8Array>({
          transform(data, controller) {
            text += Buffer.from(data).toString('utf8');
            if (text === api.begin) release();
            controller.enqueue(data);
          },
        });
        return new Response(response.body?.pipeThrough(watch) ?? null);
      };
      const fetched = await fetchStream(watching, url, call);
      expect(fetched).toEqual({ text: api.begin + api.rest, end: 'end' });
      const whole = await askRaw(port, call, '1.1', 'connection: close\r\n');
      expect(unchunked(whole.text)).toEqual({ body: api.begin + api.rest, last: true });
    });
  });
});
