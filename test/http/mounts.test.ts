import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Mounted, mounts } from '../support/gateway-mounts.ts';
import {
  answerAsOpenAI,
  chatChunks,
  chatCompletion,
  type Handler,
  type RecordingProvider,
  recordingProvider,
} from '../support/recording-provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { within } from '../support/within.ts';

const run = promisify(execFile);
const newPath = temporaryFolder();
const model = 'my-team-model';
const bodyLimit = 65_536;

describe.each(Object.entries(mounts))('the gateway on %s', (_, { mount, parsed = false, lossy = false }) => {
  let handler: Handler;
  let provider: RecordingProvider;
  let router: TeamModelRouter;
  let gateway: Mounted;
  let headers: Record<string, string>;

  beforeAll(async () => {
    provider = await recordingProvider((request, response) => handler(request, response));
    router = new TeamModelRouter({
      storage: memoryStorage(),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: [provider.url] },
    });
    await router.addModel('acme', {
      model_name: model,
      litellm_params: { model: 'gpt-4o', api_key: 'sk-acme-0123456789abcdef', api_base: provider.url },
    });
    const { key } = await router.createKey('acme');
    headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    gateway = await mount(createGateway(router, { masterKey: 'm'.repeat(32), bodyLimit }));
  });
  afterAll(async () => {
    await gateway.close();
    await router.close({ drainTimeoutMs: 0 });
    await provider.close();
  });
  beforeEach(() => {
    handler = answerAsOpenAI;
    provider.requests.length = 0;
  });

  const post = (path: string, body: RequestInit['body'], init: RequestInit = {}) =>
    gateway.send(path, { method: 'POST', headers, body: body ?? null, ...init });
  const ask = (more: object = {}, init: RequestInit = {}) =>
    post('/v1/chat/completions', JSON.stringify({ model, messages: [], ...more }), init);
  const expectError = async (response: Response, status: number, code: string) => {
    const text = await response.text();
    expect(response.status, text).toBe(status);
    expect(JSON.parse(text)).toEqual({
      error: {
        message: expect.any(String),
        type: expect.any(String),
        param: expect.toBeOneOf([null, expect.any(String)]),
        code,
      },
    });
  };

  it('hands a call to the provider and its answer back, byte for byte', async () => {
    const answer = JSON.stringify(chatCompletion('gpt-4o-2024', 'grüß dich')).replace('{', '{ ');
    handler = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'x-request-id': 'r1' }).end(answer);
    };
    const sent = `{ "seed": 12345678901234567890, "model": "${model}",  "messages": [] }`;
    const response = await post('/v1/chat/completions', sent);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(answer);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/json',
      'x-request-id': 'r1',
      'x-content-type-options': 'nosniff',
      'x-litellm-model-group': model,
    });
    const received = String(provider.requests[0]?.body);
    if (lossy) expect(JSON.parse(received)).toEqual(JSON.parse(sent.replace(model, 'gpt-4o')));
    else expect(received).toBe(sent.replace(model, 'gpt-4o'));
  });

  it('passes events on as they come', async () => {
    const [first, ...others] = chatChunks('gpt-4o').map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
    let goOn = () => {};
    handler = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(first);
      goOn = () => response.end(`${others.join('')}data: [DONE]\n\n`);
    };
    const response = await ask({ stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    let text = '';
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      // Only now does the provider send the rest.
      if (text === first) goOn();
    }
    expect(text).toBe(`${first}${others.join('')}data: [DONE]\n\n`);
  });

  it('takes a form', async () => {
    const form = new FormData();
    form.set('model', model);
    form.set('file', new File([new Uint8Array(40_000)], 'speech.wav'));
    const { authorization = '' } = headers;
    const response = await post('/v1/audio/transcriptions', form, { headers: { authorization } });
    expect(await response.json()).toEqual({ text: 'heard' });
    expect(String(provider.requests[0]?.body)).toContain('\r\n\r\ngpt-4o\r\n');
  });

  it("takes the paths of the AzureOpenAI client, and a slash in a model's name", async () => {
    const params = { model: 'gpt-4o', api_key: 'sk-acme-0123456789abcdef', api_base: provider.url };
    const { model_id } = await router.addModel('acme', { model_name: 'org/name', litellm_params: params });
    for (const name of ['org/name', 'org%2Fname']) {
      const path = `/openai/deployments/${name}/chat/completions?api-version=2024-10-21`;
      const called = await post(path, '{"messages":[]}');
      expect([called.status, called.headers.get('x-litellm-model-group')]).toEqual([200, 'org/name']);
      const found = await gateway.send(`/v1/models/${name}`, { headers });
      expect(await found.json()).toMatchObject({ id: 'org/name' });
      expect((await gateway.send(`/v1/models/${name}`, { method: 'DELETE', headers })).status).toBe(400);
    }
    const files = await gateway.send('/openai/files?api-version=2024-10-21', {
      headers: { ...headers, 'x-team-model': 'org/name' },
    });
    expect(await files.json()).toMatchObject({ object: 'list' });
    expect(provider.requests.map(({ url }) => url)).toEqual([
      '/v1/chat/completions',
      '/v1/chat/completions',
      '/v1/files',
    ]);
    await router.deleteModel('acme', model_id);
  });

  it('makes and removes a model', async () => {
    const body = { model_name: 'another', litellm_params: { model: 'gpt-4o', api_base: provider.url } };
    const made = await post('/model/new', JSON.stringify(body));
    expect(made.status).toBe(200);
    const { model_id } = (await made.json()) as { model_id: string };
    const removed = await gateway.send(`/model/${model_id}`, { method: 'DELETE', headers });
    expect(await removed.json()).toEqual({ message: `Model: ${model_id} deleted successfully` });
  });

  it('answers HEAD as GET, without a body', async () => {
    const [got, asked] = await Promise.all(
      ['GET', 'HEAD'].map((method) => gateway.send('/v1/models', { method, headers })),
    );
    expect(asked?.status).toBe(200);
    expect(await asked?.text()).toBe('');
    expect(await got?.json()).toMatchObject({ data: [{ id: model }] });
  });

  it('401 without a key, with an unknown one, or with another scheme', async () => {
    for (const authorization of ['', `Bearer sk-${'x'.repeat(43)}`, 'Basic YTpi']) {
      await expectError(await ask({}, { headers: { ...headers, authorization } }), 401, 'invalid_api_key');
    }
    expect(provider.requests).toEqual([]);
  });

  it('404 for a path or a model that is not there, 405 for a wrong method', async () => {
    await expectError(await gateway.send('/nothing', { headers }), 404, 'not_found');
    await expectError(await gateway.send('/', { headers }), 404, 'not_found');
    await expectError(await ask({ model: 'nobody-has-this' }), 404, 'model_not_found');
    for (const method of ['GET', 'OPTIONS']) {
      const response = await gateway.send('/key/generate', { method, headers });
      expect(response.headers.get('allow')).toBe('POST');
      await expectError(response, 405, 'method_not_allowed');
    }
    expect(provider.requests).toEqual([]);
  });

  it('413 for a body over the limit, whether its length was announced or not', async () => {
    const large = (bytes: number) => JSON.stringify({ model, messages: [], user: 'x'.repeat(bytes) });
    const inPieces = (text: string) => ({ body: new Blob([text]).stream(), duplex: 'half' }) as RequestInit;
    for (const bytes of [bodyLimit, 8_000_000]) {
      await expectError(await post('/v1/chat/completions', large(bytes)), 413, 'request_too_large');
      await expectError(
        await post('/v1/chat/completions', null, inPieces(large(bytes))),
        413,
        'request_too_large',
      );
    }
    await expectError(await post('/model/new', large(8_000_000)), 413, 'request_too_large');
    expect(provider.requests).toEqual([]);
    expect((await post('/v1/chat/completions', large(bodyLimit - 1000))).status).toBe(200);
  });

  // Where a parser stands before the gateway, it is the parser that answers these.
  const unlessParsed = (name: string, story: () => Promise<void>) => {
    if (!parsed) it(name, story);
  };

  unlessParsed(
    'a client that is still sending hears why nobody wants its body, and is not just cut off',
    async () => {
      if (gateway.url === undefined) return;
      const file = newPath('large.json');
      writeFileSync(file, JSON.stringify({ model, messages: [], user: 'x'.repeat(16_000_000) }));
      const common = ['-s', '-o', newPath('answer'), '-w', '%{http_code}', '--data-binary', `@${file}`];
      const curl = async (authorization: string, ...more: string[]) => {
        const named = Object.entries({ ...headers, authorization }).flatMap((line) => [
          '-H',
          line.join(': '),
        ]);
        const { stdout } = await run('curl', [...common, ...named, ...more, `${gateway.url}/v1/embeddings`]);
        return stdout;
      };
      for (const more of ['Expect:', 'Transfer-Encoding: chunked']) {
        expect(await curl(headers.authorization ?? '', '-H', more), more).toBe('413');
        expect(await curl('Bearer of-nobody', '-H', more), more).toBe('401');
      }
    },
  );

  it('a client that never stops sending is cut off', async () => {
    if (gateway.url === undefined) return;
    const { hostname, port, pathname } = new URL(`${gateway.url}/v1/audio/transcriptions`);
    const socket = connect(Number(port), hostname).on('error', () => {});
    const head = { ...headers, host: 'x', 'content-type': 'audio/wav', 'transfer-encoding': 'chunked' };
    const lines = Object.entries(head).map((line) => line.join(': '));
    socket.write(`POST ${pathname} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    const chunk = Buffer.from(`10000\r\n${'x'.repeat(65_536)}\r\n`);
    const send = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', send).resume();
    const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    send();
    await within(10_000, ended, 'the end of the connection');
  });

  unlessParsed('400 for what is no JSON', async () => {
    await expectError(await post('/model/new', '{"model_name": '), 400, 'invalid_request');
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'no type at all']) {
      const typed = { headers: { ...headers, 'content-type': type } };
      await expectError(await post('/model/new', '{}', typed), 400, 'invalid_request');
      await expectError(await post('/v1/chat/completions', '{}', typed), 400, 'invalid_request');
    }
  });

  /** Resolves when the provider's side of the request has been ended by the other side. */
  const endOf = (start: (response: Parameters<Handler>[1]) => void) => {
    const seen = { begun: Promise.resolve(), ended: Promise.resolve() };
    seen.ended = new Promise((ended) => {
      seen.begun = new Promise((begun) => {
        handler = (_request, response) => {
          response.once('close', () => ended());
          start(response);
          begun();
        };
      });
    });
    return seen;
  };

  it('a client that leaves before the answer ends the call at the provider within a second', async () => {
    const { begun, ended } = endOf(() => {});
    const leaving = new AbortController();
    const asked = ask({}, { signal: leaving.signal }).catch(() => undefined);
    await begun;
    leaving.abort();
    await within(1000, ended, 'the end of the call');
    await asked;
  });

  it('a client that leaves in the middle of a stream ends it at the provider within a second', async () => {
    const { ended } = endOf((response) => {
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .write(`data: ${JSON.stringify(chatChunks('gpt-4o')[0])}\n\n`);
    });
    const leaving = new AbortController();
    const response = await ask({ stream: true }, { signal: leaving.signal });
    const reader = response.body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toContain('Hello ');
    leaving.abort();
    await within(1000, ended, 'the end of the stream');
  });

  it('a reader that gives up while it waits for more ends the stream at the provider within a second', async () => {
    const { ended } = endOf((response) => {
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .write(`data: ${JSON.stringify(chatChunks('gpt-4o')[0])}\n\n`);
    });
    const reader = (await ask({ stream: true })).body?.getReader();
    await reader?.read();
    const waiting = reader?.read();
    await reader?.cancel();
    await waiting;
    await within(1000, ended, 'the end of the stream');
  });

  it('an answer that is given back unread ends at the provider within a second', async () => {
    const { ended } = endOf((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': begun\n\n');
    });
    const response = await ask({ stream: true });
    await response.body?.cancel();
    await within(1000, ended, 'the end of the stream');
  });

  it('a stream that the provider breaks off ends in an error, not as if it were complete', async () => {
    handler = (_request, response) => {
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .write(`data: ${JSON.stringify(chatChunks('gpt-4o')[0])}\n\n`, () => response.destroy());
    };
    const { body } = await ask({ stream: true });
    let text = '';
    const read = async () => {
      for await (const chunk of body ?? []) text += Buffer.from(chunk).toString();
    };
    await expect(read()).rejects.toThrow();
    expect(text).toMatch(/\n\ndata: \{"error":\{.*"code":"provider_unreachable"/);
    expect(text).not.toContain('[DONE]');
  });

  it('a file that the provider breaks off breaks off here', async () => {
    handler = (_request, response) => {
      response
        .writeHead(200, { 'content-type': 'audio/mpeg', 'content-length': 3_000_000 })
        .write(Buffer.alloc(2_000_000), () => response.destroy());
    };
    const response = await post('/v1/audio/speech', JSON.stringify({ model, input: 'x', voice: 'y' }));
    await expect(response.arrayBuffer()).rejects.toThrow();
  });

  it('a client that disconnects in the middle of its body reaches no provider, and affects no other client', async () => {
    if (gateway.url === undefined) return;
    const { hostname, port, pathname } = new URL(`${gateway.url}/v1/chat/completions`);
    const socket = connect(Number(port), hostname);
    const head = Object.entries({ ...headers, host: 'x', 'content-length': '1000' });
    socket.write(`POST ${pathname} HTTP/1.1\r\n${head.map((line) => line.join(': ')).join('\r\n')}\r\n\r\n{`);
    await once(socket, 'ready');
    socket.resetAndDestroy();
    expect((await ask()).status).toBe(200);
    expect(provider.requests).toHaveLength(1);
  });
});
