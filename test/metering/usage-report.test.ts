import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SseGuard } from '../../src/calls/response/sse-guard.ts';
import { estimateInput } from '../../src/metering/usage/estimate.ts';
import { answerReport, reportOf, usageIn } from '../../src/metering/usage/usage-report.ts';
import { uuidV7 } from '../../src/metering/uuid-v7.ts';
import { runs } from '../support/runs.ts';

const count = fc.integer({ min: 0, max: 1_000_000 });

describe('reportOf', () => {
  it('reads chat completions', () => {
    const usage = {
      prompt_tokens: 20,
      completion_tokens: 9,
      total_tokens: 29,
      prompt_tokens_details: { cached_tokens: 8, audio_tokens: 2 },
      completion_tokens_details: { reasoning_tokens: 4, audio_tokens: 1 },
    };
    expect(reportOf(usage)).toEqual({
      tokens: { input: 20, output: 9, total: 29 },
      usage: { input: 20, output: 9, cachedInput: 8, reasoning: 4, inputAudio: 2, outputAudio: 1 },
    });
  });

  it('reads responses, images and transcripts', () => {
    const details = {
      input_tokens_details: { cached_tokens: 3 },
      output_tokens_details: { reasoning_tokens: 5 },
    };
    expect(reportOf({ input_tokens: 7, output_tokens: 6, total_tokens: 13, ...details })?.usage).toEqual({
      input: 7,
      output: 6,
      cachedInput: 3,
      reasoning: 5,
    });
    const audio = { input_tokens: 14, output_tokens: 45, input_token_details: { audio_tokens: 14 } };
    expect(reportOf({ type: 'tokens', ...audio })?.usage).toEqual({ input: 14, output: 45, inputAudio: 14 });
    expect(reportOf({ type: 'duration', seconds: 9 })).toEqual({ usage: { seconds: 9 } });
  });

  it('reads what other providers call cached input', () => {
    expect(reportOf({ prompt_tokens: 5, prompt_cache_hit_tokens: 4 })?.usage.cachedInput).toBe(4);
    expect(reportOf({ prompt_tokens: 5, cache_creation_input_tokens: 4 })?.usage.cacheWrite).toBe(4);
  });

  it('leaves out what is not a count', () => {
    expect(reportOf({ prompt_tokens: 5, completion_tokens: null, total_tokens: '7' })).toEqual({
      tokens: { input: 5, output: 0, total: 5 },
      usage: { input: 5 },
    });
    for (const usage of [null, [], 'x', {}, { prompt_tokens: -1 }, { prompt_tokens: Number.NaN }])
      expect(reportOf(usage)).toBeUndefined();
  });

  it('counts images and the length of a transcript', () => {
    expect(answerReport({ data: [{ b64_json: 'x' }, { url: 'y' }] })).toEqual({ usage: { images: 2 } });
    expect(answerReport({ text: 'hello', duration: 2.5 })).toEqual({ usage: { seconds: 2.5 } });
    expect(answerReport({ data: [{ embedding: [] }] })).toBeUndefined();
  });

  it('marks a response that is generated in the background', () => {
    expect(answerReport({ object: 'response', status: 'queued', usage: null })?.pending).toBe(true);
  });
});

describe('the usage of a stream', () => {
  const usageEvent = (input: number, output: number) =>
    `data: {"choices":[],"usage":{"prompt_tokens":${input},"completion_tokens":${output}}}\n\n`;
  const chunk = 'data: {"choices":[{"index":0,"delta":{"content":"a \\"usage\\": {}"}}]}\n\n';

  it('is the same however the stream is cut into chunks', () => {
    const property = fc.property(
      fc.integer({ min: 0, max: 100 }),
      count,
      count,
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 }),
      (chunks, input, output, done, sizes) => {
        const text = chunk.repeat(chunks) + usageEvent(input, output) + (done ? 'data: [DONE]\n\n' : '');
        const guard = new SseGuard((events) => events, { countsContent: true });
        const bytes = Buffer.from(text);
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          guard.push(bytes.subarray(at, at + size), []);
          at += size;
        }
        expect(guard.usage()?.usage).toEqual({ input, output });
      },
    );
    fc.assert(property, { numRuns: runs(2_000) });
  });

  it('counts the same content however the stream is cut', () => {
    const property = fc.property(
      fc.array(fc.string({ maxLength: 30 }), { maxLength: 100 }),
      fc.integer({ min: 1, max: 300 }),
      (texts, size) => {
        const events = texts.map(
          (text) => `data: ${JSON.stringify({ choices: [{ delta: { content: text } }] })}\n\n`,
        );
        const bytes = Buffer.from(events.join(''));
        const guard = new SseGuard((run) => run, { countsContent: true });
        for (let at = 0; at < bytes.length; at += size) guard.push(bytes.subarray(at, at + size), []);
        const length = texts.reduce((sum, text) => sum + JSON.stringify(text).length - 2, 0);
        expect(guard.contentBytes()).toBe(length);
      },
    );
    fc.assert(property, { numRuns: runs(1_000) });
  });
});

describe('usageIn', () => {
  it('never throws', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        usageIn(`${before}"usage":{${after}`);
      }),
      { numRuns: runs(2_000) },
    );
  });
});

describe('estimateInput', () => {
  it('counts embedded base64 as a fixed number of tokens', () => {
    const of = (length: number) =>
      estimateInput(Buffer.from(`{"url":"data:image/png;base64,${'A'.repeat(length)}"}`));
    expect(of(1_000_000)).toBe(of(10));
    expect(of(10)).toBeGreaterThan(1_000);
    expect(estimateInput(Buffer.from('a'.repeat(300)))).toBe(100);
  });

  it('takes time that is linear in the body', () => {
    expect(estimateInput(Buffer.from(';base64,'.repeat(200_000)))).toBeGreaterThan(0);
  });
});

describe('uuidV7', () => {
  it('begins with the time, and has the version and the variant', () => {
    const id = uuidV7(1_700_000_000_000);
    expect(id).toMatch(/^018bcfe5-6800-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(uuidV7(1_700_000_000_000)).not.toBe(id);
  });
});
