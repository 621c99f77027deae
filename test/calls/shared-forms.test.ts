import fc from 'fast-check';
import OpenAI, { toFile } from 'openai';
import OpenAI7 from 'openai-7';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, teamBaseUrl } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { boundary, part } from '../support/form-part.ts';
import { type RecordingProvider, recordingProvider, sendJson } from '../support/recording-provider.ts';

// What a shared deployment serves of forms: fields that are known to be stateless, and nothing else.

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const contentType = `multipart/form-data; boundary=${boundary}`;
const forms = ['/images/edits', '/images/variations', '/audio/transcriptions', '/audio/translations'];

let provider: RecordingProvider;
let router: TeamModelRouter;
let server: GatewayServer;
let key: string;

beforeAll(async () => {
  provider = await recordingProvider((_, response) => sendJson(response, 200, { text: 'heard', data: [] }));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url], allowShared: [provider.url] },
    maxHeldBytes: 1_000_000,
  });
  const params = { model: 'theirs', num_retries: 0, api_key: 'sk-0123456789abcdef', api_base: provider.url };
  const add = (model_name: string, more: object = {}) =>
    router.addSharedModel({ model_name, litellm_params: { ...params, ...more } });
  await add('shared');
  await add('allowing', { allow_fields: ['hotwords', 'options.beam'] });
  await add('vllm', { custom_llm_provider: 'hosted_vllm' });
  await add('pool', { model: 'first' });
  await add('pool', { model: 'second', allow_fields: ['hotwords'] });
  await router.createTeam({ team_id: 'acme', models: ['all-proxy-models'] });
  await router.createTeam({ team_id: 'owner', models: ['shared'] });
  for (const team of ['acme', 'owner'])
    await router.addModel(team, { model_name: 'own', litellm_params: params });
  key = (await router.createKey('acme')).key;
  server = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});
beforeEach(() => {
  provider.requests.length = 0;
});
afterAll(async () => {
  await server.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const fileName = (path: string) => (path.includes('audio') ? 'file' : 'image');
const closing = Buffer.from(`--${boundary}--\r\n`);
const file = (size = 100, name = 'file') => part(name, Buffer.alloc(size, 'x'), '; filename="a.bin"');
const formOf = (...parts: Buffer[]) => Buffer.concat([...parts, closing]);

async function* inPieces(body: Buffer) {
  for (let at = 0; at < body.length; at += 65_536) yield body.subarray(at, at + 65_536);
}

interface Sent {
  model?: string;
  team?: string;
  type?: string;
}

type Send = (path: string, body: Buffer, sent?: Sent) => Promise<Response>;
const headersFor = ({ model = 'shared', type = contentType }: Sent): Record<string, string> => ({
  'content-type': type,
  ...(model === '' ? {} : { 'x-team-model': model }),
});
const inProcess: Send = (path, body, sent = {}) =>
  router.fetchFor(sent.team ?? 'acme')(teamBaseUrl + path, {
    method: 'POST',
    headers: headersFor(sent),
    body: body.length > 300_000 ? (inPieces(body) as unknown as ReadableStream) : new Uint8Array(body),
  });
const withLength: Send = (path, body, sent = {}) =>
  fetch(`${server.url}/v1${path}`, {
    method: 'POST',
    headers: { ...headersFor(sent), authorization: `Bearer ${key}` },
    body: new Uint8Array(body),
  });
const chunked: Send = (path, body, sent = {}) =>
  fetch(`${server.url}/v1${path}`, {
    method: 'POST',
    headers: { ...headersFor(sent), authorization: `Bearer ${key}` },
    body: inPieces(body) as unknown as ReadableStream,
    duplex: 'half',
  } as RequestInit);
const doors: Record<string, Send> = {
  'in process': inProcess,
  'through the gateway': withLength,
  'through the gateway, chunked': chunked,
};

async function outcomeOf(answer: Promise<Response>): Promise<string> {
  const response = await answer;
  const json = (await response.json()) as { error?: { code: string; param: string } };
  return response.status < 400 ? 'served' : `${json.error?.code} ${json.error?.param}`;
}

/** Names, with what `param` says of them. */
const unknown: readonly (readonly [name: string, param: string])[] = [
  ['file_id', 'file_id'],
  ['image[file_id]', 'image.file_id'],
  ['image[][file_id]', 'image.file_id'],
  ['image[0][file_id]', 'image.file_id'],
  ['prompt[id]', 'prompt.id'],
  ['container', 'container'],
  ['store', 'store'],
  ['previous_response_id', 'previous_response_id'],
  ['conversation', 'conversation'],
  ['metadata[x]', 'metadata.x'],
  ['Prompt', 'Prompt'],
  ['prompt.x', 'prompt.x'],
  ['prompt ', 'prompt '],
  ['prompt[', 'prompt['],
  ['prompt]', 'prompt]'],
  ['prompt[][', 'prompt[]['],
  ['prompt[x', 'prompt[x'],
  ['[prompt]', '[prompt]'],
  ['[]', '[]'],
  ['__proto__', '__proto__'],
  ['constructor', 'constructor'],
  ['toString', 'toString'],
  ['prompt[__proto__]', 'prompt.__proto__'],
  ['chunking_strategy[file]', 'chunking_strategy.file'],
  ['chunking_strategy[type][x]', 'chunking_strategy.type.x'],
  ['chunking_strategy.type', 'chunking_strategy.type'],
  ['\u1E55rompt', '\u1E55rompt'],
];

describe.each(Object.entries(doors))('a form for a shared deployment, %s', (_, send) => {
  it.each(unknown)('is refused for a field %j', async (name, param) => {
    for (const path of forms) {
      const content = file(100, fileName(path));
      for (const body of [
        formOf(part(name, 'x'), part('model', 'shared'), content),
        formOf(part('model', 'shared'), content, part('response_format', 'x'), part(name, 'x')),
        formOf(part('model', 'shared'), part(name, 'x', '; filename="a"'), content),
      ])
        expect(await outcomeOf(send(path, body))).toBe(`stateful_on_shared ${param}`);
    }
    expect(provider.requests.length).toBe(0);
    const own = formOf(part('model', 'own'), part(name, 'x'), file());
    expect(await outcomeOf(send('/images/edits', own, { model: 'own' }))).toBe('served');
  });

  it.each(['store', 'image[][file_id]'])('is refused for a field %j behind a long file', async (name) => {
    for (const size of [300_000, 1_500_000, 4_000_000]) {
      const content = file(size, 'image');
      const body = formOf(part('model', 'shared'), content, part('prompt', 'x'), part(name, 'x'));
      const refused = await outcomeOf(send('/images/edits', body));
      expect(refused).toMatch(/^stateful_on_shared (store|image\.file_id)$/);
      const own = formOf(part('model', 'own'), file(size), part(name, 'x'));
      expect(await outcomeOf(send('/images/edits', own, { model: 'own' }))).toBe('served');
    }
    expect(provider.requests.length).toBe(3);
  });

  it('serves known fields, however often and in whichever form they are written', async () => {
    const bodies: [string, Buffer[]][] = [
      ['/images/edits', [file(9, 'image'), file(9, 'mask'), part('size', 'auto'), part('stream', 'true')]],
      ['/images/edits', [file(9, 'image[]'), file(9, 'image[]'), part('prompt', 'x'), part('prompt', 'y')]],
      ['/images/edits', [file(9, 'image[0]'), file(9, 'image[1]')]],
      ['/images/variations', [file(9, 'image'), part('n', '2'), part('user', 'u')]],
      [
        '/audio/transcriptions',
        [file(), part('timestamp_granularities[]', 'word'), part('include[]', 'logprobs')],
      ],
      ['/audio/transcriptions', [file(), part('chunking_strategy[type]', 'server_vad')]],
      [
        '/audio/transcriptions',
        [file(), part('chunking_strategy', 'auto'), part('known_speaker_names[]', 'a')],
      ],
      ['/audio/translations', [file(), part('response_format', 'json'), part('temperature', '0')]],
    ];
    for (const [path, parts] of bodies) {
      expect(await outcomeOf(send(path, formOf(part('model', 'shared'), ...parts)))).toBe('served');
      const last = formOf(file(1_500_000, fileName(path)), ...parts, part('model', 'shared'));
      expect(await outcomeOf(send(path, last))).toBe('served');
    }
    expect(provider.requests.length).toBe(2 * bodies.length);
  });

  it('serves what the operator or its provider allows', async () => {
    const call = (model: string, name: string) =>
      outcomeOf(
        send('/audio/transcriptions', formOf(part('model', model), file(), part(name, '1')), { model }),
      );
    expect(await call('allowing', 'hotwords')).toBe('served');
    expect(await call('allowing', 'hotwords[]')).toBe('served');
    expect(await call('allowing', 'hotwords[x][y]')).toBe('served');
    expect(await call('allowing', 'options[beam]')).toBe('served');
    expect(await call('allowing', 'options[other]')).toBe('stateful_on_shared options.other');
    expect(await call('allowing', 'options')).toBe('stateful_on_shared options');
    expect(await call('vllm', 'repetition_penalty')).toBe('served');
    expect(await call('shared', 'repetition_penalty')).toBe('stateful_on_shared repetition_penalty');
    // Of a pool only those serve that may.
    for (let turn = 0; turn < 8; turn++) expect(await call('pool', 'hotwords')).toBe('served');
    expect(provider.requests.filter(({ body }) => body.includes('first')).length).toBe(0);
  });
});

describe('a form for a shared deployment', () => {
  it('is judged field by field, wherever an unknown one is and however the form is cut', async () => {
    const known = fc.constantFrom('prompt', 'n', 'size', 'user', 'image[]', 'quality');
    const values = fc.string({ maxLength: 20 }).map((text) => text.replaceAll(boundary, ''));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(known, values), { maxLength: 12 }),
        fc.option(fc.tuple(fc.nat(), fc.constantFrom(...unknown))),
        fc.constantFrom(10, 280_000, 1_100_000),
        fc.constantFrom(...Object.values(doors)),
        async (fields, odd, size, send) => {
          const parts = [file(size, 'image'), ...fields.map(([name, value]) => part(name, value))];
          if (odd !== null) parts.splice(odd[0] % (parts.length + 1), 0, part(odd[1][0], 'x'));
          const expected = odd === null ? 'served' : `stateful_on_shared ${odd[1][1]}`;
          const body = formOf(part('model', 'shared'), ...parts);
          provider.requests.length = 0;
          expect(await outcomeOf(send('/images/edits', body))).toBe(expected);
          expect(provider.requests.length).toBe(odd === null ? 1 : 0);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('that it cannot serve goes to the only deployment of its team', async () => {
    const body = formOf(file(), part('hotwords', 'x'));
    const sent = { team: 'owner', model: '' };
    expect(await outcomeOf(inProcess('/audio/transcriptions', body, sent))).toBe('served');
    const plain = await outcomeOf(inProcess('/audio/transcriptions', formOf(file()), sent));
    expect(plain).toBe('invalid_request model');
  });

  it.each([
    ['application/x-www-form-urlencoded', 'model=shared&prompt=x&store=true'],
    ['application/x-www-form-urlencoded; charset=utf-8', 'model=shared'],
    ['multipart/mixed; boundary=a-boundary-0123456789abcdef', ''],
    ['multipart/related; boundary=a-boundary-0123456789abcdef', ''],
    ['text/plain', 'model=shared'],
  ])('is no %s', async (type, text) => {
    const body = text === '' ? formOf(part('model', 'shared'), file()) : Buffer.from(text);
    for (const send of Object.values(doors)) {
      for (const path of forms)
        expect(await outcomeOf(send(path, body, { type }))).toMatch(/^invalid_request /);
    }
    expect(provider.requests.length).toBe(0);
  });
});

describe.each([
  ['openai 6', OpenAI],
  ['openai 7', OpenAI7 as unknown as typeof OpenAI],
])('the forms of %s', (_, Client) => {
  it('are served by a shared deployment with every documented field', async () => {
    const client = new Client({ apiKey: key, baseURL: `${server.url}/v1`, maxRetries: 0 });
    const model = 'shared';
    const wave = await toFile(Buffer.from('x'), 'a.wav');
    const png = await toFile(Buffer.from('x'), 'a.png', { type: 'image/png' });
    await client.audio.transcriptions.create({
      file: wave,
      model,
      chunking_strategy: { type: 'server_vad', threshold: 0.5, prefix_padding_ms: 1, silence_duration_ms: 1 },
      include: ['logprobs'],
      known_speaker_names: ['a'],
      known_speaker_references: ['data:audio/wav;base64,AAAA'],
      language: 'en',
      prompt: 'x',
      response_format: 'json',
      temperature: 0,
      timestamp_granularities: ['word', 'segment'],
    });
    await client.audio.transcriptions.create({ file: wave, model, chunking_strategy: 'auto' });
    await client.audio.translations.create({ file: wave, model, prompt: 'x', temperature: 0 });
    await client.images.edit({
      image: [png, png],
      mask: png,
      model,
      prompt: 'x',
      background: 'auto',
      input_fidelity: 'low',
      n: 1,
      output_compression: 100,
      output_format: 'png',
      partial_images: 0,
      quality: 'auto',
      size: 'auto',
      user: 'u',
    });
    await client.images.edit({ image: png, model, prompt: 'x', response_format: 'url' });
    await client.images.createVariation({
      image: png,
      model,
      n: 1,
      response_format: 'url',
      size: '256x256',
      user: 'u',
    });
    expect(provider.requests.length).toBe(6);
  });
});
