import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type BodyScan, scanBody } from '../../src/calls/json/body.ts';
import { forbiddenNames, isCallControl } from '../../src/calls/json/control-names.ts';
import { writeBody } from '../../src/calls/json/writer.ts';
import { RouterError } from '../../src/errors.ts';
import { runs } from '../support/runs.ts';

const scanText = (text: string) => scanBody(Buffer.from(text));
const writeText = (text: string, scan: BodyScan, model: string, extra?: Record<string, unknown>) =>
  Buffer.concat([writeBody(Buffer.from(text), scan, { model, extra })].flat()).toString();

const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/);

/** The JSON of a string, each character plain or as an escape. */
const quoted = (value: string): fc.Arbitrary<string> =>
  fc
    .array(fc.boolean(), { minLength: value.length, maxLength: value.length })
    .map(
      (escapes) =>
        `"${[...value.split('')].map((unit, index) => written(unit, escapes[index] === true)).join('')}"`,
    );

function written(unit: string, escaped: boolean): string {
  if (escaped) return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  if (unit === '/') return '\\/';
  return JSON.stringify(unit).slice(1, -1);
}

const word = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom(
    'model',
    'stream',
    '"',
    '\\',
    '\\"',
    '\\\\',
    '}',
    '{"model":"x"}',
    ']',
    ',',
    '__proto__',
    'é🙂',
    '',
  ),
);
/**
 * A key for texts that are compared with what `JSON.parse` makes of them: once V8 has read a key that begins with a
 * backslash, it may take another one, written with escapes, for that.
 *
 * @see https://github.com/nodejs/node/issues/63785
 */
const keyWord = word.filter((key) => !key.includes('\\'));
const scalar = fc.oneof(
  word.chain(quoted),
  fc.constantFrom(
    'true',
    'false',
    'null',
    '0',
    '-0',
    '1e400',
    '-1E+2',
    '1.50',
    '123456789012345678901234567890',
  ),
);

/** JSON text of a value, with space wherever JSON allows some. */
const { value: jsonValue } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc
      .array(fc.tuple(space, tie('value'), space), { maxLength: 3 })
      .map((items) => `[${items.map((parts) => parts.join('')).join(',')}]`),
    fc
      .array(fc.tuple(space, keyWord.chain(quoted), space, space, tie('value'), space), { maxLength: 3 })
      .map(
        (items) =>
          `{${items.map(([a, key, b, c, value, d]) => `${a}${key}${b}:${c}${value}${d}`).join(',')}}`,
      ),
  ),
}));

interface Member {
  key: string;
  text: string;
}

const otherMember = fc
  .tuple(
    keyWord.filter((key) => key !== 'model' && !isCallControl(key)),
    space,
    space,
    space,
    jsonValue,
    space,
  )
  .chain(([key, a, b, c, value, d]) =>
    quoted(key).map((name): Member => ({ key, text: `${a}${name}${b}:${c}${value}${d}` })),
  );
const others = fc.uniqueArray(otherMember, { selector: ({ key }) => key, maxLength: 6 });
const modelMember = (model: string) =>
  fc
    .tuple(space, quoted('model'), space, space, quoted(model), space)
    .map(([a, name, b, c, value, d]): Member => ({ key: 'model', text: `${a}${name}${b}:${c}${value}${d}` }));

const modelName = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
  fc.constantFrom('gpt-4o', 'a/b', '\\', '"'),
);
const objectWithModel = fc
  .tuple(modelName, others, fc.nat(), space, space)
  .chain(([model, rest, position, before, after]) =>
    modelMember(model).map((member) => {
      const at = position % (rest.length + 1);
      const members = [...rest.slice(0, at), member, ...rest.slice(at)];
      return `${before}{${members.map(({ text }) => text).join(',')}}${after}`;
    }),
  );
const objectWithout = fc
  .tuple(others, space, space)
  .map(([members, before, after]) => `${before}{${members.map(({ text }) => text).join(',')}}${after}`);

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function refusalOf(text: string): RouterError {
  try {
    scanText(text);
  } catch (error) {
    if (RouterError.isInstance(error)) return error;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
}

test('a body is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.oneof(objectWithModel, objectWithout), (text) => {
      const value = JSON.parse(text) as Record<string, unknown>;
      const scan = scanText(text);
      expect([...scan.keys.keys()].sort()).toEqual(Object.keys(value).sort());
      const bytes = Buffer.from(text);
      for (const [key, [start, end]] of scan.keys)
        expect(JSON.parse(bytes.toString('utf8', start, end))).toEqual(value[key]);
      expect(scan.model?.value).toBe(value.model);
      expect(scan.stream).toBe(value.stream === true);
      expect(text.slice(0, scan.open).trim()).toBe('{');
    }),
    { numRuns: runs(2_000) },
  );
});

test('keys with backslashes are read, each on its own', () => {
  const text = String.raw`{"\\":1,"\"":2,"\\n":3,"\n":4,"\\u006dodel":5,"\u006dodel":"mine"}`;
  const scan = scanText(text);
  expect([...scan.keys.keys()]).toEqual(['\\', '"', '\\n', '\n', '\\u006dodel', 'model']);
  expect(scan.model?.value).toBe('mine');
});

test('only the model is replaced: every other character stays where it was', () => {
  fc.assert(
    fc.property(objectWithModel, modelName, (text, next) => {
      const scan = scanText(text);
      if (scan.model === undefined) throw new Error('the model was not found');
      const replaced = writeText(text, scan, next);
      expect(JSON.parse(replaced)).toEqual({ ...JSON.parse(text), model: next });
      const bytes = Buffer.from(text);
      const head = bytes.toString('utf8', 0, scan.model.start);
      expect(replaced).toBe(head + JSON.stringify(next) + bytes.toString('utf8', scan.model.end));
    }),
    { numRuns: runs(2_000) },
  );
});

test('numbers that JavaScript would change stay as they were written', () => {
  const rest = '"seed":12345678901234567890,"a":-0,"b":1e400,"c":1.0,"d":[1e400,{"e":-0.0}]';
  const text = `{"model":"mine",${rest}}`;
  expect(writeText(text, scanText(text), 'gpt-4o')).toBe(`{"model":"gpt-4o",${rest}}`);
});

test('a body that names no model gets one in front of everything else', () => {
  fc.assert(
    fc.property(objectWithout, (text) => {
      const scan = scanText(text);
      const comma = scan.keys.size === 0 ? '' : ',';
      const written = writeText(text, scan, 'gpt-4o');
      expect(written).toBe(`${text.slice(0, scan.open)}"model":"gpt-4o"${comma}${text.slice(scan.open)}`);
    }),
  );
});

test('a long body is written in pieces, which are the same bytes', () => {
  fc.assert(
    fc.property(objectWithModel, modelName, (text, model) => {
      const long = text.replace(/\}\s*$/, `,"long":"${'é'.repeat(40_000)}"}`);
      const scan = scanText(long);
      const written = writeBody(Buffer.from(long), scan, { model, extra: { user: 'u' } });
      expect(written).toHaveLength(2);
      const whole = Buffer.concat([written].flat()).toString();
      expect(JSON.parse(whole)).toEqual({ user: 'u', ...JSON.parse(long), model });
      expect(whole.endsWith(`${'é'.repeat(40_000)}"}`)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test('what a deployment adds goes under what the body says', () => {
  fc.assert(
    fc.property(
      objectWithModel,
      modelName,
      fc.dictionary(
        fc.constantFrom('user', 'stream', 'seed', 'top_p'),
        fc.jsonValue().filter((value) => !JSON.stringify(value).includes('\\')),
      ),
      (text, model, extra) => {
        const scan = scanText(text);
        const merged = writeText(text, scan, model, extra);
        // Through JSON, which has no -0.
        expect(JSON.parse(merged)).toEqual({
          ...JSON.parse(JSON.stringify(extra)),
          ...JSON.parse(text),
          model,
        });
        expect(scanText(merged).model?.value).toBe(model);
      },
    ),
  );
});

test('rejects a duplicate key in any spelling', () => {
  fc.assert(
    fc.property(
      objectWithModel.chain((text) => {
        const keys = [...scanText(text).keys.keys()];
        return fc
          .constantFrom(...keys)
          .chain((key) => fc.tuple(fc.constant(text), fc.constant(key), quoted(key), jsonValue));
      }),
      ([text, key, again, value]) => {
        const doubled = text.replace(/\}\s*$/, `,${again}:${value}}`);
        const error = refusalOf(doubled);
        expect(error.code).toBe('invalid_request');
        expect(error.param).toBe(key.slice(0, 64));
      },
    ),
  );
});

test.each([
  '{"model":"mine","model":"theirs"}',
  '{"model":"mine","m\\u006fdel":"theirs"}',
  '{"\\u006d\\u006F\\u0064\\u0065\\u006c":"mine","model":"theirs"}',
])('rejects a duplicate model: %s', (text) => {
  expect(refusalOf(text)).toMatchObject({ code: 'invalid_request', param: 'model' });
});

test('a call may not say where it goes or with which key', () => {
  expect([...forbiddenNames]).toEqual(
    expect.arrayContaining(['api_key', 'api_base', 'base_url', 'api_version']),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...forbiddenNames).chain((key) => fc.tuple(fc.constant(key), quoted(key))),
      objectWithModel,
      jsonValue,
      ([key, name], text, value) => {
        const given = text.replace(/\}\s*$/, `,${name}:${value}}`);
        if (value.trim() === 'null') expect(scanText(given).controls?.names).toContain(key);
        else expect(refusalOf(given)).toMatchObject({ code: 'invalid_request', param: key });
      },
    ),
  );
});

test("below the top level the same keys are the call's own business", () => {
  const text = '{"model":"mine","metadata":{"api_key":"a","model":"b","model":"c"}}';
  expect(scanText(text).model?.value).toBe('mine');
});

test('a text that was cut or changed is read as JSON.parse reads it, if both read it', () => {
  const damaged = fc
    .tuple(
      objectWithModel,
      fc.nat(),
      fc.nat(4),
      fc.constantFrom('', '"', '\\', '{', '}', '[', ']', ',', ':', 'model', '\u0000', '0', ' '),
    )
    .map(([text, at, length, put]) => {
      const start = at % (text.length + 1);
      return text.slice(0, start) + put + text.slice(start + length);
    })
    .filter((text) => !/\\\\|\\u005c/i.test(text)); // see keyWord
  let both = 0;
  fc.assert(
    fc.property(damaged, (text) => {
      const value = parsed(text);
      let scan: BodyScan | undefined;
      try {
        scan = scanText(text);
      } catch (error) {
        expect(RouterError.isInstance(error)).toBe(true);
        return;
      }
      if (value === undefined) return;
      both += 1;
      expect(scan.model?.value).toBe(value.model);
      expect([...scan.keys.keys()].sort()).toEqual(Object.keys(value).sort());
    }),
    { numRuns: runs(5_000) },
  );
  expect(both).toBeGreaterThan(runs(5_000) / 50);
});

test('a prefix of a body is never taken for the whole', () => {
  fc.assert(
    fc.property(objectWithModel, fc.nat(), (text, at) => {
      const cut = text.trimEnd().slice(0, at % text.trimEnd().length);
      expect(refusalOf(cut).code).toBe('invalid_request');
    }),
  );
});

test.each([
  '',
  ' ',
  'null',
  '[]',
  '"model"',
  '{',
  '{}{}',
  '{} x',
  '{"model"}',
  '{"model":}',
  '{"a":1,}',
  "{'model':'a'}",
  '{"a":undefined}',
  '{"a":NaN}',
  '\ufeff{}',
  '{"a":[}]}',
])('what is no JSON object is refused: %j', (text) => {
  expect(refusalOf(text)).toMatchObject({ code: 'invalid_request', status: 400 });
});

test.each(['1', '["mine"]', '{"name":"mine"}', 'true'])(
  'a model that is no string is refused: %s',
  (model) => {
    expect(refusalOf(`{"model":${model}}`)).toMatchObject({ code: 'invalid_request', param: 'model' });
  },
);
