import type { ServerResponse } from 'node:http';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import type OpenAI from 'openai';
import { generateEncryptionKey, memoryStorage, type RouterOptions, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readBroken } from '../support/broken-text.ts';
import {
  chatChunks,
  chatCompletion,
  type RecordingProvider,
  recordingProvider,
} from '../support/recording-provider.ts';

const messages = [{ role: 'user' as const, content: 'hello' }];
const maxDecodedBytes = 200_000;
const maxAnswerBytes = 2_000_000;
const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';

let provider: RecordingProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;
let answer: (response: ServerResponse) => void;
/** Settles when the provider's connection of the last answer is gone. */
let closed: Promise<void>;

beforeEach(async () => {
  provider = await recordingProvider((_, response) => {
    closed = new Promise((resolve) => response.on('close', resolve));
    answer(response);
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxDecodedBytes,
    maxAnswerBytes,
  });
  await router.createTeam({ team_id: 'acme', settings: { num_retries: 0, allowed_fails: 1_000 } });
  await addModel('m');
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});

afterEach(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

async function addModel(name: string): Promise<void> {
  const litellm_params = { model: 'openai/x', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await router.addModel('acme', { model_name: name, litellm_params });
}

/** A chat completion of exactly so many bytes. */
function completionOf(bytes: number): Buffer {
  const padding = bytes - JSON.stringify(chatCompletion('x', '')).length;
  return Buffer.from(JSON.stringify(chatCompletion('x', 'y'.repeat(padding))));
}

const json = { 'content-type': 'application/json' };

const inProcess = async () => {
  const { choices } = await router.chatCompletion('acme', { model: 'm', messages });
  return choices[0]?.message.content?.length ?? 0;
};

const overHttp = async () => {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...json, authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: 'm', messages }),
  });
  const body = (await response.json()) as OpenAI.ChatCompletion & { error?: { code: string } };
  if (body.error !== undefined) throw Object.assign(new Error('answered'), body.error);
  return body.choices[0]?.message.content?.length ?? 0;
};

const doors = [
  ['in-process', inProcess],
  ['over HTTP', overHttp],
] as const;

describe.each(doors)('%s', (_, call) => {
  it.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ])('an answer in %s may unpack to maxDecodedBytes, and not to a byte more', async (encoding, pack) => {
    answer = (response) =>
      response
        .writeHead(200, { ...json, 'content-encoding': encoding })
        .end(pack(completionOf(maxDecodedBytes)));
    expect(await call()).toBeGreaterThan(maxDecodedBytes - 1_000);
    answer = (response) =>
      response
        .writeHead(200, { ...json, 'content-encoding': encoding })
        .end(pack(completionOf(maxDecodedBytes + 1)));
    await expect(call()).rejects.toMatchObject({ code: 'provider_unreachable' });
  });

  it('JSON that comes as it is may have maxAnswerBytes, and not a byte more', async () => {
    answer = (response) => response.writeHead(200, json).end(completionOf(maxAnswerBytes));
    expect(await call()).toBeGreaterThan(maxAnswerBytes - 1_000);
    answer = (response) => {
      // In two pieces, so that no length is announced.
      const bytes = completionOf(maxAnswerBytes + 1);
      response.writeHead(200, json).write(bytes.subarray(0, 10));
      response.end(bytes.subarray(10));
    };
    await expect(call()).rejects.toThrow();
    await closed;
  });

  it('JSON that says beforehand that it is longer is not begun', async () => {
    const bytes = completionOf(maxAnswerBytes + 1);
    answer = (response) => response.writeHead(200, { ...json, 'content-length': bytes.length }).end(bytes);
    await expect(call()).rejects.toMatchObject({ code: 'provider_unreachable' });
    await closed;
  });
});

it('a limit below a megabyte counts too', async () => {
  const narrow = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxAnswerBytes: 1_000,
  });
  const litellm_params = { model: 'openai/x', api_key: 'sk-0123456789abcdef', api_base: provider.url };
  await narrow.addModel('acme', { model_name: 'm', litellm_params: { ...litellm_params, num_retries: 0 } });
  answer = (response) => {
    response.writeHead(200, json).write(completionOf(1_001).subarray(0, 10));
    response.end(completionOf(1_001).subarray(10));
  };
  const call = narrow.chatCompletion('acme', { model: 'm', messages });
  await expect(call).rejects.toMatchObject({ status: 502, code: 'provider_unreachable' });
  await narrow.close();
});

it('has no limit for files and streams of events', async () => {
  const client = router.forTeam('acme', { defaultModel: 'm' });
  answer = (response) =>
    response
      .writeHead(200, { 'content-type': 'application/octet-stream' })
      .end(Buffer.alloc(2 * maxAnswerBytes));
  const file = await client.files.content('file-1');
  expect((await file.arrayBuffer()).byteLength).toBe(2 * maxAnswerBytes);

  const [first] = chatChunks('x');
  answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let count = 0; count < 50; count++) {
      response.write(`data: ${JSON.stringify({ ...first, padding: 'y'.repeat(maxAnswerBytes / 20) })}\n\n`);
    }
    response.end('data: [DONE]\n\n');
  };
  let events = 0;
  for await (const _ of await router.chatCompletion('acme', { model: 'm', messages, stream: true }))
    events += 1;
  expect(events).toBe(50);
});

it('a packed stream that grows beyond maxDecodedBytes ends in an error', async () => {
  const event = `data: ${JSON.stringify(chatChunks('x')[0])}\n\n`;
  answer = (response) =>
    response
      .writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
      .end(gzipSync(`${event.repeat(5_000)}data: [DONE]\n\n`));
  const response = await router.fetchFor('acme')('/v1/chat/completions', {
    method: 'POST',
    headers: json,
    body: JSON.stringify({ model: 'm', messages, stream: true }),
  });
  const { text, error } = await readBroken(response);
  expect(error).toMatchObject({ code: 'provider_unreachable' });
  expect(text).toMatch(/data: \{"error":\{.*"code":"provider_unreachable"\}\}\n\n$/);
  expect(text.length).toBeLessThan(maxDecodedBytes + 1_000);
});

it.each(['maxAnswerBytes', 'maxDecodedBytes'])(
  '%s is a whole number of bytes, or the router is not made',
  (name) => {
    for (const value of [0, -1, 1.5, '1 MiB', 2 ** 31]) {
      const options = { storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()], [name]: value };
      expect(() => new TeamModelRouter(options as RouterOptions)).toThrow(
        expect.objectContaining({ code: 'invalid_request', param: name }),
      );
    }
  },
);
