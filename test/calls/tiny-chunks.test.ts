import { gzipSync } from 'node:zlib';
import { generateEncryptionKey, memoryStorage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { type GatewayServer, serveGateway } from 'team-model-router/http/node';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { collect } from '../../src/calls/answer.ts';
import { SseParser } from '../../src/calls/upstream/sse-parser.ts';
import { JoinedChunks } from '../../src/egress/joined-chunks.ts';
import { chunkedAnswer, type RawProvider, rawProvider } from '../support/raw-provider.ts';
import { chatCompletion } from '../support/recording-provider.ts';

let provider: RawProvider;
let router: TeamModelRouter;
let gateway: GatewayServer;
let key: string;
let answer: Buffer;

beforeAll(async () => {
  provider = await rawProvider((socket) => socket.write(answer));
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  await router.createTeam({ team_id: 'acme', settings: { num_retries: 0, allowed_fails: 1_000 } });
  // Siblings, so that answers are searched for ids.
  for (const account of ['one', 'two']) {
    const litellm_params = { model: 'openai/m', api_key: `sk-${account}-0123456789`, api_base: provider.url };
    await router.addModel('acme', { model_name: 'm', litellm_params });
  }
  key = (await router.createKey('acme')).key;
  gateway = await serveGateway(createGateway(router, { masterKey: 'm'.repeat(32) }), { port: 0 });
});

afterAll(async () => {
  await gateway.close();
  await router.close({ drainTimeoutMs: 0 });
  await provider.close();
});

const json = { 'content-type': 'application/json' };
const events = { 'content-type': 'text/event-stream' };
const mebibyte = 1_060_000;
const done = 'data: [DONE]\n\n';
const completion = JSON.stringify(chatCompletion('m', 'x'.repeat(mebibyte)));

/** Answers of about 1 MB, by what they are. */
const shapes: Record<string, (size: number) => Buffer> = {
  'an event stream without a blank line': (size) =>
    chunkedAnswer(events, `${'data: {}\n'.repeat(mebibyte / 9)}\n${done}`, size),
  'an event stream in which no event names an id': (size) =>
    chunkedAnswer(events, `${'data: {}\n\n'.repeat(mebibyte / 10)}${done}`, size),
  'an event stream of comments': (size) =>
    chunkedAnswer(events, `${':\n'.repeat(mebibyte / 2)}${done}`, size),
  'an event stream of blank lines': (size) =>
    chunkedAnswer(events, `${'\r\n'.repeat(mebibyte / 2)}${done}`, size),
  'one long event': (size) => chunkedAnswer(events, `data: ${completion}\n\n${done}`, size),
  'JSON that is held whole': (size) => chunkedAnswer(json, completion.replace(/x{100000}/, ''), size),
  'JSON that is passed on as it comes': (size) => chunkedAnswer(json, completion, size),
  'JSON packed by gzip': (size) =>
    chunkedAnswer({ ...json, 'content-encoding': 'gzip' }, gzipSync(completion, { level: 0 }), size),
  'an error': (size) => chunkedAnswer(json, completion, size, '400 Bad Request'),
  'bytes of an unknown type': (size) => chunkedAnswer({ 'content-type': 'audio/mpeg' }, completion, size),
};

const body = (stream: boolean) => JSON.stringify({ model: 'm', messages: [], store: true, stream });
const post = (stream: boolean) => ({
  method: 'POST',
  headers: { ...json, authorization: `Bearer ${key}` },
  body: body(stream),
});

const doors = {
  'in-process': (stream: boolean) => router.fetchFor('acme')('/v1/chat/completions', post(stream)),
  'over HTTP': (stream: boolean) => fetch(`${gateway.url}/v1/chat/completions`, post(stream)),
};

/** Bytes that were joined or made a text while `work` ran. */
async function bytesHandled(work: () => Promise<unknown>): Promise<number> {
  let bytes = 0;
  const concat = Buffer.concat;
  const toText = Buffer.prototype.toString;
  const concatSpy = vi.spyOn(Buffer, 'concat').mockImplementation((list, length) => {
    const joined = concat(list, length);
    bytes += joined.length;
    return joined;
  });
  const textSpy = vi.spyOn(Buffer.prototype, 'toString').mockImplementation(function (
    this: Buffer,
    ...args: unknown[]
  ) {
    const [encoding, start = 0, end = this.length] = args as [BufferEncoding?, number?, number?];
    bytes += Math.max(0, Math.min(end, this.length) - start);
    return toText.call(this, encoding, start, end);
  });
  try {
    await work();
  } finally {
    concatSpy.mockRestore();
    textSpy.mockRestore();
  }
  return bytes;
}

describe.each(Object.entries(doors))('an answer in tiny chunks, %s', (_, call) => {
  it.each(Object.entries(shapes))(
    '%s took work quadratic in its chunks (of 20 bytes)',
    async (name, shape) => {
      answer = shape(20);
      const stream = name.includes('event');
      let size = 0;
      const handled = await bytesHandled(async () => {
        const response = await call(stream);
        for await (const chunk of response.body ?? []) size += (chunk as Uint8Array).length;
      });
      expect(size).toBeGreaterThan(name === 'an error' ? 200_000 : 900_000);
      // Held, searched, checked and redacted: a few times each byte, and not once per chunk.
      expect(handled).toBeLessThan(20 * mebibyte);
    },
  );

  it.each(Object.entries(shapes))(
    '%s in 265 000 chunks was a RangeError, and the connection stayed open',
    async (name, shape) => {
      answer = shape(4);
      const response = await call(name.includes('event'));
      expect(response.status).toBe(name === 'an error' ? 400 : 200);
      const text = await response.text();
      expect(text).not.toContain('internal_error');
      expect(text.length).toBeGreaterThan(200_000);
    },
  );
});

describe('JoinedChunks', () => {
  it('keeps a piece of one byte in one byte, not in a separate buffer', () => {
    const joined = new JoinedChunks();
    for (let count = 0; count < 265_000; count++) joined.push(Buffer.from([count % 256]));
    const chunks = joined.takeAll();
    expect(chunks.length).toBeLessThan(70);
    expect(Buffer.concat(chunks)).toEqual(
      Buffer.from(Array.from({ length: 265_000 }, (_, index) => index % 256)),
    );
  });

  it('leaves the bytes alone that were taken', () => {
    const joined = new JoinedChunks();
    joined.push(Buffer.from('a'));
    joined.push(Buffer.from('b'));
    const first = joined.take();
    joined.push(Buffer.from('c'));
    joined.push(Buffer.from('d'));
    expect([first?.toString(), joined.take()?.toString(), joined.take()]).toEqual(['ab', 'cd', undefined]);
  });

  it('is what a whole body is collected in', async () => {
    async function* bytes() {
      for (let count = 0; count < 100_000; count++) yield Buffer.from('x');
    }
    const concat = vi.spyOn(Buffer, 'concat');
    expect(await collect(bytes())).toHaveLength(100_000);
    expect(concat.mock.lastCall?.[0].length).toBeLessThan(30);
    concat.mockRestore();
  });
});

describe('SseParser', () => {
  it('keeps no more of an event than its bound, however it is written', () => {
    for (const line of ['data: xxxxxxxx', 'data:', 'data', 'event: x', ': comment', 'x'.repeat(300)]) {
      const parser = new SseParser(1_000);
      let longest = 0;
      const visit = ({ data = '' }: { data: string | undefined }) => {
        longest = Math.max(longest, data.length);
        return false;
      };
      for (let count = 0; count < 10_000; count++) parser.push(Buffer.from(`${line}\n`), visit);
      parser.push(Buffer.from('x'.repeat(10_000)), visit);
      parser.push(Buffer.from('\n\n'), visit);
      expect(longest).toBeLessThanOrEqual(1_000);
    }
  });
});
