import { describe, expect, it } from 'vitest';
import { redactCredentials } from '../../src/redact/credential-patterns.ts';
import { Redactor } from '../../src/redact/redactor.ts';

const redactorOf = (values: readonly string[]) =>
  new Redactor(values.map((value) => ({ value, mask: '...', inAnswers: true })));

// One search for each secret and form took half a minute for one of these, which ends a test.
describe('32 headers of 8 KB and an error of 256 KB', () => {
  const size = 262_144;
  const random = Array.from({ length: 32 }, (_, at) =>
    `${at.toString(36)}Ab-${(at * 7919).toString(36)}=+/`.repeat(1_000).slice(0, 8_192),
  );
  const repeated = Array.from({ length: 32 }, (_, at) => `${'a'.repeat(8_000 + at)}b`);
  const texts: Record<string, Buffer> = {
    'one letter': Buffer.alloc(size, 'a'),
    'percent signs': Buffer.alloc(size, '%'),
    'escapes of escapes': Buffer.alloc(size, '%25'),
    'escaped letters': Buffer.alloc(size, '%61'),
    backslashes: Buffer.alloc(size, '\\'),
    'JSON escapes': Buffer.alloc(size, '\\u0061'),
    entities: Buffer.alloc(size, '&amp;'),
    'unknown entities': Buffer.alloc(size, '&aaaaaaaaaaaaaaaa;'),
    braces: Buffer.alloc(size, '\\u{00006}'),
    base64: Buffer.from(Buffer.alloc(196_608, 'a').toString('base64')),
    hexadecimal: Buffer.from(Buffer.alloc(131_072, 'a').toString('hex')),
    'beginnings of a secret': Buffer.alloc(size, random[0]?.slice(0, 8_000)),
    'not ASCII': Buffer.alloc(size, 'é'),
  };

  it.each(Object.entries(texts))('%s: searched in no time', (_, bytes) => {
    for (const secrets of [random, repeated]) {
      const redactor = redactorOf(secrets);
      redactor.bytes(bytes);
      redactor.cover(bytes);
      expect(String(redactor.bytes(Buffer.concat([bytes, Buffer.from(`\n${secrets[31]}\n`)])))).toMatch(
        /\n\.\.\.\n$/,
      );
    }
  });

  it.each(Object.entries(texts))('%s: searched in no time in chunks of 20 bytes', (_, bytes) => {
    const redactor = redactorOf(repeated.slice(0, 2));
    const stream = redactor.stream(false);
    const out: Uint8Array[] = [];
    for (let at = 0; at < bytes.length / 8; at += 20) stream.push(bytes.subarray(at, at + 20), out);
    stream.flush(out);
    expect(out.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThanOrEqual(bytes.length / 8);
  });
});

describe('redactCredentials', () => {
  const size = 1_000_000;
  it.each([
    ['the beginning of a URL again and again', '://a'],
    ['one URL without an end', `://${'a'.repeat(size)}`],
    ['beginnings of keys', 'sk-'],
    ['keys that are too short', 'sk-aaaaaaaaaaaaaaaaaaa.'],
    ['a key without an end', `-sk-${'a-'.repeat(size / 2)}`],
    ['schemes', 'Bearer '],
    ['a scheme and blanks', `Bearer${' '.repeat(size)}`],
    ['beginnings of sealed secrets', 'tmr1.a.'],
    ['a sealed secret without an end', `tmr1.a.b.c.${'d'.repeat(size)}`],
  ])('reads %s once', (_, text) => {
    const long = text.length > 100 ? text : text.repeat(size / text.length);
    expect(redactCredentials(long).length).toBeGreaterThanOrEqual(10);
  });
});
