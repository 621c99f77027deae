import { once } from 'node:events';
import { request } from 'node:http';
import fc from 'fast-check';
import { AzureOpenAI } from 'openai';
import { AzureOpenAI as AzureOpenAI7 } from 'openai-7';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ExactProvider, type ExactRequest, exactProvider } from '../support/exact-provider.ts';
import { boundary, part } from '../support/form-part.ts';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const form = `multipart/form-data; boundary=${boundary}`;
const theirs: Record<string, string> = {
  mine: 'a-longer-name-of-theirs',
  'a-longer-name-of-mine': 't',
  'same-length': 'length-same',
  'ein/längerer-name': 'ß',
};
/** Bytes of a form that is held back until its model is known. */
const maxHeldBytes = 2_000_000;

let provider: ExactProvider;
let router: TeamModelRouter;
let server: GatewayServer;
let key: string;

beforeAll(async () => {
  provider = await exactProvider('{"id":"obj_1","text":"heard","data":[]}');
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
    maxHeldBytes,
  });
  const add = (team: string, model_name: string, model: string) =>
    router.addModel(team, {
      model_name,
      litellm_params: { model, num_retries: 0, api_key: 'sk-x', api_base: `${provider.url}/v1` },
    });
  for (const [name, model] of Object.entries(theirs)) await add('acme', name, model);
  await add('lone', 'only', 'the-only-one');
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

/** A body that has a length and is read in pieces. */
const blobOf = (body: Buffer) => {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < body.length; at += 65_536)
    pieces.push(new Uint8Array(body.subarray(at, at + 65_536)));
  return new Blob(pieces);
};
const closing = Buffer.from(`--${boundary}--\r\n`);

/** Bytes in which all values occur, and line breaks and hyphens as a delimiter has them. */
function bytesOf(size: number, seed: number): Buffer {
  const block = Buffer.alloc(Math.min(size, 65_521));
  let state = seed + 1;
  for (let at = 0; at < block.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    block[at] = state >>> 24;
  }
  for (let at = 0; at + 16 < block.length; at += 4_099) block.write('\r\n--a-boundary-01', at, 'latin1');
  return size === 0 ? block : Buffer.alloc(size, block);
}

interface Sent {
  path: string;
  body: Buffer;
  type?: string;
  headers?: Record<string, string>;
  chunked?: boolean;
}

async function throughGateway({ path, body, type = form, headers, chunked = false }: Sent) {
  const framing = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.length };
  const sent = request(`${server.url}/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': type, ...framing, ...headers },
  });
  sent.on('error', () => {});
  sent.end(body);
  const [response] = await once(sent, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  expect([response.statusCode, Buffer.concat(chunks).toString()]).toEqual([200, expect.any(String)]);
  return provider.requests.at(-1);
}

async function inProcess({ path, body, type = form, headers }: Sent) {
  const answer = await router.fetchFor('acme')(teamBaseUrl + path, {
    method: 'POST',
    headers: { 'content-type': type, ...headers },
    body: blobOf(body),
  });
  expect([answer.status, await answer.text()]).toEqual([200, expect.any(String)]);
  return provider.requests.at(-1);
}

const doors = { 'the gateway': throughGateway, fetchFor: inProcess };

/** Where forms go, with the name of their file; a call without a model is made for a deployment that a header names. */
const calls = [
  ['/audio/transcriptions', 'file', true],
  ['/audio/translations', 'file', true],
  ['/images/edits', 'image[]', true],
  ['/images/variations', 'image', true],
  ['/files', 'file', false],
  ['/uploads/upload_1/parts', 'data', false],
] as const;

function check(
  received: ExactRequest | undefined,
  expected: Buffer,
  framing: ExactRequest['framing'] = 'length',
) {
  expect(received?.framing).toBe(framing);
  expect(received?.body.length).toBe(expected.length);
  expect(received?.body.equals(expected)).toBe(true);
}

interface Case {
  call: (typeof calls)[number];
  name: string;
  first: boolean;
  stream: boolean;
  size: number;
  seed: number;
}

/** The form for a model of this name, which the call may also name in a header. */
function formOf({ call: [, file, carries], first, stream, size, seed }: Case, name: string): Buffer {
  const content = part(
    file,
    bytesOf(size, seed),
    '; filename="a.bin"\r\nContent-Type: application/octet-stream',
  );
  const model = carries ? [part('model', name)] : [];
  const fields = [part('prompt', 'x'), ...(stream ? [part('stream', 'true')] : [])];
  return Buffer.concat([
    ...(first ? [...model, ...fields, content] : [content, ...fields, ...model]),
    closing,
  ]);
}

const sizes = fc.oneof(
  fc.integer({ min: 1_000, max: 20_000 }),
  fc.integer({ min: 250_000, max: 280_000 }),
  fc.integer({ min: 1_999_000, max: 2_100_000 }),
  fc.constant(4_000_000),
);

const cases: fc.Arbitrary<Case> = fc.record({
  call: fc.constantFrom(...calls),
  name: fc.constantFrom(...Object.keys(theirs)),
  first: fc.boolean(),
  stream: fc.boolean(),
  size: sizes,
  seed: fc.nat(1_000),
});

// A model behind a file that is longer than what is held has to be named beside the form.
const headersFor = ({ call: [, , carries], name, first, size }: Case): Record<string, string> =>
  !carries || (!first && size > maxHeldBytes - 10_000) ? { 'x-team-model': encodeURI(name) } : {};

describe.each(Object.entries(doors))('a body with a length, through %s', (door, send) => {
  it('is forwarded with its bytes except for the name, and with their length', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (given) => {
        // A header carries ASCII.
        fc.pre(given.name !== 'ein/längerer-name' || Object.keys(headersFor(given)).length === 0);
        const { call, name } = given;
        const received = await send({ path: call[0], body: formOf(given, name), headers: headersFor(given) });
        check(received, formOf(given, theirs[name] ?? ''));
      }),
      { numRuns: 60 },
    );
  });

  const long = [
    ['first', '/audio/transcriptions', 'mine'],
    ['last', '/audio/transcriptions', 'a-longer-name-of-mine'],
    ['last', '/images/edits', 'mine'],
    ['not', '/files', 'mine'],
  ] as const;
  it.each(door === 'fetchFor' ? long.slice(1, 2) : long)(
    'does so with 64 MB, model %s, to %s',
    async (place, path, name) => {
      const call = calls.find(([known]) => known === path);
      if (call === undefined) throw new Error(path);
      const given: Case = { call, name, first: place === 'first', stream: false, size: 64_000_000, seed: 1 };
      const received = await send({ path, body: formOf(given, name), headers: headersFor(given) });
      check(received, formOf(given, theirs[name] ?? ''));
    },
  );

  it('does so with JSON', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(theirs)),
        fc.constantFrom('/chat/completions', '/embeddings', '/responses', '/images/generations'),
        sizes,
        fc.boolean(),
        async (name, path, size, first) => {
          const json = (model: string) => {
            const text = `"input": "${'y'.repeat(size)}", "n": 12345678901234567890`;
            const named = `"model" : ${JSON.stringify(model)}`;
            return Buffer.from(first ? `{ ${named}, ${text} }` : `{ ${text}, ${named} }`);
          };
          const received = await send({ path, body: json(name), type: 'application/json' });
          check(received, json(theirs[name] ?? ''));
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('a body without a length', () => {
  it('stays without one', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (given) => {
        fc.pre(given.name !== 'ein/längerer-name' || Object.keys(headersFor(given)).length === 0);
        const { call, name } = given;
        const sent = { path: call[0], body: formOf(given, name), headers: headersFor(given), chunked: true };
        check(await throughGateway(sent), formOf(given, theirs[name] ?? ''), 'chunked');
      }),
      { numRuns: 30 },
    );
  });
});

describe.each([
  ['openai 6', AzureOpenAI],
  ['openai 7', AzureOpenAI7 as unknown as typeof AzureOpenAI],
])('the AzureOpenAI client of %s', (_, Client) => {
  it.each([100, 300_000, 12_500_000])('sends a file of %i bytes, with its length', async (size) => {
    const content = bytesOf(size, 3);
    const file = () => new File([new Uint8Array(content)], 'a.wav');
    for (const [base, send] of [
      [server.url, fetch],
      ['https://team-model-router.invalid', router.fetchFor('acme')],
    ] as const) {
      const client = new Client({
        apiKey: key,
        apiVersion: '2024-10-21',
        endpoint: base,
        fetch: send,
        maxRetries: 0,
        defaultHeaders: { 'x-team-model': 'mine' },
      });
      await client.audio.transcriptions.create({ file: file(), model: 'mine' });
      await client.images.edit({ image: file(), prompt: 'x', model: 'mine' });
      await client.files.create({ file: file(), purpose: 'batch' });
    }
    for (const { framing, headers, body, line } of provider.requests) {
      expect(framing, line).toBe('length');
      const form = await new Response(new Uint8Array(body), {
        headers: { 'content-type': headers.get('content-type') ?? '' },
      }).formData();
      const sent = form.get(line.includes('images') ? 'image' : 'file') as File;
      expect(content.equals(Buffer.from(await sent.arrayBuffer())), line).toBe(true);
      expect(form.get('model'), line).toBe(line.includes('/files') ? null : theirs.mine);
    }
    expect(provider.requests.length).toBe(6);
  });
});

describe('a form of an API whose model is optional', () => {
  const send = (path: string, body: Buffer) =>
    router.fetchFor('lone')(teamBaseUrl + path, {
      method: 'POST',
      headers: { 'content-type': form },
      body: blobOf(body),
    });
  const image = (size: number) => part('image', bytesOf(size, 7), '; filename="a.png"');

  it.each(['/images/edits', '/images/variations'])('goes as it came if it names none: %s', async (path) => {
    for (const size of [1_000, 300_000, 1_900_000, 5_000_000]) {
      const body = Buffer.concat([image(size), part('prompt', 'x'), closing]);
      expect((await send(path, body)).status).toBe(200);
      check(provider.requests.at(-1), body);
    }
  });

  it('is refused if it names one behind more than what is held', async () => {
    const body = Buffer.concat([image(5_000_000), part('model', 'only'), closing]);
    const answer = await send('/images/edits', body);
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: { param: 'model' } }]);
    expect(provider.requests.length).toBe(0);
  });
});
