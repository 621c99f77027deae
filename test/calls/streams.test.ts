import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, type Receipt, TeamModelRouter } from 'team-model-router';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { SseGuard } from '../../src/calls/response/sse-guard.ts';
import { readBroken } from '../support/broken-text.ts';
import { runs } from '../support/runs.ts';

let answer: (response: ServerResponse) => void = () => {};
let server: Server;
let router: TeamModelRouter;
/** How often a stream that ended was left, and by what its provider noticed. */
let left: (() => void) | undefined;
const receipts: Receipt[] = [];

beforeAll(async () => {
  server = createServer({ noDelay: true }, (request, response) => {
    request.resume().on('end', () => {
      response.on('close', () => left?.());
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      answer(response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [url] },
    onCall: (receipt) => receipts.push(receipt),
  });
  await router.createTeam({ team_id: 'acme', settings: { allowed_fails: 1_000, num_retries: 0 } });
  const litellm_params = { model: 'openai/m', api_key: 'sk-0123456789abcdef', api_base: url };
  await router.addModel('acme', { model_name: 'm', litellm_params });
});

afterAll(async () => {
  await router.close({ drainTimeoutMs: 0 });
  server.closeAllConnections();
  server.close();
});

const call = (signal?: AbortSignal, path = '/v1/chat/completions') =>
  router.fetchFor('acme')(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', messages: [], stream: true }),
    ...(signal === undefined ? {} : { signal }),
  });

const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
const line = fc.oneof(
  fc.constantFrom('', ':', ': comment', 'event: x', 'id: 1', 'retry: 5', 'data: {"a":"data: [DONE]"}'),
  fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => `data: ${JSON.stringify(text)}`),
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, '')),
);
const lines = fc.array(fc.tuple(line, lineEnd), { maxLength: 30 }).map((parts) => parts.flat().join(''));

/** A body of events, in pieces of any size. */
const chunked = fc
  .record({ text: lines, cuts: fc.array(fc.nat(), { maxLength: 12 }) })
  .map(({ text, cuts }) => {
    const bytes = Buffer.from(`${text}\n\ndata: [DONE]\n\n`);
    const at = [...new Set(cuts.map((cut) => cut % bytes.length))].sort((one, other) => one - other);
    return [...at, bytes.length].map((end, index) => bytes.subarray(at[index - 1] ?? 0, end));
  });

describe('a stream of events', () => {
  it(`is read as it was written, whatever it holds and however it is cut (${runs(1_000)} bodies)`, async () => {
    await fc.assert(
      fc.asyncProperty(chunked, async (chunks) => {
        answer = (response) => {
          for (const chunk of chunks) response.write(chunk);
          response.end();
        };
        const response = await call();
        expect(Buffer.from(await response.arrayBuffer()).equals(Buffer.concat(chunks))).toBe(true);
      }),
      { numRuns: runs(1_000) },
    );
  });

  it(`passes each event on as soon as it is whole, unchanged and in order (${runs(1_000)} chunkings)`, () => {
    fc.assert(
      fc.property(chunked, (chunks) => {
        const watch = new SseGuard((events) => events);
        const passed: Uint8Array[] = [];
        let written = '';
        for (const chunk of chunks) {
          watch.push(chunk, passed);
          written += chunk.toString('latin1');
          const read = Buffer.concat(passed).toString('latin1');
          expect(written.startsWith(read)).toBe(true);
          // No blank line, which ends an event, is left behind.
          expect(/(\r\n|\n|\r(?!\n))(\r\n|\n|\r(?!\n|$))/.test(written.slice(Math.max(0, read.length)))).toBe(
            false,
          );
        }
        expect(watch.end(passed)).toBeUndefined();
        expect(Buffer.concat(passed).equals(Buffer.concat(chunks))).toBe(true);
      }),
      { numRuns: runs(1_000) },
    );
  });

  it.each([
    ['a text that says "data: [DONE]"', 'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n'],
    ['a text that says "event: error"', 'data: {"choices":[{"delta":{"content":"event: error"}}]}\n\n'],
    ['a text that ends in "response.completed"', 'data: {"delta":"response.completed"}\n\n'],
  ])('that is cut after %s was taken for whole', async (_, text) => {
    answer = (response) => response.end(text);
    const { text: read, error } = await readBroken(await call());
    expect(read).toContain('"code":"provider_unreachable"');
    expect(error).toMatchObject({ code: 'provider_unreachable' });
  });

  it.each([
    ['many comments', Array.from({ length: 40 }, () => ': still here\n\n')],
    ['a long event', [`data: {"x":"${'x'.repeat(40_000)}"}\n\n`]],
  ])('is whole though %s followed its end', (_, following) => {
    const watch = new SseGuard((events) => events);
    watch.push(Buffer.from('data: {"choices":[{"finish_reason":"stop"}]}\n\n'), []);
    for (const event of following) watch.push(Buffer.from(event), []);
    expect(watch.end([])).toBeUndefined();
  });

  it('is counted by the usage at the end of an event of any length', async () => {
    const response = { output: 'x'.repeat(100_000), usage: { input_tokens: 3, output_tokens: 4 } };
    answer = (writing) => {
      writing.write(`data: ${JSON.stringify({ type: 'response.completed', response })}\n\n`);
      writing.end(': bye\n\n');
    };
    await (await call(undefined, '/v1/responses')).text();
    await vi.waitFor(() => expect(receipts.at(-1)?.tokens).toEqual({ input: 3, output: 4, total: 7 }));
  });

  it('holds an event of many small pieces without copying them over and over', () => {
    const watch = new SseGuard((events) => events);
    const passed: Uint8Array[] = [];
    for (let piece = 0; piece < 300_000; piece++) watch.push(Buffer.from('abc'), passed);
    watch.push(Buffer.from('\n\ndata: [DONE]\n\n'), passed);
    expect(watch.end(passed)).toBeUndefined();
    expect(Buffer.concat(passed)).toHaveLength(900_016);
  });
});

describe('a reader', () => {
  it('that leaves closes the provider’s socket without waiting for a timer (100 times)', async () => {
    onTestFinished(() => void vi.useRealTimers());
    answer = (response) => void response.write('data: {}\n\n');
    for (let turn = 0; turn < 100; turn++) {
      const closed = new Promise<void>((resolve) => {
        left = resolve;
      });
      const reader = (await call()).body?.getReader();
      await reader?.read();
      // A timer that is set from now on never runs.
      vi.useFakeTimers({ toFake: ['setTimeout'] });
      await reader?.cancel();
      await closed;
      vi.useRealTimers();
    }
    left = undefined;
  });

  const stream = { model: 'm', messages: [], stream: true as const };

  it.each<[string, () => Promise<unknown>]>([
    ['a fetch, by its body', async () => (await call()).body?.cancel()],
    ['a fetch, by its reader', async () => (await call()).body?.getReader().cancel()],
    [
      'a fetch, by its signal',
      async () => {
        const leaving = new AbortController();
        await call(leaving.signal);
        leaving.abort();
      },
    ],
    [
      'a team client, by the body of its response',
      async () => (await router.forTeam('acme').chat.completions.create(stream).asResponse()).body?.cancel(),
    ],
    [
      'the OpenAI client’s stream, by its controller',
      async () => (await router.chatCompletion('acme', stream)).controller.abort(),
    ],
  ])('that gives up, unread, the answer of %s, ends it at the provider', async (_, leave) => {
    answer = (response) => void response.write('data: {}\n\n');
    const before = receipts.length;
    const closed = new Promise<void>((resolve) => {
      left = resolve;
    });
    await leave();
    await closed;
    left = undefined;
    // The call has ended for its deployment too, so that its place among `max_parallel_requests` is free.
    await expect.poll(() => receipts.slice(before)).toMatchObject([{ status: 200, code: 'aborted' }]);
  });

  it('that stops reading holds the provider back, and less than 2 MiB of the stream in our process', async () => {
    const event = Buffer.from(`data: ${'x'.repeat(16_000)}\n\n`);
    const sockets: Socket[] = [];
    let written = 0;
    const full = new Promise<void>((resolve) => {
      answer = (response) => {
        sockets.push(response.socket as Socket);
        let quiet = setTimeout(resolve, 300);
        const more = () => {
          while (!response.destroyed && written < 200_000_000) {
            written += event.length;
            clearTimeout(quiet);
            quiet = setTimeout(resolve, 300);
            if (!response.write(event)) return;
          }
        };
        response.on('drain', more);
        more();
      };
    });
    const before = process.memoryUsage().arrayBuffers;
    const reader = (await call()).body?.getReader();
    await reader?.read();
    await full;
    // The provider is stopped long before its end; what is neither with it nor in the kernel is ours.
    expect(written).toBeLessThan(20_000_000);
    const ofProvider = sockets.reduce((sum, socket) => sum + socket.writableLength, 0);
    expect(process.memoryUsage().arrayBuffers - before - ofProvider).toBeLessThan(2_097_152);
    await reader?.cancel();
  });
});
