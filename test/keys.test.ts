import { hash } from 'node:crypto';
import fc from 'fast-check';
import {
  generateEncryptionKey,
  memoryStorage,
  type RouterOptions,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { describe, expect, it } from 'vitest';

const unknownKey = `sk-${'x'.repeat(43)}`;

function setUp(options: Partial<RouterOptions> = {}) {
  const storage = options.storage ?? memoryStorage();
  const router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()], ...options });
  return { storage, router };
}

/** The same storage, with the keys that were read. */
function counted(storage: Storage): { storage: Storage; reads: string[] } {
  const reads: string[] = [];
  const get: Storage['get'] = (key, options) => {
    reads.push(key);
    return storage.get(key, options);
  };
  return { storage: { ...storage, get }, reads };
}

async function everything(storage: Storage): Promise<string> {
  const { entries } = await storage.list('');
  return JSON.stringify(entries);
}

describe('team keys', () => {
  it('are shown once, stored as their SHA-256, and speak for their team', async () => {
    const { router, storage } = setUp();
    const made = await router.createKey('acme', {
      key_alias: 'build',
      models: ['a', 'b', 'a'],
      key_type: 'llm_api',
    });
    expect(made.key).toMatch(/^sk-[A-Za-z0-9_-]{43}$/);
    expect(made).toMatchObject({
      token: hash('sha256', made.key),
      key_name: `sk-...${made.key.slice(-4)}`,
      key_alias: 'build',
      team_id: 'acme',
      key_type: 'llm_api',
      models: ['a', 'b'],
      expires: null,
      blocked: false,
    });
    const { key, token_id, ...view } = made;
    expect(token_id).toBe(made.token);
    expect(await router.getKey('acme', key)).toEqual(view);
    expect(await router.getKey('acme', made.token)).toEqual(view);
    expect(await router.listKeys('acme')).toEqual({ keys: [view], total_count: 1 });
    expect((await router.getTeamInfo('acme')).keys).toEqual([view]);
    expect(await router.findKeyTeam(key)).toEqual({ team_id: 'acme' });
    expect(await everything(storage)).not.toContain(key.slice(3));
    expect(await router.verifyKey(key)).toEqual({
      teamId: 'acme',
      token: made.token,
      keyType: 'llm_api',
      models: ['a', 'b'],
    });
  });

  it.each([
    '',
    'sk-',
    'sk-short',
    `SK-${'x'.repeat(43)}`,
    `sk-${'x'.repeat(42)}é`,
    unknownKey,
    hash('sha256', 'x'),
  ])('verifies no other text: %s', async (text) => {
    const { router } = setUp();
    await router.createKey('acme');
    await expect(router.verifyKey(text)).rejects.toMatchObject({ code: 'invalid_api_key', status: 401 });
  });

  it('the hash of a key is no key', async () => {
    const { router } = setUp();
    const { token } = await router.createKey('acme');
    await expect(router.verifyKey(token)).rejects.toMatchObject({ code: 'invalid_api_key' });
    await expect(router.verifyKey(`sk-${token}`)).rejects.toMatchObject({ code: 'invalid_api_key' });
  });

  it('rejects a revoked, a blocked and an expired key immediately, in this process', async () => {
    const { router } = setUp();
    const { key } = await router.createKey('acme');
    await router.verifyKey(key);
    await router.blockKey('acme', key);
    await expect(router.verifyKey(key)).rejects.toMatchObject({ code: 'key_blocked', status: 403 });
    await router.unblockKey('acme', key);
    await router.blockTeam('acme');
    await expect(router.verifyKey(key)).rejects.toMatchObject({ code: 'team_blocked', status: 403 });
    await router.unblockTeam('acme');
    await router.verifyKey(key);
    await router.deleteKey('acme', key);
    await expect(router.verifyKey(key)).rejects.toMatchObject({ code: 'invalid_api_key' });
    const other = await router.createKey('acme');
    await router.verifyKey(other.key);
    await router.deleteTeam('acme');
    await expect(router.verifyKey(other.key)).rejects.toMatchObject({ code: 'invalid_api_key' });
  });

  it('an expired key is refused, and leaves the record with the next key that is made', async () => {
    const { router, storage } = setUp();
    const soon = await router.createKey('acme', { duration: '30d' });
    expect(Date.parse(soon.expires ?? '') - Date.parse(soon.created_at)).toBe(30 * 86_400_000);
    const stored = await storage.get('team/acme');
    if (stored === undefined || stored === 'unchanged') throw new Error('no record');
    await storage.put(
      'team/acme',
      stored.value.replace(soon.expires ?? '', '2001-01-01T00:00:00.000Z'),
      stored.version,
    );
    const later = setUp({ storage }).router;
    await expect(later.verifyKey(soon.key)).rejects.toMatchObject({ code: 'invalid_api_key' });
    const { token } = await later.createKey('acme');
    expect((await later.listKeys('acme')).keys.map((key) => key.token)).toEqual([token]);
    expect(await everything(storage)).not.toContain(soon.token);
  });

  it('only what is sent changes, and null clears', async () => {
    const { router } = setUp();
    const { token } = await router.createKey('acme', {
      key_alias: 'a',
      models: [],
      duration: '1h',
      metadata: { a: 1 },
    });
    expect(await router.updateKey('acme', token, { key_alias: 'b' })).toMatchObject({
      key_alias: 'b',
      models: [],
      metadata: { a: 1 },
    });
    const cleared = { key_alias: null, models: null, duration: null, metadata: null };
    expect(await router.updateKey('acme', token, cleared)).toMatchObject({
      key_alias: null,
      models: ['all-team-models'],
      expires: null,
      metadata: {},
    });
  });

  it.each([
    [{ key_alias: 'a\nb' }, 'key_alias'],
    [{ key_type: 'admin' }, 'key_type'],
    [{ models: 'a' }, 'models'],
    [{ models: [''] }, 'models[0]'],
    [{ duration: '30' }, 'duration'],
    [{ duration: '-1d' }, 'duration'],
    [{ duration: '9999999mo' }, 'duration'],
    [{ team_id: 'globex' }, 'team_id'],
    [{ key: 'sk-mine' }, 'key'],
  ])('refuses %j and names the field', async (body, param) => {
    const { router, storage } = setUp();
    const error = await router.createKey('acme', body as never).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'invalid_request', param });
    expect(await everything(storage)).toBe('[]');
  });

  it("reports another team's key like an unknown one", async () => {
    const { router } = setUp();
    const { key, token } = await router.createKey('acme');
    await router.createKey('globex');
    for (const act of [
      (id: string) => router.getKey('globex', id),
      (id: string) => router.updateKey('globex', id, { key_alias: 'mine' }),
      (id: string) => router.blockKey('globex', id),
      (id: string) => router.deleteKey('globex', id),
    ]) {
      const failures = [];
      for (const id of [key, token, unknownKey])
        failures.push(await act(id).catch((error: unknown) => error));
      expect(failures[0]).toMatchObject({ code: 'key_not_found', status: 404 });
      expect(new Set(failures.map((error) => JSON.stringify(error))).size).toBe(1);
    }
    expect(await router.verifyKey(key)).toMatchObject({ teamId: 'acme' });
  });

  it('a pointer counts only when the record of the team that it names holds the key', async () => {
    const { router, storage } = setUp();
    const { token } = await router.createKey('acme');
    await router.createKey('globex');
    await storage.put(`key/${hash('sha256', unknownKey)}`, JSON.stringify({ team_id: 'globex' }), null);
    await expect(router.verifyKey(unknownKey)).rejects.toMatchObject({ code: 'invalid_api_key' });
    expect(await router.findKeyTeam(unknownKey)).toBeUndefined();
    expect(await router.findKeyTeam(token)).toEqual({ team_id: 'acme' });
  });

  it('knows a key of another process immediately', async () => {
    const storage = memoryStorage();
    const [one, other] = [setUp({ storage }).router, setUp({ storage }).router];
    const first = await one.createKey('acme');
    expect(await other.verifyKey(first.key)).toMatchObject({ teamId: 'acme' });
    const second = await one.createKey('acme');
    expect(await other.verifyKey(second.key)).toMatchObject({ teamId: 'acme' });
  });

  it('unknown keys are looked up once each, and known ones not at all', async () => {
    const { storage, reads } = counted(memoryStorage());
    const { router } = setUp({ storage });
    const { key } = await router.createKey('acme');
    await router.verifyKey(key);
    reads.length = 0;
    for (let round = 0; round < 5; round++) {
      await router.verifyKey(key);
      await expect(router.verifyKey(unknownKey)).rejects.toMatchObject({ code: 'invalid_api_key' });
      await expect(router.verifyKey('sk-malformed')).rejects.toMatchObject({ code: 'invalid_api_key' });
    }
    expect(reads).toEqual([`key/${hash('sha256', unknownKey)}`]);
  });

  it('a team has 1 000 keys at most, and loses none of them to concurrency', async () => {
    const { router } = setUp();
    const made = await Promise.all(Array.from({ length: 1000 }, () => router.createKey('acme')));
    expect(new Set((await router.listKeys('acme')).keys.map(({ token }) => token))).toEqual(
      new Set(made.map(({ token }) => token)),
    );
    await expect(router.createKey('acme')).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('whatever teams there are, a key speaks for the one it was made for', async () => {
    const teamIds = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }), {
      minLength: 2,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(teamIds, async (teams) => {
        const { router } = setUp();
        const usable = teams.filter((team) => team.trim() !== '' && !/\p{Cc}|\u2028|\u2029/u.test(team));
        for (const team of usable) {
          const { key } = await router.createKey(team);
          expect(await router.verifyKey(key)).toMatchObject({ teamId: team });
          for (const other of usable.filter((candidate) => candidate !== team)) {
            await expect(router.getKey(other, key)).rejects.toMatchObject({ code: 'key_not_found' });
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
