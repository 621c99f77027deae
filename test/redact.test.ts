import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, RouterError, TeamModelRouter } from 'team-model-router';
import { expect, it } from 'vitest';
import { redactCredentials } from '../src/redact/credential-patterns.ts';
import { mask } from '../src/redact/mask.ts';
import { Redactor } from '../src/redact/redactor.ts';
import { recordingProvider } from './support/recording-provider.ts';

const secret = 'q"u\\o/te+d k&y-9f3a';

const redactor = (...secrets: string[]) =>
  new Redactor(secrets.map((value) => ({ value, mask: mask(value), inAnswers: true })));

const forms: Record<string, (text: string) => string> = {
  'as it is': (text) => text,
  'in JSON': (text) => JSON.stringify({ text }),
  'in JSON inside of JSON': (text) => JSON.stringify(JSON.stringify({ text })),
  'in a URL': (text) => `?key=${encodeURIComponent(text)}`,
  'in a form': (text) => new URLSearchParams({ text }).toString(),
  'in hex': (text) => Buffer.from(text).toString('hex'),
  'in base64': (text) => Buffer.from(text).toString('base64'),
  'in base64 of a header': (text) =>
    Buffer.from(`authorization: Bearer ${text}\r\nhost: x`).toString('base64'),
  'in base64url, one byte behind': (text) => Buffer.from(`.${text}.`).toString('base64url'),
  'in base64, two bytes behind': (text) => Buffer.from(`..${text}`).toString('base64'),
};

it.each(Object.entries(forms))('a known secret is replaced %s', (_, write) => {
  const written = `before ${write(secret)} after`;
  const redacted = redactor('other-secret', secret).text(written);
  expect(redacted).toMatch(/^before .*\.\.\..* after$/s);
  // Half of it is not left either.
  for (const part of [secret.slice(0, 10), secret.slice(-10)]) {
    for (const form of [part, encodeURIComponent(part), Buffer.from(part).toString('hex')])
      expect(redacted).not.toContain(form);
  }
  expect(redacted.length).toBeLessThan(written.length);
});

it('what is not the secret stays as it is, byte for byte', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (before, after) => {
      const around = (middle: string) => Buffer.concat([before, Buffer.from(middle), after]);
      fc.pre(!/sk-|Bearer|Basic|tmr1|:\/\//i.test(around('').toString('latin1')));
      expect(redactor(secret).bytes(around(' \u00fc '))).toEqual(around(' \u00fc '));
      expect(redactor(secret).bytes(around(` ${secret} `))).toEqual(around(' ... '));
    }),
  );
});

it('the longer of two secrets goes first, and a short one tears nothing apart', () => {
  expect(redactor('long-secret', 'long-secret-value', 'a').text('a long-secret-value')).toBe('a ...');
});

it.each([
  ['No key sk-0123456789abcdefcb07 here', 'No key sk-...cb07 here'],
  ['authorization: Bearer eyJhbGciOi.J9.abc-def_123==', 'authorization: Bearer ...'],
  ['basic dXNlcjpwYXNzd29yZA==!', 'basic ...!'],
  ['https://user:password@db.example/x', 'https://...@db.example/x'],
  ['tmr1.k1.c2FsdA.aXY.Y2lwaGVy.dGFn', 'tmr1...'],
  ['my task-0123456789012345678901234 stays', 'my task-0123456789012345678901234 stays'],
  ['There is no model "sk-gpt".', 'There is no model "sk-gpt".'],
  ['see https://docs.example/a@b', 'see https://docs.example/a@b'],
])('what gives itself away is replaced unasked: %s', (text, expected) => {
  expect(redactCredentials(text)).toBe(expected);
  const error = new RouterError('invalid_request', text, { param: text });
  expect([error.message, error.param, error.toJSON().error.message]).toEqual([expected, expected, expected]);
  expect(error.stack).toContain(expected);
});

it('an error that is too long to pass on whole does not end in half a secret', async () => {
  const key = `sk-${'0123456789abcdef'.repeat(500)}`;
  const provider = await recordingProvider(({ headers }, response) => {
    response.writeHead(400, { 'content-type': 'text/plain', 'x-request-id': headers['x-own'] });
    // The pieces are read one by one: the limit is passed in the middle of the echo.
    response.write('x'.repeat(258_000));
    response.write(`${headers.authorization}`.slice(0, 6_000), () =>
      response.end(`${headers.authorization}`.slice(6_000)),
    );
  });
  const router = new TeamModelRouter({
    storage: memoryStorage(),
    encryptionKeys: [generateEncryptionKey()],
    egress: { allow: [provider.url] },
  });
  const params = { model: 'm', api_key: key, api_base: provider.url, extra_headers: { 'x-own': secret } };
  await router.addModel('acme', { model_name: 'm', litellm_params: params });
  const call = { method: 'POST', path: '/v1/chat/completions', query: new URLSearchParams() };
  const headers = new Headers({ 'content-type': 'application/json' });
  const { body, ...answer } = await router.dispatch(
    { teamId: 'acme' },
    { ...call, headers, body: Buffer.from('{"model":"m","messages":[]}') },
  );
  expect(answer).toMatchObject({ status: 400, headers: { 'x-request-id': '...' } });
  expect(String(body)).toMatch(/^x+Bearer $/);
  expect(String(body).length).toBeGreaterThan(200_000);
  await router.close();
  await provider.close();
});

it('a long error is redacted in slices as it is in one go, wherever a slice ends', async () => {
  const slice = 65_536;
  const place = fc.integer({ min: -120, max: 120 });
  const written = fc.constantFrom(...Object.values(forms));
  await fc.assert(
    fc.asyncProperty(place, written, written, fc.boolean(), async (at, first, second, complete) => {
      const filling = 'word '.repeat(slice / 5 + 40);
      const text = `${filling.slice(0, slice + at)}${first(secret)} ${filling.slice(0, slice - 60)}${second(secret)}`;
      let turns = 0;
      const turn = async () => void turns++;
      const sliced = await redactor(secret).bytesInSlices(Buffer.from(text), complete, turn);
      expect(sliced.toString()).toBe(redactor(secret).bytes(Buffer.from(text), complete).toString());
      expect(turns).toBeGreaterThanOrEqual(2);
    }),
    { numRuns: 60 },
  );
});
