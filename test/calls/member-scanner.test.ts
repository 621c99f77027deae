import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemberScanner } from '../../src/calls/json/member-scanner.ts';
import { createdIds } from '../../src/calls/json/object-ids.ts';

const keys = ['id', 'conversation', 'file', 'result_files'];
const name = fc.constantFrom(...keys, 'response', 'metadata', 'a"b\\c');
const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom('resp_1', 'file-2', 'ä"\\\n', '', 'x'.repeat(4_000)),
    fc.constantFrom(null, true, 1.5),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(name, tie('value'), { maxKeys: 5 }),
  ),
}));

describe('MemberScanner', () => {
  it('keeps members of the third level, and none below', () => {
    const scanner = new MemberScanner([...keys, 'response']);
    const text = Buffer.from(
      '{"response":{"conversation":{"id":"conv_1","file":{"id":"file-1"}}},"model":"m"}',
    );
    scanner.push(text, 0, text.length);
    expect(scanner.value).toEqual({ response: { conversation: { id: 'conv_1' } } });
  });

  it('finds the ids that JSON.parse finds, wherever the text is cut', () => {
    fc.assert(
      fc.property(anyValue, fc.integer({ min: 1, max: 50 }), (value, size) => {
        const bytes = Buffer.from(JSON.stringify(value));
        const scanner = new MemberScanner([...keys, 'response']);
        for (let at = 0; at < bytes.length; at += size) {
          scanner.push(bytes.subarray(at, at + size), 0, Math.min(size, bytes.length - at));
        }
        expect(createdIds(scanner.value, keys)).toEqual(createdIds(JSON.parse(bytes.toString()), keys));
      }),
    );
  });
});
