import { request } from 'node:http';
import fc from 'fast-check';
import OpenAI from 'openai';
import {
  generateEncryptionKey,
  memoryStorage,
  type Receipt,
  TeamModelRouter,
  teamBaseUrl,
} from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { boundary, part } from '../support/form-part.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';
import { runs } from '../support/runs.ts';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const contentType = `multipart/form-data; boundary=${boundary}`;
const closing = Buffer.from(`--${boundary}--\r\n`);
const file = (size: number) => part('file', Buffer.alloc(size, 'x'), '; filename="a.wav"');
const form = (...parts: Buffer[]) => Buffer.concat([...parts, closing]);

let provider: RecordingProvider;
let router: TeamModelRouter;
let server: GatewayServer;
let key: string;
let isFailing = false;
let emptyStream = false;
const receipts: Receipt[] = [];

beforeAll(async () => {
  provider = await recordingProvider((incoming, response) => {
    if (emptyStream) response.writeHead(200, { 'content-type': 'text/event-stream' }).end();
    else if (isFailing && incoming.body.includes('failing')) sendJson(response, 500, { error: {} });
    else sendJson(response, 200, { id: 'file-1', text: 'heard' });
  });
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxHeldBytes: 1_000_000,
    onCall: (receipt) => void receipts.push(receipt),
  });
  for (const [model_name, allow_fields] of [
    ['mine', []],
    ['failing', []],
    ['proxy', ['tags', 'guardrails']],
  ] as const) {
    const litellm_params = { model: `their-${model_name}`, api_key: 'sk-x', api_base: provider.url };
    await router.addModel('acme', {
      model_name,
      litellm_params: { ...litellm_params, allow_fields: [...allow_fields] },
    });
  }
  await router.updateTeam('acme', { settings: { allowed_fails: 1_000, cooldown_time: 0 } });
  key = (await router.createKey('acme')).key;
  server = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});
afterAll(async () => {
  await server.close();
  await router.close();
  await provider.close();
});
beforeEach(() => {
  provider.requests.length = 0;
  receipts.length = 0;
  isFailing = false;
  emptyStream = false;
});

interface Sent {
  path?: string;
  headers?: Record<string, string>;
  isChunked?: boolean;
  places?: readonly number[];
}

/** Sends a form, in pieces that end at these places. */
async function upload(
  body: Buffer,
  { path = '/audio/transcriptions', headers, isChunked, places }: Sent = {},
) {
  const outgoing = request(`${server.url}/v1${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': contentType,
      ...(isChunked ? {} : { 'content-length': body.length }),
      ...headers,
    },
  });
  const answered = new Promise<{ status: number; text: string }>((resolve, reject) => {
    outgoing.on('error', reject);
    outgoing.on('response', async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
    });
  });
  let from = 0;
  for (const place of [...(places ?? []), body.length].sort((a, b) => a - b)) {
    outgoing.write(body.subarray(from, place));
    from = place;
  }
  outgoing.end();
  const { status, text } = await answered;
  const { error } = JSON.parse(text) as { error?: { code: string; param: string; message: string } };
  return { status, ...error };
}

const controls = [
  part('num_retries', '0'),
  part('timeout', '30'),
  part('stream_timeout', '5'),
  part('tags[]', 'a'),
  part('tags[]', 'b'),
  part('fallbacks', '["mine"]'),
];

describe.each([
  ['that fits in memory', 1_000],
  ['that is sent while it arrives', 600_000],
])('call controls in front of the file of a form %s', (_, size) => {
  it.each([true, false])('are followed, and none reaches the provider (chunked: %s)', async (isChunked) => {
    isFailing = size < 10_000;
    const [first, ...rest] = controls as [Buffer, ...Buffer[]];
    const body = form(first, part('model', 'failing'), ...rest, file(size));
    expect(await upload(body, { isChunked })).toEqual({ status: 200 });
    const expected = (model: string) => form(part('model', model), file(size));
    expect(provider.requests[0]?.body.equals(expected('their-failing'))).toBe(true);
    // What was sent on cannot be sent again.
    expect(provider.requests[1]?.body.toString()).toBe(
      isFailing ? expected('their-mine').toString() : undefined,
    );
    if (!isChunked)
      expect(provider.requests[0]?.headers['content-length']).toBe(String(expected('their-failing').length));
    await expect.poll(() => receipts.at(-1)).toMatchObject({ tags: ['a', 'b'] });
  });

  it.each(['user_config', 'langfuse_secret', 'cache', 'guardrails', 'mock_response', 'target_model_names[]'])(
    '%s is refused by name',
    async (name) => {
      const body = form(part(name, 'x'), part('drop_params', 'true'), part('model', 'mine'), file(size));
      for (const path of ['/audio/transcriptions', '/images/edits', '/files?model=mine']) {
        const refused = await upload(body, { path });
        expect(refused).toMatchObject({ status: 400, param: name.replace('[]', '') });
        expect(refused.message).toContain('drop_params');
      }
      expect(provider.requests).toEqual([]);
    },
  );

  it('are refused with a wrong value', async () => {
    for (const [name, value] of [
      ['num_retries', 'many'],
      ['timeout', '0'],
      ['tags', '[1]'],
      ['fallbacks[]', 'gpt-*'],
    ] as const) {
      const body = form(part(name, value), part('model', 'mine'), file(size));
      expect(await upload(body)).toMatchObject({ status: 400, param: name.replace('[]', '') });
    }
    expect(provider.requests).toEqual([]);
  });

  it('go to a provider that takes them itself', async () => {
    const parts = [part('tags[]', 'a'), part('guardrails', 'g')];
    expect(await upload(form(...parts, part('model', 'proxy'), file(size)))).toEqual({ status: 200 });
    const expected = form(...parts, part('model', 'their-proxy'), file(size));
    expect(provider.requests[0]?.body.equals(expected)).toBe(true);
  });
});

describe('call controls of a form', () => {
  it('are left out wherever the bytes are cut, and nothing else changes', async () => {
    const others = [part('language', 'en'), part('prompt', '--\r\n'), part('model', 'mine'), file(300_000)];
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(controls, { minLength: 1 }),
        fc.array(fc.nat(3), { minLength: 6, maxLength: 6 }),
        fc.array(fc.nat(2_000), { maxLength: 6 }),
        fc.boolean(),
        async (some, positions, places, isChunked) => {
          const parts = [...others];
          for (const [index, control] of some.entries()) parts.splice(positions[index] ?? 0, 0, control);
          provider.requests.length = 0;
          expect(await upload(form(...parts), { places, isChunked })).toEqual({ status: 200 });
          const expected = form(...others)
            .toString()
            .replace('\r\nmine\r\n', '\r\ntheir-mine\r\n');
          expect(provider.requests[0]?.body.toString()).toBe(expected);
        },
      ),
      { numRuns: Math.min(40, runs(40)) },
    );
  });

  it('end a call that has begun if they follow a long file', async () => {
    for (const name of ['timeout', 'user_config', 'Cache']) {
      const body = form(part('model', 'mine'), file(600_000), part(name, '5'));
      const refused = await upload(body, { isChunked: true });
      expect(refused).toMatchObject({ status: 400, param: name.toLowerCase() });
    }
    expect(provider.everything()).not.toContain('"timeout"');
    expect(provider.requests).toEqual([]);
  });

  it('are followed behind a file that fits in memory', async () => {
    expect(await upload(form(part('model', 'mine'), file(1_000), part('timeout', '30')))).toEqual({
      status: 200,
    });
    expect(String(provider.requests[0]?.body)).toBe(String(form(part('model', 'their-mine'), file(1_000))));
  });

  it('are refused in a spelling that a lenient parser takes for them', async () => {
    for (const name of ['Timeout', 'user.config', 'LANGFUSE_SECRET', ' tags'])
      expect((await upload(form(part(name, 'x'), part('model', 'mine'), file(10)))).status, name).toBe(400);
    expect(provider.requests).toEqual([]);
  });
});

it('a long chunked form without a model gets the name of the path', async () => {
  const body = form(file(600_000));
  const path = '/audio/transcriptions';
  expect(await upload(body, { path, headers: { 'x-team-model': 'mine' }, isChunked: true })).toEqual({
    status: 200,
  });
  const sent = String(provider.requests[0]?.body);
  expect(sent.match(/name="model"\r\n\r\ntheir-mine\r\n/g)).toHaveLength(1);
});

describe('a form that asks for a stream', () => {
  it.each(['/images/edits', '/audio/transcriptions'])(
    'POST %s: an empty stream of events is no answer',
    async (path) => {
      emptyStream = true;
      for (const size of [1_000, 600_000]) {
        const body = form(
          part('stream', 'true'),
          part('model', 'mine'),
          part('num_retries', '0'),
          file(size),
        );
        const answer = await upload(body, { path });
        expect(answer).toMatchObject({ status: 502, code: 'provider_unreachable' });
      }
      // The transcript of silence is empty, so an empty text is an answer there.
      if (path === '/audio/transcriptions') return;
      const unasked = form(part('model', 'mine'), part('num_retries', '0'), file(1_000));
      expect(await upload(unasked, { path })).toMatchObject({ status: 502, code: 'provider_unreachable' });
    },
  );

  it('takes the text of a transcription model that cannot stream', async () => {
    const client = new OpenAI({
      apiKey: 'unused',
      baseURL: teamBaseUrl,
      fetch: router.fetchFor('acme'),
      maxRetries: 0,
    });
    const heard = client.audio.transcriptions.create({
      model: 'mine',
      file: new File(['x'], 'a.wav'),
      stream: true,
    });
    const response = await heard.asResponse();
    expect([response.status, await response.json()]).toEqual([200, { id: 'file-1', text: 'heard' }]);
  });
});
