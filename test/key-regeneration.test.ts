import { hash } from 'node:crypto';
import { generateEncryptionKey, memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { describe, expect, it } from 'vitest';
import { everything, gatewayFixture, masterKey, outcome, send } from './support/gateway.ts';

function setUp(storage: Storage = memoryStorage()) {
  return { storage, router: new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()] }) };
}

const refused = { code: 'invalid_api_key', status: 401 };
const notFound = { code: 'key_not_found', status: 404 };

/** Ends a grace period, as time would. */
async function endGrace(storage: Storage, expires: string): Promise<void> {
  const stored = await storage.get('team/acme');
  if (stored === undefined || stored === 'unchanged') throw new Error('no record');
  expect(stored.value).toContain(expires);
  const value = stored.value.replaceAll(expires, '2001-01-01T00:00:00.000Z');
  expect(await storage.put('team/acme', value, stored.version)).toBeDefined();
}

describe('regenerateKey', () => {
  it('creates a new secret for the key, and revokes the old one immediately in all processes', async () => {
    const { storage, router } = setUp();
    const other = setUp(storage).router;
    const made = await router.createKey('acme', {
      key_alias: 'build',
      models: ['a'],
      duration: '30d',
      metadata: { plan: 'pro' },
      key_type: 'llm_api',
    });
    await router.verifyKey(made.key);
    const next = await router.regenerateKey('acme', made.key, {}, { userId: 'jane' });
    expect(next.key).toMatch(/^sk-[A-Za-z0-9_-]{43}$/);
    expect(next.key).not.toBe(made.key);
    const token = hash('sha256', next.key);
    expect(next).toEqual({
      ...made,
      key: next.key,
      token,
      token_id: token,
      key_name: `sk-...${next.key.slice(-4)}`,
      updated_at: next.updated_at,
      updated_by: 'jane',
    });
    for (const process of [router, other]) {
      await expect(process.verifyKey(made.key)).rejects.toMatchObject(refused);
      expect(await process.verifyKey(next.key)).toEqual({
        teamId: 'acme',
        token,
        keyType: 'llm_api',
        models: ['a'],
      });
    }
    await expect(router.getKey('acme', made.token)).rejects.toMatchObject(notFound);
    expect((await router.listKeys('acme')).keys).toHaveLength(1);
    const stored = await everything(storage);
    for (const gone of [made.token, made.key.slice(3), next.key.slice(3)]) expect(stored).not.toContain(gone);
  });

  it('lets the old secret live for the grace period, as the same key, and no longer', async () => {
    const { storage, router } = setUp();
    const made = await router.createKey('acme', { models: ['a'] });
    const next = await router.regenerateKey('acme', made.token, { grace_period: '2d' });
    const [old] = next.previous;
    expect(old?.token).toBe(made.token);
    expect(Date.parse(old?.expires ?? '') - Date.parse(next.updated_at)).toBe(2 * 86_400_000);
    const { key: _, token_id, ...view } = next;
    for (const id of [made.key, made.token, next.key, token_id]) {
      expect(await router.getKey('acme', id)).toEqual(view);
      expect(await router.findKeyTeam(id)).toEqual({ team_id: 'acme' });
    }
    for (const key of [made.key, next.key])
      expect(await router.verifyKey(key)).toMatchObject({ token: next.token, models: ['a'] });
    // What is changed is changed for both.
    await router.updateKey('acme', made.key, { models: ['b'] });
    for (const key of [made.key, next.key]) expect((await router.verifyKey(key)).models).toEqual(['b']);
    await router.blockKey('acme', next.key);
    await expect(router.verifyKey(made.key)).rejects.toMatchObject({ code: 'key_blocked' });
    await router.unblockKey('acme', made.token);

    await endGrace(storage, old?.expires ?? '');
    const later = setUp(storage).router;
    await expect(later.verifyKey(made.key)).rejects.toMatchObject(refused);
    await expect(later.getKey('acme', made.token)).rejects.toMatchObject(notFound);
    expect(await later.findKeyTeam(made.token)).toBeUndefined();
    await expect(later.deleteKey('acme', made.token)).rejects.toMatchObject(notFound);
    expect((await later.getKey('acme', next.key)).previous).toEqual([]);
    await later.verifyKey(next.key);
    // The next key that is made takes it out of the storage.
    await later.createKey('acme');
    expect(await everything(storage)).not.toContain(made.token);
  });

  it('ends an old secret with the key, and never later than the key would have ended', async () => {
    const { router, storage } = setUp();
    const made = await router.createKey('acme', { duration: '1h' });
    const next = await router.regenerateKey('acme', made.key, { grace_period: '30d', duration: '60d' });
    expect(next.previous).toEqual([{ token: made.token, expires: made.expires }]);
    expect(Date.parse(next.expires ?? '')).toBeGreaterThan(Date.now() + 59 * 86_400_000);
    await router.deleteKey('acme', next.key);
    for (const key of [made.key, next.key])
      await expect(router.verifyKey(key)).rejects.toMatchObject(refused);
    expect(await everything(storage)).not.toContain(made.token);
    const another = await router.createKey('acme');
    const renewed = await router.regenerateKey('acme', another.key, { grace_period: '1d' });
    await router.deleteTeam('acme');
    for (const key of [another.key, renewed.key])
      await expect(router.verifyKey(key)).rejects.toMatchObject(refused);
    expect(await everything(storage)).toBe('[]');
  });

  it('revokes an old secret alone where that is what is deleted', async () => {
    const { router } = setUp();
    const made = await router.createKey('acme');
    const next = await router.regenerateKey('acme', made.key, { grace_period: '1d' });
    expect(await router.deleteKey('acme', made.key)).toEqual({ deleted_keys: [made.token] });
    await expect(router.verifyKey(made.key)).rejects.toMatchObject(refused);
    await router.verifyKey(next.key);
    expect((await router.getKey('acme', next.key)).previous).toEqual([]);
  });

  it('without a grace period ends every older secret; with one at most ten are valid', async () => {
    const { router } = setUp();
    const secrets = [(await router.createKey('acme')).key];
    for (let turn = 0; turn < 10; turn++)
      secrets.push((await router.regenerateKey('acme', secrets[0] ?? '', { grace_period: '1d' })).key);
    for (const secret of secrets) await router.verifyKey(secret);
    await expect(
      router.regenerateKey('acme', secrets[0] ?? '', { grace_period: '1d' }),
    ).rejects.toMatchObject({ code: 'invalid_request', param: 'grace_period' });
    for (const secret of secrets) await router.verifyKey(secret);
    const last = await router.regenerateKey('acme', secrets[3] ?? '');
    for (const secret of secrets) await expect(router.verifyKey(secret)).rejects.toMatchObject(refused);
    await router.verifyKey(last.key);
  });

  it('is one write: of many concurrent ones without a grace period one succeeds, and no secret is lost', async () => {
    const storage = memoryStorage();
    const puts: string[] = [];
    const counting: Storage = {
      ...storage,
      put(key, ...rest) {
        puts.push(key);
        return storage.put(key, ...rest);
      },
    };
    const { router } = setUp(counting);
    const other = setUp(counting).router;
    const made = await router.createKey('acme');
    puts.length = 0;
    const one = await router.regenerateKey('acme', made.key);
    expect(puts.filter((key) => key === 'team/acme')).toHaveLength(1);
    expect(puts).toHaveLength(2);
    const results = await Promise.allSettled(
      [router, other, router, other].map((process) => process.regenerateKey('acme', one.key)),
    );
    const won = results.filter((result) => result.status === 'fulfilled').map(({ value }) => value);
    expect(won).toHaveLength(1);
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toMatchObject(notFound);
    expect((await router.listKeys('acme')).keys.map(({ token }) => token)).toEqual([won[0]?.token]);
    // The pointers of those that lost are gone with them.
    const { entries } = await storage.list('key/', { limit: 100 });
    expect(entries.map(({ key }) => key)).toEqual([`key/${won[0]?.token}`]);
  });

  it('needs a duration for a key that has expired', async () => {
    const { router, storage } = setUp();
    const made = await router.createKey('acme', { duration: '1h' });
    await endGrace(storage, made.expires ?? '');
    const later = setUp(storage).router;
    const before = await everything(storage);
    await expect(later.regenerateKey('acme', made.key)).rejects.toMatchObject({
      code: 'invalid_request',
      param: 'duration',
    });
    expect(await everything(storage)).toBe(before);
    const next = await later.regenerateKey('acme', made.key, { duration: '1h' });
    await later.verifyKey(next.key);
  });

  it.each([
    [{ grace_period: '1' }, 'grace_period'],
    [{ grace_period: '-1d' }, 'grace_period'],
    [{ grace_period: '9999999mo' }, 'grace_period'],
    [{ grace_period: 1 }, 'grace_period'],
    [{ new_key: 'sk-mine' }, 'new_key'],
    [{ models: 'a' }, 'models'],
    [{ key_type: 'admin' }, 'key_type'],
  ])('refuses %j, names the field and changes nothing', async (fields, param) => {
    const { router, storage } = setUp();
    const { key } = await router.createKey('acme');
    const before = await everything(storage);
    await expect(router.regenerateKey('acme', key, fields as never)).rejects.toMatchObject({
      code: 'invalid_request',
      param,
    });
    expect(await everything(storage)).toBe(before);
  });

  it('takes null for what is not sent: nothing is cleared by it', async () => {
    const { router } = setUp();
    const body = { key_alias: 'a', models: ['a'], duration: '1h', metadata: { a: 1 } };
    const { key, ...made } = await router.createKey('acme', body);
    const nulls = {
      grace_period: null,
      key_alias: null,
      models: null,
      duration: null,
      metadata: null,
      key_type: null,
    };
    const { key: next, ...same } = await router.regenerateKey('acme', key, nulls);
    const { key_alias, models, expires, metadata } = same;
    expect({ key_alias, models, expires, metadata }).toEqual({
      key_alias: made.key_alias,
      models: made.models,
      expires: made.expires,
      metadata: made.metadata,
    });
    const all = await router.regenerateKey('acme', next, { models: ['all-team-models'] });
    expect(all.models).toEqual(['all-team-models']);
    expect(await router.verifyKey(all.key)).not.toHaveProperty('models');
  });
});

describe('over HTTP', () => {
  const house = gatewayFixture();
  const ask = (path: string, body: object) => send(house.gateway, `POST ${path}`, { key: masterKey, body });

  it('by body or by path, by the key or by its hash', async () => {
    for (const form of ['key', 'token', 'path key', 'path token']) {
      const made = await house.router.createKey('acme');
      const id = form.endsWith('key') ? made.key : made.token;
      const answer = form.startsWith('path')
        ? await ask(`/key/${id}/regenerate`, { grace_period: '1d' })
        : await ask('/key/regenerate', { [form]: id, grace_period: '1d' });
      expect(outcome(answer), form).toBe('200');
      const { key, token } = answer.json as { key: string; token: string };
      expect(answer.json).toMatchObject({ token_id: hash('sha256', key), models: ['all-team-models'] });
      expect(answer.text).not.toContain(made.key);
      for (const each of [key, made.key])
        expect(await house.router.verifyKey(each)).toMatchObject({ teamId: 'acme', token });
    }
  });

  it('makes a key that was restricted one for all models, and the other way round', async () => {
    const { key } = await house.router.createKey('acme', { models: ['a'] });
    const all = await ask('/key/regenerate', { key, models: ['all-team-models'] });
    expect(all.json).toMatchObject({ models: ['all-team-models'] });
    const { key: next } = all.json as { key: string };
    const none = await ask(`/key/${next}/regenerate`, { models: [] });
    expect(none.json).toMatchObject({ models: [] });
  });

  it('shows neither secret again, nor in a refusal of the path', async () => {
    const made = await house.router.createKey('globex');
    const { key } = (await ask('/key/regenerate', { key: made.key })).json as { key: string };
    const answers = [
      await ask(`/key/${made.key}/regenerate`, {}),
      await send(house.gateway, `GET /key/${key}/regenerate`, { key: masterKey }),
      await send(house.gateway, `GET /nothing/${key}`, { key: masterKey }),
      await send(house.gateway, 'GET /key/list?return_full_object=true', { key: masterKey }),
      await send(house.gateway, `GET /key/info?key=${key}`, { key: masterKey }),
      await send(house.gateway, 'GET /team/info', { key }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([404, 405, 404, 200, 200, 200]);
    for (const { text } of answers) for (const secret of [made.key, key]) expect(text).not.toContain(secret);
  });

  it('an old secret of a restricted key sees the key that it opens, and no other', async () => {
    const made = await house.router.createKey('acme', { models: ['a'] });
    const other = await house.router.createKey('acme', { models: ['a'] });
    const next = await house.router.regenerateKey('acme', made.key, { grace_period: '1d' });
    for (const query of ['', `?key=${made.key}`, `?key=${next.token}`]) {
      const answer = await send(house.gateway, `GET /key/info${query}`, { key: made.key });
      expect(answer.json, query).toMatchObject({ key: next.token, info: { token: next.token } });
    }
    const foreign = await send(house.gateway, `GET /key/info?key=${other.key}`, { key: made.key });
    expect(outcome(foreign)).toBe('404 key_not_found');
  });
});
