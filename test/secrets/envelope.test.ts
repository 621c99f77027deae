import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyIdOf, type SealContext, seal, unseal } from '../../src/secrets/envelope.ts';
import { generateEncryptionKey, KeyRing } from '../../src/secrets/keyring.ts';
import { runs } from '../support/runs.ts';

const ring = new KeyRing([generateEncryptionKey('primary')]);

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const optional = fc.option(fc.oneof(text, fc.constant('null')), { nil: null });
const contexts: fc.Arbitrary<SealContext> = fc.record({
  teamId: optional,
  deploymentId: text,
  field: text,
  provider: text,
  base: fc.webUrl(),
  organization: optional,
  project: optional,
  tenantId: optional,
  clientId: optional,
});

const refused = (token: string, context: SealContext) => {
  expect(() => unseal(ring, token, context)).toThrow(
    expect.objectContaining({ code: 'credential_unreadable' }),
  );
};

describe('a sealed secret', () => {
  it('opens for the context it was sealed for, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), contexts, (secret, context) => {
        const token = seal(ring, secret, context);
        expect(token).toMatch(/^tmr1\.primary(\.[\w-]*){4}$/);
        expect(unseal(ring, token, { ...context })).toBe(secret);
      }),
      { numRuns: runs(300) },
    );
  });

  it("does not open in another team's, deployment's, field's or destination's place", () => {
    fc.assert(
      fc.property(
        text,
        contexts,
        contexts,
        fc.constantFrom<keyof SealContext>(
          'teamId',
          'deploymentId',
          'field',
          'provider',
          'base',
          'organization',
          'project',
          'tenantId',
          'clientId',
        ),
        (secret, context, other, field) => {
          fc.pre(context[field] !== other[field]);
          refused(seal(ring, secret, context), { ...context, [field]: other[field] });
        },
      ),
      { numRuns: runs(1_000) },
    );
  });

  it('does not open for shared deployments because a team is called null', () => {
    const context = fc.sample(contexts, 1)[0] as SealContext;
    refused(seal(ring, 'secret', { ...context, teamId: null }), { ...context, teamId: 'null' });
  });

  it('does not open with any single bit of it flipped', () => {
    fc.assert(
      fc.property(
        text,
        contexts,
        fc.nat(),
        fc.integer({ min: 0, max: 7 }),
        (secret, context, position, bit) => {
          const bytes = Buffer.from(seal(ring, secret, context), 'latin1');
          const at = position % bytes.length;
          bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
          refused(bytes.toString('latin1'), context);
        },
      ),
      { numRuns: runs(1_000) },
    );
  });

  it('does not open with a tag, a salt or an iv of another length, or a part more', () => {
    const context = fc.sample(contexts, 1)[0] as SealContext;
    const parts = seal(ring, 'secret', context).split('.');
    for (const [index, bytes] of [
      [2, 15],
      [3, 11],
      [5, 4],
      [5, 12],
    ] as const) {
      const cut = [...parts];
      cut[index] = Buffer.from(cut[index] ?? '', 'base64url')
        .subarray(0, bytes)
        .toString('base64url');
      refused(cut.join('.'), context);
    }
    refused([...parts, ''].join('.'), context);
    for (const garbage of ['', 'sk-plain', '....', 'tmr1.primary....', 'tmr2.x.y.z.a.b'])
      refused(garbage, context);
  });

  it('in the form of version 1 opens for ever', () => {
    const fixed = new KeyRing([{ id: 'k1', key: Buffer.alloc(32, 7).toString('base64') }]);
    const context: SealContext = {
      teamId: 'acme',
      deploymentId: 'd-1',
      field: 'api_key',
      provider: 'openai',
      base: 'https://api.openai.com/v1',
      organization: null,
      project: null,
      tenantId: null,
      clientId: null,
    };
    expect(unseal(fixed, KNOWN_TOKEN, context)).toBe('sk-known-answer');
  });

  it('opens under a ring in which its key is no longer primary', () => {
    const old = generateEncryptionKey('old');
    const context = fc.sample(contexts, 1)[0] as SealContext;
    const token = seal(new KeyRing([old]), 'secret', context);
    const rotated = new KeyRing([generateEncryptionKey('new'), old]);
    expect(unseal(rotated, token, context)).toBe('secret');
    expect(keyIdOf(token)).toBe('old');
    expect(keyIdOf(seal(rotated, 'secret', context))).toBe('new');
    refused(token, context);
  });
});

const KNOWN_TOKEN =
  'tmr1.k1.IauB3B-cO402ulN85tit2Q.3Ldn8F_1yt8K9dhJ.woAxFFhZi1BbL7HByn-j._vROCaibm5npoPTlfDK9XQ';

describe('a key ring', () => {
  const good = generateEncryptionKey('good');

  it.each([
    ['no keys', [], 'encryptionKeys'],
    ['31 bytes', [{ id: 'k', key: Buffer.alloc(31).toString('base64') }], 'encryptionKeys[0].key'],
    ['33 bytes', [{ id: 'k', key: Buffer.alloc(33).toString('base64') }], 'encryptionKeys[0].key'],
    ['hex', [{ id: 'k', key: 'ab'.repeat(32) }], 'encryptionKeys[0].key'],
    ['stray characters', [{ id: 'k', key: `${good.key} ` }], 'encryptionKeys[0].key'],
    ['an id with a dot', [good, { ...good, id: 'a.b' }], 'encryptionKeys[1].id'],
    ['one id twice', [good, { ...generateEncryptionKey(), id: 'good' }], 'encryptionKeys[1].id'],
    ['no entry', [good, undefined], 'encryptionKeys[1].id'],
  ])('refuses %s and never repeats a key', (_, keys, param) => {
    let thrown: unknown;
    try {
      new KeyRing(keys as never);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'invalid_request', param });
    for (const key of keys) if (key?.key) expect(inspect(thrown, { depth: null })).not.toContain(key.key);
  });

  it('shows nothing of its keys', () => {
    const own = new KeyRing([good]);
    const bytes = Buffer.from(good.key, 'base64');
    const shown = inspect(own, { showHidden: true, depth: null }) + JSON.stringify(own);
    for (const form of [good.key, bytes.toString('hex'), bytes.toString('base64url')]) {
      expect(shown).not.toContain(form);
    }
  });
});
