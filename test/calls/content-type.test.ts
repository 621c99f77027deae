import { describe, expect, it } from 'vitest';
import { boundaryOf, formContentType, isForm, mediaTypeOf } from '../../src/calls/form/content-type.ts';

describe('boundaryOf', () => {
  it.each([
    ['multipart/form-data; boundary=B', 'B'],
    ['multipart/form-data;boundary="B"', 'B'],
    ['multipart/form-data; boundary=a:b', 'a:b'],
    ['multipart/form-data; charset=utf-8;boundary=----=_Part_0_1.2 ; ', '----=_Part_0_1.2'],
    ['Multipart/Form-Data ; BOUNDARY="a:b=c?" ; charset=utf-8', 'a:b=c?'],
    [
      'multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW;',
      '----WebKitFormBoundary7MA4YWxkTrZu0gW',
    ],
  ])('reads %s', (type, boundary) => {
    expect(boundaryOf(type)).toBe(boundary);
    expect(boundaryOf(formContentType(boundary))).toBe(boundary);
  });

  it.each([
    'multipart/form-data',
    'multipart/form-data;',
    'multipart/form-data; x-boundary=A; boundary=B',
    'multipart/form-data; boundary=B; x-boundary=A',
    'multipart/form-data; boundary=A; boundary=B',
    'multipart/form-data; boundary=A; Boundary=A',
    'multipart/form-data; boundary*=A; boundary=B',
    "multipart/form-data; boundary*=utf-8''A",
    'multipart/form-data; boundary*0=A; boundary*1=B',
    'multipart/form-data; charset="; boundary=A"; boundary=B',
    'multipart/form-data; boundary="a\\b"',
    'multipart/form-data; boundary="a b"',
    'multipart/form-data; boundary=""',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=A x',
    'multipart/form-data; boundary="A"B',
    'multipart/form-data; boundary=a@b',
    'multipart/form-data; boundary=a:b c',
    'multipart/form-data; boundary = A',
    'multipart/form-data, multipart/form-data; boundary=A',
    'multipart/form-data; boundary=A, multipart/form-data; boundary=B',
    'multipart/form-data boundary=A',
    'application/json; multipart/form-data; boundary=A',
    `multipart/form-data; boundary=${'a'.repeat(71)}`,
    `multipart/form-data; boundary=A${' '.repeat(9000)}`,
  ])('refuses %s', (type) => {
    expect(() => boundaryOf(type)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'content-type' }),
    );
  });
});

describe('mediaTypeOf', () => {
  it.each([
    ['application/json', 'application/json'],
    ['Application/JSON; charset=utf-8', 'application/json'],
    ['application/json;', 'application/json'],
    ['multipart/form-data , application/json', undefined],
    ['application/json, multipart/form-data; boundary=A', undefined],
    ['application/json; multipart/form-data', undefined],
    ['json', undefined],
    ['', undefined],
    [null, undefined],
  ])('reads %s as %s', (type, expected) => {
    expect(mediaTypeOf(type)).toBe(expected);
  });
});

describe('isForm', () => {
  it('refuses a header that another reader could take for a form', () => {
    expect(() => isForm('multipart/form-data , application/json')).toThrow('content-type');
    expect(() => isForm('application/json; multipart/form-data')).toThrow('content-type');
    expect(isForm('multipart/form-data;')).toBe(true);
    expect(isForm('multipart/form-data-x; boundary=A')).toBe(false);
    expect(isForm(null)).toBe(false);
  });
});
