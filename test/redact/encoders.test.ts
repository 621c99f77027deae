import { describe, expect, it } from 'vitest';
import { Redactor } from '../../src/redact/redactor.ts';
import recorded from '../fixtures/encoded-secrets.json' with { type: 'json' };

const secrets: Record<string, string> = recorded.secrets;
const redactorOf = (value: string) => new Redactor([{ value, mask: '<mask>', inAnswers: true }]);
const redactors = new Map(Object.entries(secrets).map(([name, value]) => [name, redactorOf(value)]));

describe.each(Object.entries(recorded.versions))('encoders of %s', (language) => {
  const forms = recorded.forms.filter((form) => form.language === language);

  it.each(forms)('$how of "$secret" is replaced in errors, and covered in answers', ({ secret, text }) => {
    const redactor = redactors.get(secret);
    const bytes = Buffer.from(`before: ${text} after`);
    const redacted = String(redactor?.bytes(bytes));
    expect(redacted).toMatch(/^before: [\s\S]*<mask>[\s\S]* after$/);
    const covered = redactor?.cover(bytes) ?? bytes;
    expect(covered.length).toBe(bytes.length);
    expect(String(covered)).toMatch(/^before: [\s\S]*\*{20}[\s\S]* after$/);
    // What is left of both is what stood around the secret.
    expect(redacted.split('<mask>')[0]).toBe(String(covered).split('*')[0]);
  });
});

describe('a secret of which each character is or is not escaped', () => {
  const secret = secrets.token ?? '';
  const hex = (character: string) => (character.codePointAt(0) ?? 0).toString(16).padStart(2, '0');
  const percent = (character: string) =>
    encodeURIComponent(character).replace(/^[^%]$/, `%${hex(character)}`);
  const escapes: Record<string, (character: string) => string> = {
    'JSON, lower case': (character) => `\\u00${hex(character)}`,
    'JSON, upper case': (character) => `\\u00${hex(character).toUpperCase()}`,
    'JSON inside of JSON': (character) => `\\\\u00${hex(character)}`,
    'JSON three deep': (character) => `\\\\\\\\u00${hex(character)}`,
    'percent, lower case': (character) => percent(character).toLowerCase(),
    'percent, twice': (character) => encodeURIComponent(percent(character)),
    'HTML, decimal': (character) => `&#${character.codePointAt(0)};`,
    'HTML, hexadecimal with zeros': (character) => `&#x00${hex(character)};`,
    'HTML, twice': (character) => `&amp;#${character.codePointAt(0)};`,
  };

  it.each(Object.entries(escapes))('%s', (_, write) => {
    // Any mixture: every second, third ... character, and all of them.
    for (let every = 1; every <= 8; every++) {
      const text = [...secret]
        .map((character, at) => (at % every === 0 ? write(character) : character))
        .join('');
      const redactor = redactorOf(secret);
      expect(String(redactor.bytes(Buffer.from(`[${text}]`)))).toBe('[<mask>]');
      expect(String(redactor.cover(Buffer.from(`[${text}]`)))).toMatch(/^\[\*+\]$/);
    }
  });

  it('each character in another way', () => {
    const ways = Object.values(escapes);
    const text = [...secret].map((character, at) => ways[at % ways.length]?.(character)).join('');
    expect(String(redactorOf(secret).bytes(Buffer.from(`[${text}]`)))).toBe('[<mask>]');
  });
});

it('a secret is found behind what looks like the beginning of an escape', () => {
  for (const secret of [
    '41b2c3d4e5f60718293a4b5c6d7e8f90',
    'u0041-secret+value/0123',
    'x2b-secret-0123456789',
  ]) {
    for (const before of ['%', '\\', '\\\\', '&', '%2', '\\u00', '100%25'])
      expect(String(redactorOf(secret).bytes(Buffer.from(`${before}${secret}.`)))).not.toContain(
        secret.slice(-12),
      );
  }
});

it('a secret without ASCII is found as it is, misread, and escaped', () => {
  const secret = 'пароль-ключ';
  const misread = Buffer.from(Buffer.from(secret).toString('latin1')).toString();
  const escaped = secret.replace(/[^-]/g, (letter) => `\\u0${letter.charCodeAt(0).toString(16)}`);
  for (const text of [
    secret,
    misread,
    escaped,
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
  ])
    expect(redactorOf(secret).text(`a ${text} b`)).toBe('a <mask> b');
});
