import OpenAI6, { toFile } from 'openai';
import OpenAI5 from 'openai-5';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningGateway, runningGateway } from '../support/running-gateway.ts';

const model = 'my-team-model';
const messages = [{ role: 'user' as const, content: 'Who are you?' }];
const pixel = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

let gateway: RunningGateway;

beforeAll(async () => {
  gateway = await runningGateway();
  gateway.provider
    .onMessage(/Who are you/, { content: 'The provider of acme.' })
    .onEmbedding(/./, { embedding: [0.5, 0.25] })
    .onImage(/./, { image: { b64Json: pixel.toString('base64') } })
    .onSpeech(/./, { audio: pixel.toString('base64'), format: 'mp3' })
    .onTranscription({ transcription: { text: 'heard in acme' } })
    .onTranslation({ transcription: { text: 'understood in acme' } })
    .onModerate(/./, { flagged: false, categories: {} });
});
afterAll(() => gateway.close());

/** What both majors have in common, and is called here. */
type Client = OpenAI6;

interface Version {
  make: (options: { baseURL: string; apiKey: string }) => Client;
  errors: Pick<typeof OpenAI6, 'NotFoundError' | 'AuthenticationError'>;
}

const versions: Record<string, Version> = {
  'openai 6': { make: (options) => new OpenAI6({ ...options, maxRetries: 0 }), errors: OpenAI6 },
  'openai 5': {
    make: (options) => new OpenAI5({ ...options, maxRetries: 0 }) as unknown as Client,
    errors: OpenAI5 as unknown as Version['errors'],
  },
};

describe.each(Object.entries(versions))(
  '%s',
  (_, { make, errors: { NotFoundError, AuthenticationError } }) => {
    let client: Client;
    beforeAll(() => {
      client = make({ baseURL: `${gateway.url}/v1`, apiKey: gateway.key });
    });

    /** The model that the provider was asked for last. */
    const asked = () => (gateway.provider.getRequests().at(-1)?.body as { model?: string } | null)?.model;

    it('chat.completions.create', async () => {
      const answer = await client.chat.completions.create({ model, messages });
      expect(answer.choices[0]?.message.content).toBe('The provider of acme.');
      expect(asked()).toBe('gpt-4o');
    });

    it('chat.completions.create with stream', async () => {
      const stream = await client.chat.completions.create({ model, messages, stream: true });
      const pieces: string[] = [];
      let finished: string | null | undefined;
      for await (const { choices } of stream) {
        if (choices[0]?.delta.content) pieces.push(choices[0].delta.content);
        finished = choices[0]?.finish_reason ?? finished;
      }
      expect(pieces.length).toBeGreaterThan(1);
      expect(pieces.join('')).toBe('The provider of acme.');
      expect(finished).toBe('stop');
    });

    it('chat.completions.stream, with its helpers', async () => {
      const final = await client.chat.completions.stream({ model, messages }).finalContent();
      expect(final).toBe('The provider of acme.');
    });

    it('responses.create, and with stream', async () => {
      const answer = await client.responses.create({ model, input: 'Who are you?' });
      expect(answer.output_text).toBe('The provider of acme.');
      const stream = await client.responses.create({ model, input: 'Who are you?', stream: true });
      const types: string[] = [];
      let text = '';
      for await (const event of stream) {
        types.push(event.type);
        if (event.type === 'response.output_text.delta') text += event.delta;
      }
      expect(text).toBe('The provider of acme.');
      expect(types.at(-1)).toBe('response.completed');
    });

    it('embeddings.create', async () => {
      const { data } = await client.embeddings.create({ model, input: 'x', encoding_format: 'float' });
      expect(data[0]?.embedding).toEqual([0.5, 0.25]);
      expect(asked()).toBe('gpt-4o');
    });

    it('moderations.create', async () => {
      const { results } = await client.moderations.create({ model, input: 'x' });
      expect(results[0]?.flagged).toBe(false);
    });

    it('models.list and models.retrieve', async () => {
      const listed: string[] = [];
      for await (const { id } of client.models.list()) listed.push(id);
      expect(listed).toEqual([model]);
      expect(await client.models.retrieve(model)).toMatchObject({ id: model, object: 'model' });
    });

    it('images.generate and images.edit', async () => {
      const made = await client.images.generate({ model, prompt: 'a pixel' });
      expect(made.data?.[0]?.b64_json).toBe(pixel.toString('base64'));
      const image = await toFile(pixel, 'pixel.png', { type: 'image/png' });
      const edited = await client.images.edit({ model, image, prompt: 'a pixel' });
      expect(edited.data?.[0]?.b64_json).toBe(pixel.toString('base64'));
      expect(asked()).toBe('gpt-4o');
    });

    it('audio.transcriptions, audio.translations and audio.speech', async () => {
      const file = () => toFile(Buffer.alloc(300_000), 'speech.wav', { type: 'audio/wav' });
      const heard = await client.audio.transcriptions.create({ file: await file(), model });
      expect(heard.text).toBe('heard in acme');
      expect(asked()).toBe('gpt-4o');
      const understood = await client.audio.translations.create({ model, file: await file() });
      expect(understood.text).toBe('understood in acme');
      const spoken = await client.audio.speech.create({ model, input: 'x', voice: 'alloy' });
      expect(spoken.headers.get('content-type')).toBe('audio/mpeg');
      expect(Buffer.from(await spoken.arrayBuffer())).toEqual(pixel);
    });

    it('files: create, list, retrieve, content, delete', async () => {
      const text = '{"custom_id": "1"}\n'.repeat(1000);
      const file = await toFile(Buffer.from(text), 'batch.jsonl');
      const { id } = await client.files.create({ file, purpose: 'batch' });
      expect((await client.files.list()).data.map((entry) => entry.id)).toContain(id);
      expect(await client.files.retrieve(id)).toMatchObject({ filename: 'batch.jsonl', purpose: 'batch' });
      expect(await (await client.files.content(id)).text()).toBe(text);
      const { id: batch } = await client.batches.create({
        input_file_id: id,
        endpoint: '/v1/chat/completions',
        completion_window: '24h',
      });
      expect((await client.batches.retrieve(batch)).input_file_id).toBe(id);
      expect(await client.files.delete(id)).toMatchObject({ id, deleted: true });
    });

    it('errors come as its own classes, with their code', async () => {
      const failed = client.chat.completions.create({ model: 'nobody-has-this', messages });
      await expect(failed).rejects.toThrow(NotFoundError);
      await expect(failed).rejects.toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
      const stranger = make({ baseURL: `${gateway.url}/v1`, apiKey: `sk-${'x'.repeat(43)}` }).models.list();
      await expect(stranger).rejects.toThrow(AuthenticationError);
      await expect(stranger).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
    });

    it('only the key of acme went to the provider', () => {
      const sent = gateway.provider.getRequests().map(({ headers }) => JSON.stringify(headers));
      expect(sent.length).toBeGreaterThan(10);
      for (const headers of sent) expect(headers).not.toContain(gateway.key);
    });
  },
);
