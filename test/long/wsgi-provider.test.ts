import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import OpenAI7 from 'openai-7';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const masterKey = 'sk-master-0123456789abcdef0123456789abcdef';
const bytes = Buffer.alloc(5_000_000, Buffer.from(Array.from({ length: 251 }, (_, index) => index)));
const sha256 = createHash('sha256').update(bytes).digest('hex');

let provider: ChildProcess;
let router: TeamModelRouter;
let server: GatewayServer;
let apiKey: string;

beforeAll(async () => {
  const script = fileURLToPath(new URL('../support/wsgi-provider.py', import.meta.url));
  provider = spawn('python3', [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  // Without Python this fails, and is not skipped.
  await once(provider, 'spawn');
  const [line] = (await once(provider.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  const api_base = `http://127.0.0.1:${Number(line)}/v1`;
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [api_base.replace(/\/v1$/, '')] },
  });
  for (const [model_name, model] of [
    ['mine', 'a-longer-name-of-theirs'],
    ['a-longer-name-of-mine', 't'],
  ] as const)
    await router.addModel('acme', {
      model_name,
      litellm_params: { model, num_retries: 0, api_key: 'sk-x', api_base },
    });
  apiKey = (await router.createKey('acme')).key;
  server = await serveGateway(createGateway(router, { masterKey }), { port: 0 });
});

afterAll(async () => {
  provider?.kill();
  await server?.close();
  await router?.close();
});

interface Seen {
  length: string;
  chunked: boolean;
  fields: Record<string, { size: number; sha256: string; text: string | null }>;
  json: unknown;
}

const seenIn = (answer: unknown): Seen => JSON.parse((answer as { text: string }).text) as Seen;
const file = () => new File([bytes], 'a.bin', { type: 'application/octet-stream' });

const over = (Client: typeof OpenAI) => (name: string) =>
  new Client({
    apiKey,
    baseURL: `${server.url}/v1`,
    maxRetries: 0,
    defaultHeaders: { 'x-team-model': name },
  });
const clients: Record<string, (name: string) => OpenAI> = {
  'in process': (defaultModel) => router.forTeam('acme', { defaultModel }),
  'through the gateway, openai 6': over(OpenAI),
  'through the gateway, openai 7': over(OpenAI7 as unknown as typeof OpenAI),
};

describe.each(Object.entries(clients))("Python's WSGI server gets 5 MB %s", (_, clientOf) => {
  describe.each([
    ['mine', 'a-longer-name-of-theirs'],
    ['a-longer-name-of-mine', 't'],
  ])('by the name %s', (name, model) => {
    const check = ({ length, chunked, fields }: Seen, field: string, names: string | null) => {
      expect({ chunked, file: fields[field] }).toEqual({
        chunked: false,
        file: { size: bytes.length, sha256, text: null },
      });
      expect(Number(length)).toBeGreaterThan(bytes.length);
      expect(fields.model?.text ?? null).toBe(names);
    };

    it('in a transcription, model first and last', async () => {
      const client = clientOf(name);
      const { audio } = client;
      check(seenIn(await audio.transcriptions.create({ model: name, file: file() })), 'file', model);
      check(seenIn(await audio.transcriptions.create({ file: file(), model: name })), 'file', model);
      check(seenIn(await audio.translations.create({ file: file(), model: name })), 'file', model);
    });

    it('in a picture, a file and a part of an upload', async () => {
      const client = clientOf(name);
      const edited = await client.images.edit({ image: file(), prompt: 'x', model: name });
      check(seenIn(edited), 'image', model);
      check(seenIn(await client.files.create({ file: file(), purpose: 'batch' })), 'file', null);
      check(seenIn(await client.uploads.parts.create('upload_1', { data: file() })), 'data', null);
    });

    it('in JSON', async () => {
      const input = 'x'.repeat(5_000_000);
      const seen = seenIn(await clientOf(name).moderations.create({ model: name, input }));
      expect(seen).toMatchObject({ chunked: false, json: { model } });
      expect((seen.json as { input: string }).input.length).toBe(input.length);
    });
  });
});
