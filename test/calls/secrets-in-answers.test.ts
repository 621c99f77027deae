import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const key = 'sk-live_9fQ2+Zx/7Lk==Ab3dEfGh1jKlMnOpQr';
const header = 'tenant secret "0123456789" <a&b>';
const product = 'https://product.example';

let provider: RecordingProvider;
let router: TeamModelRouter;
let teamKey: string;
/** What the provider writes, piece by piece, and as what. */
let pieces: string[] = [];
let type = '';
let status = 200;

beforeAll(async () => {
  provider = await recordingProvider(async (_, response) => {
    response.writeHead(status, { 'content-type': type, 'x-request-id': `id ${key}` });
    for (const piece of pieces) {
      await new Promise((resolve) => response.write(piece, resolve));
      await new Promise(setImmediate);
    }
    response.end();
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url] },
  });
  const params = { model: 'openai/m', api_base: provider.url, num_retries: 0 };
  await router.addModel('acme', {
    model_name: 'm',
    litellm_params: {
      ...params,
      api_key: key,
      extra_headers: { 'x-own': header, 'x-title': product, 'x-stage': 'production' },
    },
  });
  await router.addSharedModel({ model_name: 'shared', litellm_params: { ...params, api_key: key } });
  await router.updateTeam('acme', { models: ['shared'] });
  teamKey = (await router.createKey('acme')).key;
});

afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

/** The whole answer, in-process and over HTTP. */
async function answers(path: string, body: object | undefined): Promise<string[]> {
  const init = {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${teamKey}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
  const gateway = createGateway(router, { masterKey: 'm'.repeat(32) });
  const own = await router.fetchFor('acme', { defaultModel: 'm' })(`/v1${path}`, init);
  const over = await gateway.fetch(new Request(`http://gateway.test/v1${path}`, init));
  return Promise.all(
    [own, over].map(async (answer) => JSON.stringify([...answer.headers]) + (await answer.text())),
  );
}

function expectNoSecret(text: string): void {
  for (const secret of [key, header])
    for (const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)])
      for (const part of [form.slice(0, 12), form.slice(-12)]) expect(text).not.toContain(part);
}

/** Two pieces, with the border in the middle of the secret. */
function halves(text: string, at: string): string[] {
  const border = text.indexOf(at) + at.length / 2;
  return [text.slice(0, border), text.slice(border)];
}

const done = 'data: [DONE]\n\n';
const finished = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';

describe('a stream of events that repeats a secret', () => {
  const events: Record<string, (secret: string) => string> = {
    'an error event': (secret) => `event: error\ndata: {"error":{"message":${JSON.stringify(secret)}}}\n\n`,
    'an error without its event line': (secret) =>
      `data: {"type":"error","message":${JSON.stringify(secret)}}\n\n`,
    'an error of vLLM': (secret) => `data: {"object":"error","message":${JSON.stringify(secret)}}\n\n`,
    'a detail': (secret) => `data: {"detail":${JSON.stringify(secret)}}\n\n`,
    'a list of errors': (secret) => `data: {"errors":[${JSON.stringify(secret)}]}\n\n`,
    'an error with a number': (secret) => `data: {"error":401,"message":${JSON.stringify(secret)}}\n\n`,
    'two blanks': (secret) => `data: {"error"  :  {"message":${JSON.stringify(secret)}}}\n\n`,
    'what a model writes': (secret) =>
      `data: {"choices":[{"index":0,"delta":{"content":${JSON.stringify(secret)}}}]}\n\n`,
    'a comment': (secret) => `: ${secret}\n\n`,
    'lines that end in CRLF': (secret) => `data: {"x":${JSON.stringify(secret)}}\r\n\r\n`,
    'a URL': (secret) => `data: {"url":"https://x.example/?key=${encodeURIComponent(secret)}"}\n\n`,
    'an event of more than 1 MiB': (secret) =>
      `data: {"x":"${'x'.repeat(1_048_560)}${JSON.stringify(secret).slice(1)}}\n\n`,
  };

  it.each(Object.entries(events))('%s', async (_, write) => {
    for (const secret of [key, header]) {
      const text = write(secret);
      const shown = ['url', 'URL'].some((part) => text.includes(part)) ? encodeURIComponent(secret) : secret;
      const written = text.includes(shown) ? shown : JSON.stringify(secret).slice(1, -1);
      pieces = [...halves(text, written), finished + done];
      type = 'text/event-stream';
      for (const answer of await answers('/chat/completions', { model: 'm', messages: [], stream: true })) {
        expectNoSecret(answer);
        expect(answer).toMatch(/\*{20}/);
        expect(answer).toContain(finished.trim());
      }
    }
  });
});

describe('an answer that repeats a secret', () => {
  it.each([
    ['of JSON', '/chat/completions', 'application/json'],
    ['of a label that is not known', '/embeddings', 'application/json; charset=utf-8'],
    ['of speech', '/audio/speech', 'audio/mpeg'],
  ])('%s', async (_, path, given) => {
    for (const secret of [key, header]) {
      const json = JSON.stringify({ id: 'x', text: secret, url: encodeURIComponent(secret) });
      pieces = halves(json, JSON.stringify(secret));
      type = given;
      for (const answer of await answers(path, { model: 'm', input: 'x', messages: [] })) {
        expectNoSecret(answer);
        expect(answer).toContain('"id":"x"');
      }
    }
  });

  it('of a file, whose length stays the same', async () => {
    const text = `${'x'.repeat(2_000_000)}${key}${'y'.repeat(50)}`;
    pieces = halves(text, key);
    type = 'application/octet-stream';
    for (const answer of await answers('/files/file-1/content?model=m', undefined)) {
      expectNoSecret(answer);
      expect(answer.slice(-110)).toBe(
        `${'x'.repeat(60 - key.length)}${'*'.repeat(key.length)}${'y'.repeat(50)}`,
      );
    }
  });

  it('of a shared deployment shows no part of the secret, in its errors either', async () => {
    pieces = [JSON.stringify({ error: { message: `Incorrect API key provided: ${key}` } })];
    type = 'application/json';
    status = 400;
    for (const answer of await answers('/chat/completions', { model: 'shared', messages: [] })) {
      expectNoSecret(answer);
      expect(answer).not.toContain(key.slice(-4));
      expect(answer).toContain('rejected the credential of this shared model');
    }
    status = 200;
  });

  it('leaves ordinary words of headers alone', async () => {
    const text = JSON.stringify({ text: `in production, see ${product}` });
    pieces = [text];
    type = 'application/json';
    for (const answer of await answers('/chat/completions', { model: 'm', messages: [] }))
      expect(answer).toContain(text);
  });
});
