import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { ByteCollector } from '../../src/calls/body/byte-collector.ts';
import { readFormModel } from '../../src/calls/form/body.ts';
import { FormScanner } from '../../src/calls/form/multipart-scanner.ts';
import { forbiddenNames } from '../../src/calls/json/control-names.ts';
import { RouterError } from '../../src/errors.ts';
import { runs } from '../support/runs.ts';

const boundary = '----form-boundary-7MA4YWxkTrZu0gW';
const contentType = `multipart/form-data; boundary=${boundary}`;

interface Field {
  name: string;
  filename?: string;
  type?: string;
  bytes: Uint8Array;
}

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  // What looks like the end of a part, and is not.
  fc
    .constantFrom('\r\n', '\r\n--', '\r\n\r\n', `\r\n--${boundary.slice(0, -1)}\r\n`, '--')
    .map((text) => Buffer.from(text)),
);
const otherField: fc.Arbitrary<Field> = fc.record(
  {
    name: fc
      .oneof(
        fc.constantFrom('file', 'prompt', 'image[]', 'models', 'x model', 'mode', 'model_id'),
        fc.stringMatching(/^[a-z_]{1,12}$/),
      )
      .filter((name) => name !== 'model' && !forbiddenNames.includes(name)),
    filename: fc.constantFrom('a.wav', 'name="model".png'.replaceAll('"', '%22'), 'ü.txt'),
    type: fc.constantFrom('audio/wav', 'application/octet-stream', 'text/plain'),
    bytes,
  },
  { requiredKeys: ['name', 'bytes'] },
);
const model = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('gpt-4o', 'a/b', 'whisper-1'),
);
const modelField = model.map((value): Field => ({ name: 'model', bytes: Buffer.from(value) }));

function encode(fields: readonly Field[]): Buffer {
  const parts = fields.map(({ name, filename, type, bytes }) => {
    const file = filename === undefined ? '' : `; filename="${filename}"`;
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n`;
    const typed = type === undefined ? '' : `Content-Type: ${type}\r\n`;
    return Buffer.concat([Buffer.from(`${head}${typed}\r\n`), bytes, Buffer.from('\r\n')]);
  });
  return Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]);
}

async function standard(body: Uint8Array): Promise<FormData> {
  return new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData();
}

async function contentOf(form: FormData): Promise<[string, string][]> {
  const entries: [string, string][] = [];
  for (const [name, value] of form) {
    const text =
      typeof value === 'string' ? value : Buffer.from(await value.arrayBuffer()).toString('base64');
    entries.push([name, text]);
  }
  return entries;
}

function refusalOf(body: Uint8Array, type = contentType): RouterError {
  try {
    readFormModel(body, type);
  } catch (error) {
    if (RouterError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('accepted');
}

const fieldsWithModel = fc
  .tuple(fc.array(otherField, { maxLength: 5 }), modelField, fc.nat())
  .map(([others, field, position]) => {
    const at = position % (others.length + 1);
    return { before: others.slice(0, at), field, after: others.slice(at) };
  });

test('the model is the one that the standard parser finds', async () => {
  await fc.assert(
    fc.asyncProperty(fieldsWithModel, async ({ before, field, after }) => {
      const body = encode([...before, field, ...after]);
      expect(readFormModel(body, contentType).model).toBe((await standard(body)).get('model'));
    }),
    { numRuns: runs(500) },
  );
});

test('only the bytes of the model are changed', async () => {
  await fc.assert(
    fc.asyncProperty(fieldsWithModel, model, async ({ before, field, after }, next) => {
      const body = encode([...before, field, ...after]);
      const replaced = readFormModel(body, contentType).replace(next);
      const expected = encode([...before, { ...field, bytes: Buffer.from(next) }, ...after]);
      expect(Buffer.compare(replaced, expected)).toBe(0);
      expect((await standard(replaced)).get('model')).toBe(next);
    }),
    { numRuns: runs(500) },
  );
});

test('a form without a model gets one, and nothing else changes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(otherField, { minLength: 1, maxLength: 5 }), model, async (fields, next) => {
      const body = encode(fields);
      const form = readFormModel(body, contentType);
      expect(form.model).toBeUndefined();
      const replaced = Buffer.from(form.replace(next));
      const end = body.length - '--\r\n'.length;
      expect(replaced.subarray(0, end).equals(body.subarray(0, end))).toBe(true);
      expect(await contentOf(await standard(replaced))).toEqual([
        ...(await contentOf(await standard(body))),
        ['model', next],
      ]);
    }),
    { numRuns: runs(300) },
  );
});

test('a part that begins with the delimiter is refused: the standard parser does not read it either', async () => {
  const body = encode([
    { name: 'model', bytes: Buffer.from('m') },
    { name: 'a', bytes: Buffer.from(`--${boundary}`) },
  ]);
  expect(refusalOf(body)).toMatchObject({ code: 'invalid_request' });
  await expect(standard(body)).rejects.toBeInstanceOf(TypeError);
});

test('a form that FormData writes is read', async () => {
  const form = new FormData();
  form.append(
    'file',
    new File([new Uint8Array([0, 13, 10, 45, 45, 255])], 'speech "1".wav', { type: 'audio/wav' }),
  );
  form.append('model', 'my-whisper');
  const request = new Response(form);
  const type = request.headers.get('content-type') ?? '';
  const body = new Uint8Array(await request.arrayBuffer());
  const read = readFormModel(body, type);
  expect(read.model).toBe('my-whisper');
  const again = await new Response(new Uint8Array(read.replace('whisper-1')), {
    headers: { 'content-type': type },
  }).formData();
  expect(again.get('model')).toBe('whisper-1');
  const file = again.get('file') as File;
  expect(new Uint8Array(await file.arrayBuffer())).toEqual(new Uint8Array([0, 13, 10, 45, 45, 255]));
});

test('rejects a duplicate model', () => {
  fc.assert(
    fc.property(fieldsWithModel, modelField, ({ before, field, after }, again) => {
      expect(refusalOf(encode([...before, field, ...after, again]))).toMatchObject({
        code: 'invalid_request',
        param: 'model',
      });
    }),
  );
});

test.each(['mine\r\n', 'mine\n', 'mine\r', '\r\n'])(
  'says that the model %j ends with a line break',
  (value) => {
    const refused = refusalOf(encode([{ name: 'model', bytes: Buffer.from(value) }]));
    expect(refused?.message).toContain('must not end with a line break');
    expect(refused).toMatchObject({ code: 'invalid_request', param: 'model' });
  },
);

test('a form may not say where the call goes or with which key', () => {
  fc.assert(
    fc.property(
      fieldsWithModel,
      fc.constantFrom(...forbiddenNames),
      bytes,
      ({ before, field, after }, name, value) => {
        const body = encode([...before, { name, bytes: value }, field, ...after]);
        expect(refusalOf(body)).toMatchObject({ code: 'invalid_request', param: name });
      },
    ),
  );
});

const part = (head: string, value = 'gpt-4o') =>
  Buffer.from(`--${boundary}\r\n${head}\r\n\r\n${value}\r\n--${boundary}--\r\n`);

test.each([
  ['two names', part('Content-Disposition: form-data; name="file"; name="model"')],
  ['an extended name', part(`Content-Disposition: form-data; name="file"; name*=UTF-8''model`)],
  ['no disposition', part('Content-Type: text/plain')],
  [
    'two dispositions',
    part('Content-Disposition: form-data; name="file"\r\nContent-Disposition: form-data; name="model"'),
  ],
  [
    'a head that is the content of a part without one',
    Buffer.from(
      `--${boundary}\r\n\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4o\r\n--${boundary}--\r\n`,
    ),
  ],
  [
    'a part whose end is the blank line after its head',
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="file"\r\n\r\n--${boundary}--\r\n`),
  ],
  ['no name', part('Content-Disposition: form-data')],
  ['no end', Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4o`)],
  [
    'a delimiter behind a lone line feed in front',
    Buffer.concat([Buffer.from('x\n'), part('Content-Disposition: form-data; name="model"')]),
  ],
  ['nothing', Buffer.alloc(0)],
])('a form that two parsers could read differently is refused: %s', (_, body) => {
  expect(refusalOf(body)).toMatchObject({ code: 'invalid_request', status: 400 });
});

test.each([
  'multipart/form-data',
  'multipart/form-data; boundary=',
  'multipart/form-data; boundary=a b',
  'multipart/form-data; boundary="\u00e9"',
])('a content type without a usable boundary is refused: %s', (type) => {
  expect(refusalOf(encode([]), type).code).toBe('invalid_request');
});

test('a body that was cut is refused, or read as far as the standard parser reads it', () => {
  fc.assert(
    fc.property(fieldsWithModel, fc.nat(), ({ before, field, after }, at) => {
      const body = encode([...before, field, ...after]);
      // Without the last line break the form is still whole.
      const cut = body.subarray(0, at % (body.length - 3));
      expect(refusalOf(cut).code).toBe('invalid_request');
    }),
  );
});

test('a form of more than a thousand parts is refused', () => {
  const fields = Array.from({ length: 1_001 }, (): Field => ({ name: 'n', bytes: Buffer.from('1') }));
  expect(refusalOf(encode(fields)).message).toMatch(/1000 parts/);
  expect(readFormModel(encode(fields.slice(0, 1_000)), contentType).model).toBeUndefined();
});

const ambiguous = (name: string, more = '') =>
  part(`Content-Disposition: form-data; name="${name}"${more}`, 'gpt-4o');

test.each(['Model', 'MODEL', ' model', 'model ', 'model[]', 'model[0]', 'ｍodel', 'mo\u200bdel'])(
  'a field that a lenient provider takes for the model is refused: %s',
  (name) => {
    expect(refusalOf(ambiguous(name))).toMatchObject({ code: 'invalid_request', param: 'model' });
  },
);

test.each(['API_KEY', 'api.key', 'api key', 'Api_Base ', 'litellm_params[model]', 'api_\u212aey'])(
  'a forbidden field in another spelling is refused: %s',
  (name) => {
    expect(refusalOf(ambiguous(name)).message).toContain('may not be set by a call');
  },
);

test.each([
  ['a percent sign in the name', ambiguous('mod%65l')],
  ['a backslash in the name', ambiguous('mo\\del')],
  ['a field that changes the character set', ambiguous('_charset_')],
  ['a model that is a file', ambiguous('model', '; filename="x"')],
  ['a model that is a file by its extended name', ambiguous('model', "; filename*=utf-8''x")],
  ['a model in another character set', ambiguous('model', '\r\nContent-Type: text/plain; charset=utf-16')],
  ['a model that is JSON', ambiguous('model', '\r\nContent-Type: application/json')],
  ['a part in base64', ambiguous('prompt', '\r\nContent-Transfer-Encoding: base64')],
  ['a part that is quoted-printable', ambiguous('model', '\r\ncontent-transfer-encoding: Quoted-Printable')],
  ['a form in a form', ambiguous('files', '\r\nContent-Type: multipart/mixed; boundary=x')],
  ['a header that stands twice', ambiguous('file', '\r\nContent-Type: a/b\r\ncontent-type: c/d')],
  ['a space before the colon', part('Content-Disposition : form-data; name="model"')],
  ['a folded line', part('Content-Disposition: form-data;\r\n name="model"')],
  ['another disposition', part('Content-Disposition: attachment; name="model"')],
  ['an unknown parameter', ambiguous('file', '; x-name=model')],
  ['a continued name', part('Content-Disposition: form-data; name*0="mo"; name*1="del"')],
  [
    'a name that only a regular expression finds',
    part('Content-Disposition: form-data; filename="; name=model"; name="file"'),
  ],
  ['an escaped quotation mark that a browser ends at', ambiguous('file', '; filename="\\"; name=\\"model"')],
  ['a boundary behind a lone line feed', ambiguous(`file"\r\n\r\nx\n--${boundary}\r\n`)],
  [
    'a boundary behind a lone carriage return',
    part('Content-Disposition: form-data; name="file"', `x\r--${boundary}\r\n`),
  ],
  ['a boundary in a head', ambiguous('file', `; filename="--${boundary}"`)],
  [
    'a boundary with padding',
    Buffer.from(`--${boundary} \r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--${boundary}--`),
  ],
  ['a boundary that goes on', part('Content-Disposition: form-data; name="file"', `x\r\n--${boundary}X`)],
  [
    'a part behind the end',
    Buffer.concat([
      part('Content-Disposition: form-data; name="a"'),
      part('Content-Disposition: form-data; name="model"'),
    ]),
  ],
  [
    'half a line break behind the end',
    Buffer.concat([part('Content-Disposition: form-data; name="a"'), Buffer.from('\r')]),
  ],
  [
    'a model that is not UTF-8',
    Buffer.concat([
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n`),
      Buffer.from([0xff]),
      Buffer.from(`\r\n--${boundary}--`),
    ]),
  ],
])('a form that another parser reads differently is refused: %s', (_, body) => {
  expect(refusalOf(body)).toMatchObject({ code: 'invalid_request', status: 400 });
});

/** Bytes that are copied while a form is read in chunks of one byte. */
function copiedFor(form: Buffer): number {
  const copy = vi.spyOn(Buffer.prototype, 'copy');
  const concat = vi.spyOn(Buffer, 'concat');
  try {
    const scanner = new FormScanner(contentType);
    const collector = new ByteCollector();
    for (let at = 0; at < form.length; at++) {
      for (const { bytes } of scanner.feed(form.subarray(at, at + 1))) collector.add(bytes);
    }
    scanner.end();
    const sources = copy.mock.contexts as unknown as Buffer[];
    const copied = sources.reduce((sum, source) => sum + source.length, 0);
    const joined = concat.mock.calls.flatMap(([list]) => list).reduce((sum, { length }) => sum + length, 0);
    expect(collector.take().equals(form)).toBe(true);
    return copied + joined;
  } finally {
    copy.mockRestore();
    concat.mockRestore();
  }
}

test.each([
  ['a file', (size: number) => encode([{ name: 'file', bytes: Buffer.alloc(size * 10, 'x') }])],
  [
    'a head',
    (size: number) => encode([{ name: 'file', filename: 'x'.repeat(size / 2), bytes: Buffer.alloc(1) }]),
  ],
  ['a model', (size: number) => encode([{ name: 'model', bytes: Buffer.alloc(size / 2, 'm') }])],
  [
    'what looks like delimiters',
    (size: number) => encode([{ name: 'file', bytes: Buffer.alloc(size * 10, '\r\n--') }]),
  ],
])('the work for %s in chunks of one byte grows with its size and no faster', (_, form) => {
  expect(copiedFor(form(8_000)) / copiedFor(form(4_000))).toBeLessThan(2.6);
});

test('heads are bounded together, since each byte of them is looked at', () => {
  const fields = Array.from(
    { length: 200 },
    (): Field => ({ name: 'n', filename: 'x'.repeat(4_000), bytes: Buffer.from('1') }),
  );
  expect(refusalOf(encode(fields)).message).toContain('too long');
});

test('a boundary in the middle of a line is content', () => {
  const bytes = Buffer.from(`x--${boundary}\r\nx--${boundary}--`);
  const body = encode([
    { name: 'file', bytes },
    { name: 'model', bytes: Buffer.from('mine') },
  ]);
  expect(readFormModel(body, contentType).model).toBe('mine');
});
