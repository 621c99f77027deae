import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sharedShape } from '../../src/calls/body/shared-fields.ts';
import { scanBody } from '../../src/calls/json/body.ts';
import { RouterError } from '../../src/errors.ts';
import { runs } from '../support/runs.ts';

const responses = sharedShape('responses.create');

function refusalOf(text: string): RouterError | undefined {
  try {
    scanBody(Buffer.from(text), responses);
    return undefined;
  } catch (error) {
    if (RouterError.isInstance(error)) return error;
    throw error;
  }
}

const atTop = [
  'model',
  'stream',
  'store',
  'background',
  'prompt',
  'api_key',
  'api_base',
  'base_url',
  'litellm_params',
  'previous_response_id',
  'conversation',
  'training_file',
  'input_file_id',
  'file_ids',
];
const nested = ['file_id', 'vector_store_ids', 'id', 'type', 'container', 'encrypted_content'];

/** Every letter as another one that some parser takes for it. */
const likenesses: Record<string, string[]> = {
  i: ['I', 'İ', 'ı', 'ｉ'],
  k: ['K', '\u212a', 'ｋ'],
  s: ['S', 'ſ', 'ｓ'],
};
const variant = (name: string) =>
  fc
    .tuple(
      ...[...name].map((letter) =>
        fc.constantFrom(letter, ...(likenesses[letter] ?? [letter.toUpperCase()])),
      ),
    )
    .map((letters) => letters.join(''))
    .filter((text) => text !== name);
const quoted = (key: string) =>
  fc.constantFrom(
    JSON.stringify(key),
    `"${[...key].map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`,
  );

describe('a name that decides something, in another case', () => {
  it('is rejected at the top level, alone and with the name itself', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...atTop).chain((name) => fc.tuple(fc.constant(name), variant(name).chain(quoted))),
        fc.boolean(),
        ([name, key], beside) => {
          const first = beside && !name.startsWith('a') && name !== 'base_url' && name !== 'litellm_params';
          const error = refusalOf(`{${first ? `"${name}":"x",` : ''}${key}:true}`);
          expect(error).toMatchObject({ code: 'invalid_request', status: 400 });
          expect(error?.param).not.toBeNull();
        },
      ),
      { numRuns: runs(1_000) },
    );
  });

  it('is refused below the top level where fields are judged', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...nested).chain((name) => variant(name).chain(quoted)),
        fc.constantFrom('input', 'tools', 'messages'),
        (key, place) => {
          expect(refusalOf(`{"${place}":[{"content":[{${key}:"x"}]}]}`)?.code).toBe(
            place === 'tools' ? undefined : 'invalid_request',
          );
          expect(refusalOf(`{"${place}":[{${key}:"x"}]}`)?.code).toBe('invalid_request');
        },
      ),
    );
  });

  it.each([
    ['a ligature', '{"ﬆore":true}'],
    ['Go: the long s', '{"model":"mine","ſtream":true}'],
    ['Go: the Kelvin sign', '{"api_\u212aey":"x"}'],
    ['C: what stands behind a NUL', '{"model\\u0000x":"theirs"}'],
    ['a space behind it', '{"model ":"theirs"}'],
    ['an invisible character within it', '{"mo\\u200bdel":"theirs"}'],
    ['only the other spelling', '{"MODEL":"theirs"}'],
  ])('is refused: %s', (_, text) => {
    expect(refusalOf(text)).toMatchObject({ code: 'invalid_request', param: expect.any(String) });
  });

  it('is allowed where any value is allowed', () => {
    const schema = '{"type":"object","properties":{"ID":{"Type":"string"},"File_ID":{},"Conversation":{}}}';
    const text = `{"metadata":{"MODEL":"x","Id":"y"},"tools":[{"type":"function","name":"f","parameters":${schema}}]}`;
    expect(refusalOf(text)).toBeUndefined();
  });

  it('says how it must be written', () => {
    expect(refusalOf('{"Model":"x"}')?.message).toBe('"Model" must be written "model".');
  });
});
