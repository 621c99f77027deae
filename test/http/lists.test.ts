import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, type Storage } from 'team-model-router';
import { beforeAll, describe, expect, it } from 'vitest';
import { listText } from '../../src/http/routes/list-answer.ts';
import { documentedRoutes } from '../support/every-route.ts';
import { type GatewayFixture, gatewayFixture, masterKey, outcome, send } from '../support/gateway.ts';
import { routerMethods } from '../support/router-methods.ts';
import { runs } from '../support/runs.ts';

const teamIds = Array.from({ length: 45 }, (_, at) => `team ${at}/é`);
const keyCount = 130;
const litellm_params = { model: 'openai/gpt-4o', api_key: 'key-of-acme', api_base: 'https://llm.example/v1' };

let house: GatewayFixture;
let teamKey = '';
const tokens: string[] = [];

/** Lists as a storage may: pages of a few rows in no order, some of them twice. */
function repeating(storage: Storage): Storage {
  return {
    ...storage,
    async list(prefix, options = {}) {
      const page = await storage.list(prefix, { ...options, limit: Math.min(options.limit ?? 7, 7) });
      return { ...page, entries: [...page.entries, ...page.entries.slice(0, 2)].reverse() };
    },
  };
}

beforeAll(async () => {
  const storage = memoryStorage();
  house = gatewayFixture(
    {
      storage: repeating(storage),
      encryptionKeys: [generateEncryptionKey()],
      egress: { allow: ['llm.example'] },
    },
    { openapi: true },
  );
  const { router } = house;
  for (const team_id of teamIds) await router.createTeam({ team_id, team_alias: `Alias of ${team_id}` });
  const [acme = ''] = teamIds;
  await router.updateTeam(acme, { models: ['common'] });
  for (let at = 1; at < keyCount; at++) {
    const team = teamIds[at % 3] ?? '';
    tokens.push((await router.createKey(team, { key_alias: `alias-${at}` })).token);
  }
  const own = await router.createKey(acme);
  teamKey = own.key;
  tokens.push(own.token);
  for (const model_name of ['a', 'a', 'b', 'c']) await router.addModel(acme, { model_name, litellm_params });
  for (const model_name of ['common', 'other', 'other'])
    await router.addSharedModel({ model_name, litellm_params });
  await storage.put('team/broken', '{"format":1', null);
});

interface Expected {
  /** With the master key, and with a team's; absent: it may not ask. */
  master: number;
  team?: number;
  rows: (json: unknown) => unknown[];
}

const field = (name: string) => (json: unknown) => (json as Record<string, unknown[]>)[name] ?? [];
const itself = (json: unknown) => json as unknown[];

const lists: Record<string, Expected> = {
  '/team/list': { master: 46, rows: itself },
  '/v2/team/list': { master: 46, rows: field('teams') },
  '/key/list': { master: keyCount, rows: field('keys') },
  '/model/info': { master: 3, team: 4, rows: field('data') },
  '/v1/model/info': { master: 3, team: 4, rows: field('data') },
  '/v2/model/info': { master: 3, team: 4, rows: field('data') },
  '/model_group/info': { master: 2, team: 4, rows: field('data') },
  '/v1/models': { master: 2, team: 4, rows: field('data') },
  '/models': { master: 2, team: 4, rows: field('data') },
};

describe('every route that lists says how many rows there are', () => {
  it('among all that the gateway answers to', async () => {
    const [acme = ''] = teamIds;
    const found = new Set<string>();
    for (const { method, path, permission } of await documentedRoutes(house.gateway)) {
      // Lists of the provider's account are the provider's answers.
      if (method !== 'GET' || path.includes('{') || permission === 'calls') continue;
      for (const [who, key] of Object.entries({ master: masterKey, team: teamKey })) {
        const asked = path.endsWith('/info') && !path.includes('model') ? '?' : '';
        const id = path.startsWith('/team') ? 'team_id' : 'key';
        const subject = id === 'key' ? (tokens.at(-1) ?? '') : acme;
        const query = asked && `?${id}=${encodeURIComponent(subject)}`;
        const answer = await send(house.gateway, `GET ${path}${query}`, { key });
        const expected = lists[path]?.[who as 'master' | 'team'];
        const total = answer.headers.get('x-total-count');
        expect(total, `${path} ${who}`).toBe(expected === undefined ? null : String(expected));
        if (total !== null) found.add(path);
        if (answer.status === 200 && Array.isArray(answer.json)) expect(total, path).not.toBeNull();
        const { data, object } = (answer.json ?? {}) as { data?: unknown; object?: unknown };
        if (Array.isArray(data) || object === 'list') expect(total, path).not.toBeNull();
      }
    }
    expect([...found].sort()).toEqual(Object.keys(lists).sort());
  });

  it.each(Object.entries(lists))(
    '%s: as many as there are, in one answer or in pages',
    async (path, expected) => {
      const route = (await documentedRoutes(house.gateway)).find((known) => known.path === path);
      const size = ['page_size', 'size'].find((name) => route?.query.includes(name));
      for (const [key, total] of [[masterKey, expected.master] as const, [teamKey, expected.team] as const]) {
        if (total === undefined) {
          expect(outcome(await send(house.gateway, `GET ${path}`, { key }))).toBe('403 permission_denied');
          continue;
        }
        const whole = await send(house.gateway, `GET ${path}`, { key });
        expect(whole.headers.get('x-total-count')).toBe(String(total));
        const first = expected.rows(whole.json);
        expect(first).toHaveLength(Math.min(total, path === '/key/list' ? 100 : total));
        if (size === undefined) continue;
        for (const rows of [1, 7, 1000]) {
          const seen: unknown[] = [];
          const pages = Math.ceil(total / rows);
          for (let page = 1; page <= pages + 1; page++) {
            const answer = await send(house.gateway, `GET ${path}?page=${page}&${size}=${rows}`, { key });
            expect(answer.headers.get('x-total-count')).toBe(String(total));
            seen.push(...expected.rows(answer.json).map((row) => JSON.stringify(row)));
            const { total_count, total_pages, ...rest } = answer.json as Record<string, unknown>;
            if (!Array.isArray(answer.json)) {
              expect(total_count ?? rest.total).toBe(total);
              expect(total_pages).toBe(pages);
              expect(rest.current_page ?? rest.page).toBe(page);
            }
          }
          expect(seen).toHaveLength(total);
          expect(new Set(seen).size).toBe(total);
        }
      }
    },
  );
});

describe('every list of the router', () => {
  it('has its total, or a cursor until its end', async () => {
    const { router } = house;
    const [acme = ''] = teamIds;
    const paged = async (
      load: (cursor: string | undefined) => Promise<{ cursor?: string; rows: string[] }>,
    ) => {
      const seen = new Set<string>();
      let cursor: string | undefined;
      do {
        const page = await load(cursor);
        for (const row of page.rows) seen.add(row);
        cursor = page.cursor;
      } while (cursor !== undefined);
      return seen.size;
    };
    const totals: Record<string, () => Promise<[number, number]>> = {
      listModels: async () => counted(await router.listModels(acme), 'data'),
      listSharedModels: async () => counted(await router.listSharedModels(), 'data'),
      listModelGroups: async () => counted(await router.listModelGroups({ teamId: acme }), 'data'),
      listKeys: async () => counted(await router.listKeys(acme), 'keys'),
      listTeams: async () => [
        await paged(async (cursor) => {
          const { teams, ...page } = await router.listTeams({
            limit: 10,
            ...(cursor === undefined ? {} : { cursor }),
          });
          return { ...page, rows: teams.map(({ team_id }) => team_id) };
        }),
        teamIds.length,
      ],
      listAllKeys: async () => [
        await paged(async (cursor) => {
          const { keys, ...page } = await router.listAllKeys({
            limit: 10,
            ...(cursor === undefined ? {} : { cursor }),
          });
          return { ...page, rows: keys.map(({ token }) => token) };
        }),
        keyCount,
      ],
    };
    expect(Object.keys(totals).sort()).toEqual(routerMethods(router).filter((name) => /^list/.test(name)));
    for (const [method, count] of Object.entries(totals)) {
      const [listed, total] = await count();
      expect(listed, method).toBe(total);
      expect(total, method).toBeGreaterThan(2);
    }
  });
});

function counted(list: object, name: string): [number, number] {
  const { total_count, [name]: rows } = list as Record<string, unknown>;
  return [(rows as unknown[]).length, total_count as number];
}

it('a list is written as JSON.stringify would, whatever is in it (property)', async () => {
  const rows = fc.array(fc.oneof(fc.jsonValue(), fc.constant(undefined)));
  const list = fc.oneof(
    rows,
    fc.dictionary(fc.string(), fc.oneof(rows, fc.jsonValue(), fc.constant(undefined))),
  );
  await fc.assert(
    fc.asyncProperty(list, async (value) => {
      expect(await listText(value, null)).toBe(JSON.stringify(value));
    }),
    { numRuns: runs(500) },
  );
});

describe('GET /key/list', () => {
  const list = async (query: string) => {
    const answer = await send(house.gateway, `GET /key/list?${query}`, { key: masterKey });
    expect(outcome(answer)).toBe('200');
    return answer.json as { keys: unknown[]; total_count: number; unreadable?: { team_id: string }[] };
  };

  it('has hashes, or whole rows if they are asked for, and names the teams whose keys it cannot read', async () => {
    const { keys, unreadable } = await list('size=1000');
    expect([...keys].sort()).toEqual([...tokens].sort());
    expect(unreadable).toEqual([expect.objectContaining({ team_id: 'broken', unreadable: true })]);
    const rows = (await list('size=1000&return_full_object=true&include_team_keys=true')).keys;
    expect(rows).toContainEqual(await house.router.getKey(teamIds[0] ?? '', teamKey));
    expect((await list('size=1000&return_full_object=False')).keys).toEqual(keys);
  });

  it('is narrowed by team, alias, hash or the key itself', async () => {
    expect((await list(`team_id=${encodeURIComponent(teamIds[1] ?? '')}`)).total_count).toBe(43);
    expect(await list('key_alias=alias-7')).toMatchObject({ keys: [tokens[6]], total_count: 1 });
    expect(await list('key_alias=alias')).toMatchObject({ keys: [], total_count: 0, total_pages: 0 });
    expect(await list(`key_hash=${tokens[3]}`)).toMatchObject({ keys: [tokens[3]], total_count: 1 });
    expect(await list(`key_hash=${teamKey}`)).toMatchObject({ keys: [tokens.at(-1)], total_count: 1 });
    const ofNobody = await send(house.gateway, 'GET /key/list?team_id=nobody', { key: masterKey });
    expect(outcome(ofNobody)).toBe('404 team_not_found');
  });

  it.each(['page=0', 'size=1001', 'size=x', 'page=1&page=2', 'return_full_object=perhaps', 'team_id='])(
    'refuses %s',
    async (query) => {
      const answer = await send(house.gateway, `GET /key/list?${query}`, { key: masterKey });
      expect(outcome(answer)).toBe('400 invalid_request');
    },
  );
});

describe('GET /v2/team/list', () => {
  const ids = async (query: string) => {
    const answer = await send(house.gateway, `GET /v2/team/list?${query}`, { key: masterKey });
    expect(outcome(answer)).toBe('200');
    return (answer.json as { teams: { team_id: string }[] }).teams.map(({ team_id }) => team_id);
  };

  it('is sorted by a column, either way, and filtered by an id or a part of an alias', async () => {
    const all = await ids('page_size=1000');
    expect(all).toEqual([...teamIds, 'broken'].sort());
    expect(await ids('page_size=1000&sort_by=team_id&sort_order=desc')).toEqual([...all].reverse());
    const created = await ids('page_size=1000&sort_by=created_at');
    expect(created[0]).toBe('broken');
    expect(created).toHaveLength(46);
    expect(await ids('team_id=team%203/%C3%A9')).toEqual(['team 3/é']);
    expect(await ids('team_alias=OF%20TEAM%201/')).toEqual(['team 1/é']);
    expect(await ids('team_alias=of%20team')).toHaveLength(45);
  });

  it.each(['sort_by=spend', 'sort_order=up', 'page_size=0', 'user_id=x'])('refuses %s', async (query) => {
    const answer = await send(house.gateway, `GET /v2/team/list?${query}`, { key: masterKey });
    expect(outcome(answer)).toBe('400 invalid_request');
  });
});
