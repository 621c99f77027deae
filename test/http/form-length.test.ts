import { once } from 'node:events';
import { request } from 'node:http';
import fc from 'fast-check';
import OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { formParsers } from '../support/form-parsers.ts';
import { boundary, part } from '../support/form-part.ts';
import {
  type RecordedRequest,
  type RecordingProvider,
  recordingProvider,
  sendJson,
} from '../support/recording-provider.ts';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const contentType = `multipart/form-data; boundary=${boundary}`;

let provider: RecordingProvider;
let router: TeamModelRouter;
let server: GatewayServer;
let key: string;

beforeAll(async () => {
  provider = await recordingProvider((_, response) =>
    sendJson(response, 200, { id: 'file-1', text: 'heard' }),
  );
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxHeldBytes: 1_000_000,
  });
  for (const [model_name, model] of [
    ['mine', 'a-longer-name-of-theirs'],
    ['a-longer-name-of-mine', 't'],
  ] as const) {
    await router.addModel('acme', {
      model_name,
      litellm_params: { model, api_key: 'sk-x', api_base: provider.url },
    });
  }
  key = (await router.createKey('acme')).key;
  server = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});
afterAll(async () => {
  await server.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});
afterEach(() => {
  provider.requests.length = 0;
});

const closing = Buffer.from(`--${boundary}--\r\n`);
const file = (size: number) => part('file', Buffer.alloc(size, 'x'), '; filename="a.wav"');

interface Upload {
  path?: string;
  headers?: Record<string, string>;
  chunked?: boolean;
}

async function upload(body: Buffer, { path = '/v1/audio/transcriptions', headers, chunked }: Upload = {}) {
  const framing = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length };
  const authorization = `Bearer ${key}`;
  const sent = request(server.url + path, {
    method: 'POST',
    headers: { authorization, 'content-type': contentType, ...framing, ...headers },
  });
  sent.on('error', () => {});
  sent.end(body);
  const [response] = await once(sent, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const answer = JSON.parse(Buffer.concat(chunks).toString()) as {
    error?: { message: string; param: string };
  };
  return { status: response.statusCode as number, answer, received: provider.requests.at(-1) };
}

const lengthOf = (received: RecordedRequest | undefined) => Number(received?.headers['content-length']);
const targets: Record<string, string> = { mine: 'a-longer-name-of-theirs', 'a-longer-name-of-mine': 't' };

describe('a form that came with a Content-Length', () => {
  it('is forwarded with one, and with its bytes except for the name, model first and last', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(targets)),
        fc.oneof(fc.integer({ min: 0, max: 300_000 }), fc.constantFrom(262_000, 1_000_000, 3_000_000)),
        fc.boolean(),
        fc.constantFrom('header', 'query'),
        async (name, size, first, door) => {
          const form = (model: string) =>
            Buffer.concat(
              first
                ? [part('model', model), file(size), closing]
                : [file(size), part('model', model), closing],
            );
          const { status, received } = await upload(form(name), {
            path: `/v1/audio/transcriptions${door === 'query' ? `?model=${name}` : ''}`,
            headers: door === 'header' ? { 'x-team-model': name } : {},
          });
          expect(status).toBe(200);
          const expected = form(targets[name] ?? '');
          expect(received?.body.equals(expected)).toBe(true);
          expect(lengthOf(received)).toBe(expected.length);
          expect(received?.headers['transfer-encoding']).toBeUndefined();
        },
      ),
      { numRuns: 25 },
    );
  });

  it.each([100, 300_000, 67_108_864])('is right for a file of %i bytes', async (size) => {
    const body = Buffer.concat([part('purpose', 'batch'), file(size), closing]);
    const { status, received } = await upload(body, { path: '/v1/files?model=mine' });
    expect(status).toBe(200);
    expect(received?.body.equals(body)).toBe(true);
    expect(lengthOf(received)).toBe(body.length);
  });

  it.each([true, false])(
    'is right in the form of Azure, with a field model or without: %s',
    async (present) => {
      for (const size of [1_000, 500_000, 2_000_000]) {
        const body = Buffer.concat([file(size), ...(present ? [part('model', 'another')] : []), closing]);
        const path = '/openai/deployments/mine/audio/transcriptions?api-version=2024-10-21';
        const { status, received } = await upload(body, { path });
        expect(status).toBe(200);
        expect(lengthOf(received)).toBe(received?.body.length);
        for (const [, parse] of formParsers) {
          const fields = await parse(received?.body ?? Buffer.alloc(0), contentType);
          expect(fields.map(([name]) => name)).toEqual(['file', 'model']);
          expect(fields[0]?.[1].length).toBe(size);
          expect(fields[1]?.[1]).toBe('a-longer-name-of-theirs');
        }
      }
    },
  );

  it('lacks its model: it gets one while it is held, and a clear refusal beyond', async () => {
    const headers = { 'x-team-model': 'mine' };
    const short = await upload(Buffer.concat([file(500_000), closing]), { headers });
    expect(short.status).toBe(200);
    expect(short.received?.body.toString()).toContain('a-longer-name-of-theirs');
    expect(lengthOf(short.received)).toBe(short.received?.body.length);
    const long = await upload(Buffer.concat([file(2_000_000), closing]), { headers });
    expect(long).toMatchObject({ status: 400, answer: { error: { param: 'model' } } });
    // Chunked it needs no length, so the field can be added at the end.
    const chunked = await upload(Buffer.concat([file(2_000_000), closing]), { headers, chunked: true });
    expect(chunked.status).toBe(200);
  });
});

describe('a compressed body', () => {
  it.each([
    ['gzip', '/v1/chat/completions', 'application/json'],
    ['br', '/v1/audio/transcriptions', contentType],
    ['identity, deflate', '/v1/embeddings', 'application/json; charset=utf-8'],
    ['zstd', '/model/new', 'application/json'],
  ])('in %s to %s is a 415 that names the header', async (encoding, path, type) => {
    const headers = { 'content-encoding': encoding, 'content-type': type };
    const refused = await upload(Buffer.from([0x1f, 0x8b, 0x08]), { path, headers });
    expect(refused).toMatchObject({ status: 415, answer: { error: { param: 'content-encoding' } } });
    expect(refused.received).toBeUndefined();
  });

  it('is rejected in process too, and identity is not an encoding', async () => {
    const send = (encoding: string) =>
      router.fetchFor('acme')(`${teamBaseUrl}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-encoding': encoding },
        body: '{"model":"mine","messages":[]}',
      });
    expect((await send('gzip')).status).toBe(415);
    await send('identity');
    expect(provider.requests).toHaveLength(1);
  });
});

describe('a form that came chunked', () => {
  it.each([100, 2_000_000])('stays chunked with %i bytes', async (size) => {
    const body = Buffer.concat([part('model', 'mine'), file(size), closing]);
    const { status, received } = await upload(body, { chunked: true });
    expect(status).toBe(200);
    expect(received?.headers['transfer-encoding']).toBe('chunked');
    expect(received?.headers['content-length']).toBeUndefined();
    expect(received?.body.length).toBe(body.length - 'mine'.length + 'a-longer-name-of-theirs'.length);
  });
});

describe('a form in process', () => {
  const audio = () => new File([Buffer.alloc(12_500_000, 'x')], 'a.wav', { type: 'audio/wav' });

  it('may have its file first, however long that is, and its length is sent', async () => {
    const client = router.forTeam('acme');
    expect(await client.audio.transcriptions.create({ file: audio(), model: 'mine' })).toMatchObject({
      text: 'heard',
    });
    const [received] = provider.requests;
    expect(lengthOf(received)).toBe(received?.body.length);
    const form = await new Response(received?.body, {
      headers: { 'content-type': received?.headers['content-type'] ?? '' },
    }).formData();
    expect(form.get('model')).toBe('a-longer-name-of-theirs');
    expect((form.get('file') as File).size).toBe(12_500_000);
    expect((form.get('file') as File).type).toBe('audio/wav');
  });

  it('may leave a long model to the default, which its own model has to equal', async () => {
    async function* body(model: string) {
      yield file(3_000_000);
      yield part('model', model);
      yield closing;
    }
    const send = (model: string) =>
      router.fetchFor('acme', { defaultModel: 'mine' })(`${teamBaseUrl}/audio/transcriptions`, {
        method: 'POST',
        headers: { 'content-type': contentType },
        body: body(model) as unknown as ReadableStream,
      });
    expect((await send('mine')).status).toBe(200);
    expect((await send('a-longer-name-of-mine')).status).toBe(400);
  });

  it('through the gateway with the client of openai, file first, with a name in a header', async () => {
    const client = new OpenAI({
      apiKey: key,
      baseURL: `${server.url}/v1`,
      defaultHeaders: { 'x-team-model': 'mine' },
    });
    expect(await client.audio.transcriptions.create({ file: audio(), model: 'mine' })).toMatchObject({
      text: 'heard',
    });
    expect(lengthOf(provider.requests[0])).toBe(provider.requests[0]?.body.length);
  });
});
