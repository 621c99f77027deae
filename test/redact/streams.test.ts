import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Redactor } from '../../src/redact/redactor.ts';
import recorded from '../fixtures/encoded-secrets.json' with { type: 'json' };
import { runs } from '../support/runs.ts';

const secrets: Record<string, string> = recorded.secrets;
const all = Object.values(secrets).map((value) => ({ value, mask: '...', inAnswers: true }));
const redactor = new Redactor(all);

/** What comes out of a stream, all of it and after each chunk. */
function passed(chunks: readonly Buffer[], events: boolean, by = redactor): { all: Buffer; sizes: number[] } {
  const stream = by.stream(events);
  const out: Uint8Array[] = [];
  const sizes = chunks.map((chunk) => {
    stream.push(chunk, out);
    return out.reduce((sum, { length }) => sum + length, 0);
  });
  stream.flush(out);
  return { all: Buffer.concat(out), sizes };
}

const cut = (bytes: Buffer, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
    bytes.subarray(at * size, (at + 1) * size),
  );

describe('CoveredStream', () => {
  it.each([1, 2, 3, 5, 7, 64])('covers every form in chunks of %d bytes', (size) => {
    for (const { text, how, language } of recorded.forms) {
      const bytes = Buffer.from(`before: ${text} after`);
      expect(String(passed(cut(bytes, size), false).all), `${language} ${how}`).toBe(
        String(redactor.cover(bytes)),
      );
    }
  });

  it('passes all other bytes on unchanged, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }),
        fc.boolean(),
        (parts, events) => {
          const chunks = parts.map((part) => Buffer.from(part));
          expect(passed(chunks, events).all).toEqual(Buffer.concat(chunks));
        },
      ),
    );
  });

  it('holds nothing back after the end of an event, whatever it ends in', () => {
    const key = secrets.key ?? '';
    for (const end of ['\n\n', '\r\n\r\n', '\r\r']) {
      for (const text of [
        ': keep-alive',
        'data: [DONE]',
        `data: ${key.slice(0, 20)}`,
        'data: aGVsbG8gd29ybGQ',
        'data: \\u00',
      ]) {
        const event = Buffer.from(text + end);
        expect(passed([event, event], true).sizes).toEqual([event.length, 2 * event.length]);
      }
    }
  });

  it('holds no comment back once its line has ended, whatever it ends in', () => {
    const key = secrets.key ?? '';
    for (const end of ['\n', '\r\n']) {
      for (const text of [
        ':',
        ': ping',
        ': OPENROUTER PROCESSING',
        `: ${key.slice(0, 10)}`,
        ': ping - 2024-12-01 12:00:00.123456+00:00',
        ': keep-alive',
      ]) {
        const line = Buffer.from(text + end);
        const event = Buffer.from('data: 1\n\n');
        const chunks = [
          line,
          line,
          event,
          line,
          Buffer.concat([event, line]),
          line,
          Buffer.from(': pi'),
          Buffer.from(`ng${end}`),
        ];
        let size = 0;
        const expected = chunks.map((chunk) => (size += chunk.length));
        const { sizes, all } = passed(chunks, true);
        // The chunk before the last one is half of a comment.
        expect(sizes.toSpliced(-2, 1)).toEqual(expected.toSpliced(-2, 1));
        expect(all.equals(Buffer.concat(chunks))).toBe(true);
      }
    }
  });

  it('covers a secret that continues after a comment, with few or no bytes on its line', () => {
    const key = `${secrets.key ?? ''}${'k1'.repeat(40)}`;
    const own = new Redactor([{ value: key, mask: '...', inAnswers: true }]);
    const encoded = Buffer.from(key).toString('base64').replace(/=+$/, '');
    for (let at = 4; at < encoded.length - 4; at++) {
      const [first, rest] = [encoded.slice(0, at), encoded.slice(at)];
      const chunks = [`: ${first}\n`, rest, '\n', ': ping\n', 'data: 1\n\n'].map((chunk) =>
        Buffer.from(chunk),
      );
      const text = String(passed(chunks, true, own).all);
      const shown = at < 16 ? `${first}\n` : '*'.repeat(at + 1);
      expect(text).toBe(`: ${shown}${'*'.repeat(rest.length)}\n: ping\ndata: 1\n\n`);
    }
  });

  it('passes comments and events on unchanged, however they are cut', () => {
    const piece = fc.constantFrom(':', '\n', '\r', 'aGVsbG8', ' ', 'data: x', '\\', '%', 'sk-');
    fc.assert(
      fc.property(fc.array(fc.array(piece, { maxLength: 6 }), { maxLength: 20 }), (parts) => {
        const chunks = parts.map((part) => Buffer.from(part.join('')));
        expect(passed(chunks, true).all).toEqual(Buffer.concat(chunks));
      }),
      { numRuns: runs(2_000) },
    );
  });

  it('holds back no more than what may be the beginning of a secret', () => {
    const key = secrets.key ?? '';
    const { sizes } = passed([Buffer.from(`text. ${key.slice(0, 10)}`), Buffer.from('. text ')], false);
    expect(sizes).toEqual([6, 6 + 10 + '. text '.length]);
  });

  it('covers a secret whose end could be its beginning', () => {
    const value = 'abcabcabc123abcabcabc';
    const own = new Redactor([{ value, mask: '...', inAnswers: true }]);
    for (let size = 1; size < 30; size++) {
      const bytes = Buffer.from(`x ${value} y ${value}123abcabcabc z`);
      expect(String(passed(cut(bytes, size), false, own).all)).toBe(String(own.cover(bytes)));
    }
  });

  it('covers secrets in a file of 8 MiB in chunks of 16 KiB', () => {
    const key = secrets.key ?? '';
    const bytes = Buffer.alloc(8 * 1_048_576, 'line of a file, 100% & more \\ \n');
    const places = [0, 16_380, 1_000_000, 5_242_860, bytes.length - key.length];
    for (const place of places) bytes.write(key, place);
    const { all } = passed(cut(bytes, 16_384), false);
    for (const place of places) bytes.fill('*', place, place + key.length);
    expect(all.equals(bytes)).toBe(true);
  });
});
