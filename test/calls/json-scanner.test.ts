import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sharedShape } from '../../src/calls/body/shared-fields.ts';
import { readJsonBody, scanBody, sliceBytes } from '../../src/calls/json/body.ts';
import { type JsonHandler, JsonScanner, maxJsonDepth } from '../../src/calls/json/scanner.ts';
import { RouterError } from '../../src/errors.ts';
import { runs } from '../support/runs.ts';

const chat = sharedShape('chat.completions.create');

/** Writes down what it is told, as one would write JSON. */
class Recorder implements JsonHandler {
  readonly events: string[] = [];
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  key(start: number, end: number): void {
    this.events.push(`key ${start} ${JSON.parse(this.#text(start, end))}`);
  }

  open(object: boolean, at: number): void {
    this.events.push(`open ${object} ${at}`);
  }

  close(empty: boolean, end: number): void {
    this.events.push(`close ${empty} ${end}`);
  }

  text(start: number, end: number): void {
    this.events.push(`text ${start} ${JSON.parse(this.#text(start, end))}`);
  }

  scalar(start: number, end: number): void {
    this.events.push(`scalar ${this.#text(start, end)}`);
  }

  #text(start: number, end: number): string {
    return this.bytes.toString('utf8', start, end);
  }
}

function eventsOf(bytes: Buffer, limits: readonly number[]): string[] {
  const recorder = new Recorder(bytes);
  const scanner = new JsonScanner(bytes, recorder);
  for (const limit of limits) scanner.run(limit);
  expect(scanner.run(bytes.length)).toBe(true);
  return recorder.events;
}

/** What a value is made of, as `JSON.parse` sees it. */
function eventsIn(value: unknown, member: boolean): string[] {
  if (typeof value === 'string') return [`text ${value}`];
  if (typeof value !== 'object' || value === null) return member ? [`scalar ${JSON.stringify(value)}`] : [];
  const inner = Array.isArray(value)
    ? value.flatMap((item) => eventsIn(item, false))
    : Object.entries(value).flatMap(([key, item]) => [`key ${key}`, ...eventsIn(item, true)]);
  return [`open ${!Array.isArray(value)}`, ...inner, `close ${inner.length === 0 && isEmpty(value)}`];
}

const isEmpty = (value: object) => Object.keys(value).length === 0;
const withoutPlaces = (events: readonly string[]) =>
  events.map((event) => event.replace(/^(open \w+|close \w+) \d+$/, '$1').replace(/^(key|text) \d+ /, '$1 '));

const longText = fc
  .tuple(fc.constantFrom('"', '\\', 'é', '🙂', 'a', '\n'), fc.nat(200))
  .map(([unit, times]) => {
    return `${'x'.repeat(times)}${unit.repeat(times)}${'y'.repeat(times % 70)}`;
  });
const jsonValue = fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' });
const value = fc.oneof(
  jsonValue,
  fc.array(longText, { maxLength: 4 }),
  fc.dictionary(fc.oneof(longText, fc.string()), jsonValue, { maxKeys: 4 }),
);

describe('JsonScanner', () => {
  it('reports what JSON.parse finds', () => {
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 2, '\t'), (given, space) => {
        const text = JSON.stringify(given, undefined, space);
        const events = withoutPlaces(eventsOf(Buffer.from(text), []));
        expect(events).toEqual(eventsIn(JSON.parse(text), true));
      }),
      { numRuns: runs(2_000) },
    );
  });

  it('finds the same wherever it stops between two turns', () => {
    fc.assert(
      fc.property(value, fc.array(fc.nat(), { maxLength: 12 }), (given, stops) => {
        const bytes = Buffer.from(JSON.stringify(given));
        const limits = stops.map((stop) => stop % (bytes.length + 1)).sort((left, right) => left - right);
        expect(eventsOf(bytes, limits)).toEqual(eventsOf(bytes, []));
      }),
      { numRuns: runs(2_000) },
    );
  });

  it('accepts no text that JSON.parse rejects for its structure', () => {
    const pieces = fc.array(
      fc.constantFrom('{', '}', '[', ']', ',', ':', '"a"', '"\\""', '1', 'null', ' ', '\n', '"', '\\'),
      { maxLength: 14 },
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        const text = parts.join('');
        const bytes = Buffer.from(text);
        const silent: JsonHandler = { key() {}, open() {}, close() {}, text() {}, scalar() {} };
        let accepted = true;
        try {
          new JsonScanner(bytes, silent).run(bytes.length);
        } catch (error) {
          expect(RouterError.isInstance(error)).toBe(true);
          accepted = false;
        }
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        // Numbers such as 11null and line breaks in strings are the provider's to judge.
        const judged = !/null\d|\dnull|nullnull|"[^"]*\n[^"]*"|\\[^"\\]/.test(text);
        if (valid) expect(accepted).toBe(true);
        else if (judged) expect(accepted).toBe(false);
      }),
      { numRuns: runs(20_000) },
    );
  });

  it.each([
    ['comments', '{"metadata":{"a":0/*"*/},"model":"theirs","b":"*/"},"model":"mine"}'],
    ['comments to the end of a line', '{"a":[0//"\n],"model":"theirs"//"]\n}'],
    ['single quotes', '{"a":[\'"\',"model"]}'],
    ['names without quotes', '{"a":{b:1}}'],
    ['missing commas', '{"a":{"b":1 "c":2}}'],
    ['missing colons', '{"a":{"b" "c"}}'],
    ['trailing commas', '{"a":[1,]}'],
    ['colons in lists', '{"a":["b":1]}'],
  ])('refuses what only some parsers read: %s', (_, text) => {
    expect(refusalOf(text)).toMatchObject({ code: 'invalid_request' });
  });

  it('refuses 100 MiB of opening brackets at the first one too many', () => {
    const bytes = Buffer.alloc(100 * 1_048_576, '[');
    let opened = 0;
    const count: JsonHandler = { key() {}, open: () => void opened++, close() {}, text() {}, scalar() {} };
    const scanner = new JsonScanner(bytes, count);
    expect(() => scanner.run(bytes.length)).toThrow('more than 512 levels');
    expect(opened).toBe(maxJsonDepth);
  });

  it.each([
    ['[', ']'],
    ['{"a":', '}'],
    ['{"a":[', ']}'],
  ])('reads up to 512 levels of %s', (open, close) => {
    const nested = (levels: number) => {
      const times = Math.floor(levels / (open === '{"a":[' ? 2 : 1));
      return `{"x":${open.repeat(times)}1${close.repeat(times)}}`;
    };
    expect(scanBody(Buffer.from(nested(maxJsonDepth - 2)), chat).keys.size).toBe(1);
    expect(refusalOf(nested(maxJsonDepth + 1)).message).toContain('512 levels');
  });

  /** Bytes that native searches have gone over, and how often there was one. */
  function searched(text: string): { calls: number; bytes: number; length: number } {
    const bytes = Buffer.from(text);
    const count = { calls: 0, bytes: 0, length: bytes.length };
    const search = bytes.indexOf.bind(bytes) as (byte: number, from: number) => number;
    bytes.indexOf = ((byte: number, from: number) => {
      const at = search(byte, from);
      count.calls += 1;
      count.bytes += (at === -1 ? bytes.length : at) - from;
      return at;
    }) as typeof bytes.indexOf;
    scanBody(bytes, chat);
    return count;
  }

  it.each([
    ['escaped quotation marks', '\\"'],
    ['backslashes', '\\\\'],
    ['an escape now and then', `${'x'.repeat(200)}\\n`],
    ['quotation marks now and then', `${'x'.repeat(200)}\\"`],
    ['letters', 'x'],
  ])('searches each byte of a long string at most once for each of two characters: %s', (_, unit) => {
    for (const size of [20_000, 40_000]) {
      const text = `{"a":"${unit.repeat(size / unit.length)}","b":["${'y'.repeat(300)}"]}`;
      const { calls, bytes, length } = searched(text);
      expect(bytes).toBeLessThanOrEqual(2 * length);
      // Comparing 64 bytes comes before each pair of searches.
      expect(calls).toBeLessThanOrEqual(2 + (2 * length) / 64);
    }
  });
});

describe('a body whose size is all there is to it', () => {
  it('is refused for too many members before they are collected', () => {
    const members = Array.from({ length: 1_024 }, (_, index) => `"k${index}":0`).join(',');
    expect(scanBody(Buffer.from(`{${members}}`), chat).keys.size).toBe(1_024);
    expect(refusalOf(`{${members},"one":0}`).message).toContain('more than 1024 members');
  });

  it('is refused for a key of more than 1 024 bytes', () => {
    expect(refusalOf(`{"${'k'.repeat(1_023)}":0}`).message).toContain('1024 bytes');
    expect(refusalOf(`{"${'\\u006b'.repeat(200)}":0}`).message).toContain('1024 bytes');
    expect(scanBody(Buffer.from(`{"a":{"${'k'.repeat(100_000)}":0}}`), chat).keys.size).toBe(1);
  });

  it('keeps a bounded number of ids and of fields, whatever the body repeats', () => {
    const items = Array.from({ length: 5_000 }, (_, index) => `{"file_id":"file-${index}","k${index}":1}`);
    const scan = scanBody(Buffer.from(`{"messages":[${items.join(',')}]}`), chat);
    expect(scan.references).toHaveLength(8);
    expect(scan.listed.size).toBe(64);
    expect(scan.unlisted).toBe(true);
  });

  it.each([
    ['numbers', '0,'],
    ['objects', '{},'],
    ['empty strings', '"",'],
    ['strings of escapes', `"${'\\"'.repeat(1_000)}",`],
    ['fields', '{"file_id":"abc","B":null},'],
    ['one string', 'é'],
  ])('is read in many turns of the event loop: %s', async (name, unit) => {
    const content = unit.repeat((runs(8, 2) * 1_048_576) / Buffer.byteLength(unit));
    const text = name === 'one string' ? `{"messages":"${content}"}` : `{"messages":[${content}0]}`;
    const bytes = Buffer.from(text);
    let turns = 0;
    let counting = true;
    const count = () => {
      turns += 1;
      if (counting) setImmediate(count);
    };
    setImmediate(count);
    const scan = await readJsonBody(bytes, chat);
    counting = false;
    expect(turns).toBeGreaterThanOrEqual(Math.floor(bytes.length / sliceBytes) - 1);
    expect(scan).toEqual(scanBody(bytes, chat));
  });

  it('is rejected if it is not UTF-8, and read if a character spans two turns', async () => {
    for (let shift = 0; shift < 4; shift++) {
      const text = `{"a":"${'x'.repeat(sliceBytes - 10 + shift)}${'🙂'.repeat(8)}${'y'.repeat(sliceBytes)}"}`;
      expect((await readJsonBody(Buffer.from(text), chat)).keys.size).toBe(1);
      const broken = Buffer.from(text);
      broken[sliceBytes + 5] = 0xff;
      await expect(async () => readJsonBody(broken, chat)).rejects.toThrow('not UTF-8');
    }
  });
});

function refusalOf(text: string): RouterError {
  try {
    scanBody(Buffer.from(text), chat);
  } catch (error) {
    if (RouterError.isInstance(error)) return error;
    throw error;
  }
  throw new Error(`accepted: ${text.slice(0, 100)}`);
}
