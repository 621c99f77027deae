import { createCipheriv, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { keyIdOf, type SealContext, seal, unseal } from '../../src/secrets/envelope.ts';
import { generateEncryptionKey, KeyRing, keyProblems } from '../../src/secrets/keyring.ts';
import { runs } from '../support/runs.ts';

let ring: KeyRing;
beforeEach(() => {
  ring = new KeyRing([generateEncryptionKey('primary')]);
});

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

describe('seal', () => {
  it('throws credential_unreadable if the ring has no primary key', () => {
    const empty = { primaryId: 'gone', get: () => undefined } as unknown as KeyRing;
    const context = fc.sample(contexts, 1)[0] as SealContext;
    expect(() => seal(empty, 'secret', context)).toThrow(
      expect.objectContaining({
        code: 'credential_unreadable',
        message: 'The stored credential cannot be decrypted. Enter it again.',
      }),
    );
  });
});

describe('unseal', () => {
  it('refuses another scheme, another number of parts and a non-canonical part', () => {
    const context = fc.sample(contexts, 1)[0] as SealContext;
    const [, ...parts] = seal(ring, 'secret', context).split('.');
    for (const token of [
      ['tmr2', ...parts],
      ['', ...parts],
      ['tmr1', ...parts.slice(0, 4)],
      ['tmr1', ...parts, 'AA'],
      ['tmr1', ...parts.slice(0, 3), `${parts[3]}=`, parts[4]],
      ['tmr1', 'unknown', ...parts.slice(1)],
    ])
      refused(token.join('.'), context);
  });
});

/** A token as `seal` makes it, with a salt and an iv of any length. */
function sealedWith(saltBytes: number, ivBytes: number, context: SealContext): string {
  const [salt, iv] = [randomBytes(saltBytes), randomBytes(ivBytes)];
  const key = Buffer.from(hkdfSync('sha256', ring.get('primary') as KeyObject, salt, 'tmr1', 32));
  const { teamId, deploymentId, field, provider, base, organization, project, tenantId, clientId } = context;
  const bound = [teamId, deploymentId, field, provider, base, organization, project, tenantId, clientId];
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  cipher.setAAD(Buffer.from(`primary${JSON.stringify(bound)}`));
  const ciphertext = Buffer.concat([cipher.update('secret'), cipher.final()]);
  const parts = [salt, iv, ciphertext, cipher.getAuthTag()].map((part) => part.toString('base64url'));
  return ['tmr1', 'primary', ...parts].join('.');
}

describe('unseal of an authentic token', () => {
  it('needs a salt of 16 and an iv of 12 bytes', () => {
    const context = fc.sample(contexts, 1)[0] as SealContext;
    expect(unseal(ring, sealedWith(16, 12, context), context)).toBe('secret');
    for (const [salt, iv] of [
      [15, 12],
      [17, 12],
      [16, 11],
      [16, 13],
      [15, 13],
    ] as const)
      refused(sealedWith(salt, iv, context), context);
  });
});

describe('keyIdOf', () => {
  it('returns undefined for a text that is no token', () => {
    for (const text of ['', 'sk-plain', 'tmr2.primary.a.b.c.d']) expect(keyIdOf(text)).toBeUndefined();
  });
});

const KNOWN_TOKEN =
  'tmr1.k1.IauB3B-cO402ulN85tit2Q.3Ldn8F_1yt8K9dhJ.woAxFFhZi1BbL7HByn-j._vROCaibm5npoPTlfDK9XQ';

describe('a key ring', () => {
  const good = { id: 'good', key: randomBytes(32).toString('base64') };

  it.each([
    ['no keys', [], 'encryptionKeys'],
    ['31 bytes', [{ id: 'k', key: Buffer.alloc(31).toString('base64') }], 'encryptionKeys[0].key'],
    ['33 bytes', [{ id: 'k', key: Buffer.alloc(33).toString('base64') }], 'encryptionKeys[0].key'],
    ['hex', [{ id: 'k', key: 'ab'.repeat(32) }], 'encryptionKeys[0].key'],
    ['stray characters', [{ id: 'k', key: `${good.key} ` }], 'encryptionKeys[0].key'],
    ['an id with a dot', [good, { ...good, id: 'a.b' }], 'encryptionKeys[1].id'],
    ['one id twice', [good, { ...good }], 'encryptionKeys[1].id'],
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

describe('generateEncryptionKey', () => {
  it('returns 32 random bytes under a random id', () => {
    const [first, second] = [generateEncryptionKey(), generateEncryptionKey()];
    expect(first.id).toMatch(/^k[0-9a-f]{8}$/);
    expect(Buffer.from(first.key, 'base64')).toHaveLength(32);
    expect(first.id).not.toBe(second.id);
    expect(first.key).not.toBe(second.key);
  });
});

describe('keyProblems', () => {
  const key = Buffer.alloc(32, 251).toString('base64');
  const idProblem = 'must be 1 to 64 letters, digits, _ or -';
  const keyProblem = 'must be 32 bytes in base64';

  it('accepts ids up to 64 characters, and keys in base64 and base64url', () => {
    expect(
      keyProblems([
        { id: 'aZ09_-', key },
        { id: 'x'.repeat(64), key: Buffer.alloc(32, 251).toString('base64') },
      ]),
    ).toEqual([]);
    const unpadded = Buffer.alloc(32, 251).toString('base64url');
    expect(keyProblems([{ id: 'k', key: unpadded }])).toEqual([]);
  });

  it('names each problem by its index and field', () => {
    expect(keyProblems([])).toEqual([
      { path: [], message: 'must have at least one key. Create one with generateEncryptionKey()' },
    ]);
    expect(
      keyProblems([
        { id: 'k', key },
        { id: 'k', key },
        { id: '', key },
        { id: 'x'.repeat(65), key },
        { id: 'a b', key },
        { id: ' k', key },
        { id: 'k ', key },
        { id: 7, key },
        null,
        { id: 'a' },
        { id: 'b', key: 7 },
        { id: 'c', key: `${key}=` },
        { id: 'd', key: Buffer.alloc(16).toString('base64') },
      ]),
    ).toEqual([
      { path: [1, 'id'], message: 'already exists in the list. Give each key a unique id' },
      ...[2, 3, 4, 5, 6, 7, 8].map((index) => ({ path: [index, 'id'], message: idProblem })),
      ...[9, 10, 11, 12].map((index) => ({ path: [index, 'key'], message: keyProblem })),
    ]);
  });

  it('gives KeyRing the text of its error', () => {
    expect(() => new KeyRing([])).toThrow(
      'encryptionKeys: must have at least one key. Create one with generateEncryptionKey().',
    );
    expect(() => new KeyRing([{ id: 'k', key: 'short' }])).toThrow(
      'encryptionKeys[0].key: must be 32 bytes in base64.',
    );
  });
});
