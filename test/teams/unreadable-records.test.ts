import { generateEncryptionKey, memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { createGateway } from 'team-model-router/http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const masterKey = `sk-${'m'.repeat(43)}`;
const newer = JSON.stringify({ format: 99, team_id: 'later' });

let storage: Storage;
let router: TeamModelRouter;

beforeEach(async () => {
  storage = memoryStorage();
  router = new TeamModelRouter({ storage, encryptionKeys: [generateEncryptionKey()] });
  for (const team_id of ['acme', 'globex']) {
    await router.createTeam({ team_id });
    await router.createKey(team_id);
  }
  await storage.put('team/broken', '{"format":1', null);
  await storage.put('team/later', newer, null);
  await storage.put('team/another', JSON.stringify({ format: 1, team_id: 'acme' }), null);
});
afterEach(() => router.close({ drainTimeoutMs: 0 }));

const request = async (method: string, path: string, body?: object) => {
  const gateway = createGateway(router, { masterKey });
  const response = await gateway.request(path, {
    method,
    headers: { authorization: `Bearer ${masterKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as unknown };
};

describe('one record that cannot be read', () => {
  it('hid all teams: lists have the others, and name it with a reason', async () => {
    const { teams, unreadable } = await router.listTeams();
    expect(teams.map(({ team_id }) => team_id).sort()).toEqual(['acme', 'globex']);
    expect(unreadable?.map(({ team_id }) => team_id).sort()).toEqual(['another', 'broken', 'later']);
    expect(unreadable?.find(({ team_id }) => team_id === 'later')?.reason).toContain('99');
    const { keys } = await router.listAllKeys();
    expect(keys.map(({ team_id }) => team_id).sort()).toEqual(['acme', 'globex']);
  });

  it('is in pages of one as in pages of all', async () => {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await router.listTeams({ limit: 1, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.teams.map(({ team_id }) => team_id));
      seen.push(...(page.unreadable ?? []).map(({ team_id }) => team_id ?? ''));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(seen.sort()).toEqual(['acme', 'another', 'broken', 'globex', 'later']);
  });

  it('is exported as it is stored, and deleted', async () => {
    expect(await router.exportTeam('later')).toEqual({ team_id: 'later', record: newer });
    await expect(router.exportTeam('nobody')).rejects.toMatchObject({ code: 'team_not_found' });
    expect(await router.deleteTeam('later')).toEqual({ deleted_teams: ['later'] });
    await expect(router.exportTeam('later')).rejects.toMatchObject({ code: 'team_not_found' });
    await router.createTeam({ team_id: 'later' });
  });

  it('is listed and deleted over HTTP, and does not keep others from being deleted', async () => {
    const list = await request('GET', '/team/list');
    expect(list.status).toBe(200);
    expect(JSON.stringify(list.body)).toContain('"unreadable":true');
    expect((await request('GET', '/key/list')).status).toBe(200);
    const deleted = await request('POST', '/team/delete', { team_ids: ['broken', 'acme'] });
    expect(deleted).toEqual({ status: 200, body: { deleted_teams: ['broken', 'acme'] } });
    expect((await router.listTeams()).unreadable).toHaveLength(2);
  });
});

describe('A record at a key that is not the one of a team', () => {
  const keys = ['team/%zz', 'team/', 'team/a%2fb', `team/${'x'.repeat(300)}`];

  it('is listed with its key and deleted by it', async () => {
    const readable = await router.exportTeam('acme');
    for (const key of keys) await storage.put(key, key === 'team/' ? '{}' : readable.record, null);
    const list = await request('GET', '/team/list');
    expect(list.status).toBe(200);
    for (const key of keys) expect(JSON.stringify(list.body)).toContain(JSON.stringify(key));
    for (const key of keys)
      expect(await router.deleteUnreadable(key)).toMatchObject({ key, record: expect.any(String) });
    expect((await router.listTeams()).unreadable).toHaveLength(3);
    await expect(router.deleteUnreadable('team/%zz')).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe.each(['{"format":1,broken', '{"format":99}'])('The shared record %s', (text) => {
  beforeEach(async () => {
    const litellm_params = { model: 'openai/x', api_key: 'sk-0123456789abcdef' };
    await router.updateTeam('acme', { models: ['shared'] });
    await router.addModel('acme', { model_name: 'own', litellm_params });
    await router.addSharedModel({ model_name: 'shared', litellm_params });
    const stored = await storage.get('shared');
    await storage.put('shared', text, typeof stored === 'object' ? stored.version : null);
  });

  it('is listed once, exported and deleted', async () => {
    const { unreadable } = await router.listTeams();
    const row = { team_id: null, key: 'shared', unreadable: true, reason: expect.any(String) };
    expect(unreadable).toContainEqual(row);
    const { body } = await request('GET', '/team/list');
    expect((body as object[]).filter((team) => 'unreadable' in team && 'key' in team)).toHaveLength(4);
    expect(await router.exportTeam(null)).toEqual({ team_id: null, record: text });
    expect(await router.deleteUnreadable('shared')).toEqual({ key: 'shared', record: text });
    expect((await router.listSharedModels()).data).toEqual([]);
    expect(JSON.stringify((await router.listTeams()).unreadable)).not.toContain('shared');
  });

  it('does not hide the model groups of a team', async () => {
    const { data } = await router.listModelGroups({ teamId: 'acme' });
    expect(data.map(({ model_group }) => model_group)).toEqual(['own']);
    await expect(router.listModelGroups({ teamId: null })).rejects.toMatchObject({ code: 'corrupt_record' });
  });
});

it('deleteUnreadable deletes no record that can be read, and no other row', async () => {
  await router.addSharedModel({
    model_name: 'shared',
    litellm_params: { model: 'openai/x', api_key: 'sk-0123456789abcdef' },
  });
  for (const key of ['shared', 'team/acme'])
    await expect(router.deleteUnreadable(key)).rejects.toMatchObject({ code: 'conflict' });
  const { entries } = await storage.list('key/');
  for (const key of [entries[0]?.key ?? '', 'shared/', ''])
    await expect(router.deleteUnreadable(key)).rejects.toMatchObject({
      code: expect.stringMatching(/invalid_request|not_found/),
    });
  expect((await storage.list('key/')).entries).toHaveLength(entries.length);
  expect((await router.listSharedModels()).data).toHaveLength(1);
});
