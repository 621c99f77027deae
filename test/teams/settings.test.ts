import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, TeamModelRouter, type TeamPatch } from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { poolIsGone } from '../../src/teams/management/edit-settings.ts';
import { newRecord } from '../../src/teams/records/team-record.ts';
import { runs } from '../support/runs.ts';

let router: TeamModelRouter;
const ids = new Map<string, string>();
const litellm_params = { model: 'openai/gpt-4o', api_key: 'sk-0123456789abcdef' };

beforeEach(async () => {
  router = new TeamModelRouter({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });
  for (const name of ['a', 'b', 'c', '__proto__']) {
    ids.set(name, (await router.addModel('acme', { model_name: name, litellm_params })).model_id);
  }
});

afterEach(() => router.close({ drainTimeoutMs: 0 }));

const set = (settings: TeamPatch['settings']) => router.updateTeam('acme', { settings });
const stored = async () => (await router.getTeamInfo('acme')).team_info.settings;
const refused = (problem: string) => ({
  code: 'invalid_request',
  param: 'settings.fallbacks',
  message: expect.stringContaining(problem),
});

describe("a team's settings", () => {
  it('change by what is sent, and null clears', async () => {
    await set({ num_retries: 1, timeout: 2.5, allowed_fails: 0, cooldown_time: 0 });
    await set({ timeout: null, fallbacks: [{ a: ['b', 'c'] }] });
    expect(await stored()).toEqual({
      num_retries: 1,
      allowed_fails: 0,
      cooldown_time: 0,
      fallbacks: [{ a: ['b', 'c'] }],
    });
    await set(null);
    expect(await stored()).toEqual({});
  });

  it.each<[string, object]>([
    ['settings.num_retries', { num_retries: -1 }],
    ['settings.num_retries', { num_retries: 1.5 }],
    ['settings.timeout', { timeout: 0 }],
    ['settings.allowed_fails', { allowed_fails: '3' }],
    ['settings.cooldown_time', { cooldown_time: 1e9 }],
    ['settings.fallbacks', { fallbacks: { a: ['b'] } }],
    ['settings.fallbacks', { fallbacks: [{ a: 'b' }] }],
    ['settings.fallbacks', { fallbacks: [{ a: [] }] }],
    ['settings.num_retrys', { num_retrys: 1 }],
  ])('refuse a wrong %s, and change nothing', async (param, settings) => {
    await expect(set({ num_retries: 2, ...settings } as TeamPatch['settings'])).rejects.toMatchObject({
      code: 'invalid_request',
      param,
    });
    expect(await stored()).toEqual({});
  });

  it('refuse fallbacks to unknown names, and circles', async () => {
    await expect(set({ fallbacks: [{ a: ['x'] }] })).rejects.toMatchObject(refused('"x"'));
    await expect(set({ fallbacks: [{ x: ['a'] }] })).rejects.toMatchObject(refused('"x"'));
    await expect(set({ fallbacks: [{ a: ['a'] }] })).rejects.toMatchObject(refused('back to itself'));
    await expect(set({ fallbacks: [{ a: ['b'] }, { b: ['c'] }, { c: ['a'] }] })).rejects.toMatchObject(
      refused('back to itself'),
    );
    await expect(set({ fallbacks: [{ a: ['b'] }, { a: ['c'] }] })).rejects.toMatchObject(refused('twice'));
    expect(await stored()).toEqual({});
    // A diamond is no circle.
    await set({ fallbacks: [{ a: ['b', 'c'], b: ['__proto__'], c: ['__proto__'] }] });
  });

  it('take any name that a model may have', async () => {
    await set({ fallbacks: [JSON.parse('{"__proto__": ["a"]}')] });
    expect(JSON.stringify(await stored())).toBe('{"fallbacks":[{"__proto__":["a"]}]}');
  });

  it('may name shared models that the team may use, and no others', async () => {
    await router.addSharedModel({ model_name: 'common', litellm_params });
    await expect(set({ fallbacks: [{ a: ['common'] }] })).rejects.toMatchObject(refused('"common"'));
    await router.updateTeam('acme', { models: ['common'], settings: { fallbacks: [{ a: ['common'] }] } });
    expect(await stored()).toEqual({ fallbacks: [{ a: ['common'] }] });
  });
});

describe('when a pool loses its last member', () => {
  beforeEach(async () => {
    await set({ fallbacks: [{ a: ['b', 'c'] }, { b: ['c'] }] });
    await router.createKey('acme', { models: ['b', 'c'] });
  });

  const keyModels = async () => (await router.listKeys('acme')).keys.map(({ models }) => models);

  it('a deletion takes its name out of fallbacks and key allow-lists', async () => {
    await router.deleteModel('acme', ids.get('b') ?? '');
    expect(await stored()).toEqual({ fallbacks: [{ a: ['c'] }] });
    expect(await keyModels()).toEqual([['c']]);
    await router.deleteModel('acme', ids.get('c') ?? '');
    expect(await stored()).toEqual({ fallbacks: [] });
    // Not null, which would be every model.
    expect(await keyModels()).toEqual([[]]);
  });

  it('a new name takes its place', async () => {
    await router.updateModel('acme', ids.get('b') ?? '', { model_name: 'new' });
    expect(await stored()).toEqual({ fallbacks: [{ a: ['new', 'c'] }, { new: ['c'] }] });
    expect(await keyModels()).toEqual([['new', 'c']]);
  });

  it('a key does not come to reach a pool that was there before', async () => {
    await router.updateModel('acme', ids.get('b') ?? '', { model_name: 'a' });
    expect(await keyModels()).toEqual([['c']]);
    expect(await stored()).toEqual({ fallbacks: [{ a: ['c'] }] });
  });

  it('nothing changes while a sibling is left', async () => {
    await router.addModel('acme', { model_name: 'b', litellm_params });
    await router.deleteModel('acme', ids.get('b') ?? '');
    expect(await stored()).toEqual({ fallbacks: [{ a: ['b', 'c'] }, { b: ['c'] }] });
    expect(await keyModels()).toEqual([['b', 'c']]);
  });

  it('no list names it afterwards, nor leads to itself, whatever it held (property)', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const lists = fc.uniqueArray(fc.tuple(name, fc.uniqueArray(name, { minLength: 1 })), {
      selector: ([key]) => key,
    });
    fc.assert(
      fc.property(
        lists,
        name,
        fc.option(fc.constantFrom('new'), { nil: undefined }),
        (fallbacks, gone, renamed) => {
          const record = { ...newRecord('acme', '', ''), settings: { fallbacks } };
          poolIsGone(record, gone, renamed);
          for (const [key, next] of record.settings.fallbacks) {
            expect(key).not.toBe(gone);
            expect(next).not.toContain(gone);
            expect(next).not.toContain(key);
            expect(next.length).toBeGreaterThan(0);
          }
        },
      ),
      { numRuns: runs(500) },
    );
  });
});
