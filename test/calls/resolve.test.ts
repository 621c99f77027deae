import { describe, expect, it } from 'vitest';
import type { AffinityStore } from '../../src/calls/affinity/affinity-store.ts';
import type { ModelRequest } from '../../src/calls/call.ts';
import { ModelResolver } from '../../src/calls/routing/authorize.ts';
import { resolvePinned } from '../../src/calls/routing/pin.ts';
import {
  type Caller,
  mayCallAny,
  namesOf,
  pinnedPool,
  resolve,
  resolveOnly,
  type VisibleModels,
} from '../../src/calls/routing/resolve.ts';
import { RouterError } from '../../src/errors.ts';
import type { Deployment } from '../../src/teams/records/deployment.ts';
import type { SnapshotCache, TeamSnapshot } from '../../src/teams/records/snapshot-cache.ts';

/** Names with the ids of their deployments. */
type Names = Record<string, string[]>;

function snapshot(teamId: string | null, names: Names, more: Partial<TeamSnapshot> = {}): TeamSnapshot {
  const deployments = new Map<string, Deployment>();
  const pools = new Map<string, Deployment[]>();
  for (const [publicName, ids] of Object.entries(names)) {
    const members = ids.map((id) => ({ id, teamId, publicName, params: {} }) as unknown as Deployment);
    pools.set(publicName, members);
    for (const member of members) deployments.set(member.id, member);
  }
  const settings = { fallbacks: new Map() };
  const keys = new Map();
  return { teamId, blocked: false, allowedShared: new Set(), pools, deployments, settings, keys, ...more };
}

const acme = snapshot('acme', { chat: ['a1', 'a2'], embed: ['a3'] }, { allowedShared: new Set(['common']) });
const operators = snapshot(null, { common: ['s1'], hidden: ['s2'], chat: ['s3'] });
const models: VisibleModels = { team: acme, shared: operators };
const caller: Caller = { teamId: 'acme' };
const corrupt = new RouterError('corrupt_record', 'The record is corrupt.');

const idsOf = ({ deployments }: { deployments: readonly Deployment[] }) => deployments.map(({ id }) => id);
const fault = (run: () => unknown): RouterError => {
  try {
    run();
  } catch (error) {
    return error as RouterError;
  }
  throw new Error('did not throw');
};
const only = (names: Names, more: Partial<TeamSnapshot> = {}) => snapshot('acme', names, more);

describe('resolve', () => {
  it("returns the team's own pool before a shared one of the same name", () => {
    const all = {
      team: { ...acme, allowedShared: new Set(['all-proxy-models', 'chat']) },
      shared: operators,
    };
    expect(resolve(all, caller, 'chat')).toEqual({ publicName: 'chat', deployments: acme.pools.get('chat') });
  });

  it("returns the one deployment of the team's own id, pinned if it has siblings", () => {
    const pool = resolve(models, caller, 'a2');
    expect([pool.publicName, idsOf(pool), pool.pinned]).toEqual(['chat', ['a2'], true]);
    expect(resolve(models, caller, 'a3')).toEqual({
      publicName: 'embed',
      deployments: acme.pools.get('embed'),
    });
  });

  it('returns a shared pool only if the team is allowed it', () => {
    expect(idsOf(resolve(models, caller, 'common'))).toEqual(['s1']);
    expect(fault(() => resolve(models, caller, 'hidden'))).toMatchObject({
      code: 'model_not_found',
      param: 'model',
      message: 'Model "hidden" not found for this team. Available models: "chat", "embed", "common".',
    });
    expect(fault(() => resolve({ team: undefined, shared: operators }, caller, 'common')).code).toBe(
      'model_not_found',
    );
  });

  it('never returns a shared deployment by its id', () => {
    for (const id of ['s1', 's2'])
      expect(fault(() => resolve(models, caller, id)).code).toBe('model_not_found');
  });

  it('applies the names of a restricted key to the resolved name', () => {
    const restricted = { ...caller, models: ['embed'] };
    expect(idsOf(resolve(models, restricted, 'a3'))).toEqual(['a3']);
    for (const name of ['a1', 'chat', 'common'])
      expect(fault(() => resolve(models, restricted, name)).message).toBe(
        `Model ${JSON.stringify(name)} not found for this key. This key may call: "embed".`,
      );
    const none = fault(() => resolve(models, { ...caller, models: [] }, 'chat'));
    expect(none.message).toBe('Model "chat" not found for this key. This key may not call any model.');
  });

  it("gives the operator the shared deployments and no team's", () => {
    const operator: Caller = { teamId: null };
    const shared = { team: undefined, shared: operators };
    expect(idsOf(resolve(shared, operator, 'hidden'))).toEqual(['s2']);
    expect(fault(() => resolve({ team: undefined, shared: undefined }, operator, 'x')).code).toBe(
      'model_not_found',
    );
    expect(fault(() => resolve(shared, operator, 'embed')).message).toBe(
      'Shared model "embed" not found; a team\'s own are called with a key of that team. Available models: "common", "hidden", "chat".',
    );
  });

  it('fails with the error of the shared deployments only where they are needed', () => {
    const broken: VisibleModels = { team: acme, shared: undefined, sharedError: corrupt };
    expect(idsOf(resolve(broken, caller, 'chat'))).toEqual(['a1', 'a2']);
    expect(idsOf(resolve(broken, caller, 'a1'))).toEqual(['a1']);
    expect(fault(() => resolve(broken, caller, 'common'))).toBe(corrupt);
    expect(fault(() => resolve(broken, caller, 'hidden')).code).toBe('model_not_found');
  });

  it('lists at most 20 names, and shows at most 256 characters of the requested one', () => {
    const many = only(
      Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`m${index}`, [`d${index}`]])),
    );
    const { message } = fault(() => resolve({ team: many, shared: undefined }, caller, 'x'.repeat(300)));
    expect(message).toContain(
      `Model "${'x'.repeat(256)}" not found for this team. Available models: "m0", "m1", `,
    );
    expect(message).toMatch(/"m19", and 1 more\.$/);
    const twenty = only(Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`m${index}`, ['d']])));
    expect(fault(() => resolve({ team: twenty, shared: undefined }, caller, 'x')).message).toMatch(
      /"m19"\.$/,
    );
    expect(fault(() => resolve({ team: only({}), shared: undefined }, caller, 'x')).message).toBe(
      'Model "x" not found for this team. No models exist yet.',
    );
  });
});

describe('resolveOnly', () => {
  const refusal = new RouterError('stateful_on_shared', 'Refused.');
  const unshared = (team: TeamSnapshot, shared?: TeamSnapshot): VisibleModels => ({ team, shared });

  it("returns the caller's only deployment", () => {
    expect(idsOf(resolveOnly(unshared(only({ m: ['d'] })), caller))).toEqual(['d']);
    expect(idsOf(resolveOnly(models, { ...caller, models: ['embed'] }))).toEqual(['a3']);
    expect(
      idsOf(resolveOnly(unshared(only({}, { allowedShared: new Set(['common']) }), operators), caller)),
    ).toEqual(['s1']);
  });

  it('asks for a name if there are several deployments, or none', () => {
    const ask = 'This call needs a model: name one with ?model= or in the header x-team-model.';
    for (const [given, list] of [
      [models, 'Available models: "chat", "embed", "common".'],
      [unshared(only({ m: ['d', 'e'] })), 'Available models: "m".'],
      [unshared(only({ a: ['d'], b: ['e'] })), 'Available models: "a", "b".'],
      [unshared(only({})), 'No models exist yet.'],
    ] as const)
      expect(fault(() => resolveOnly(given, caller))).toMatchObject({
        code: 'invalid_request',
        param: 'model',
        message: `${ask} ${list}`,
      });
  });

  it('throws the error of a body that may name a model later', () => {
    const late = new RouterError('request_too_large', 'Later.');
    expect(fault(() => resolveOnly(models, caller, undefined, late))).toBe(late);
    expect(idsOf(resolveOnly(unshared(only({ m: ['d'] })), caller, undefined, late))).toEqual(['d']);
  });

  it('leaves out a shared model that cannot serve the call', () => {
    const team = only({ own: ['d'] }, { allowedShared: new Set(['common']) });
    const refuse = (deployment: Deployment) => (deployment.teamId === null ? refusal : undefined);
    expect(idsOf(resolveOnly(unshared(team, operators), caller, refuse))).toEqual(['d']);
    const none = only({}, { allowedShared: new Set(['common']) });
    expect(fault(() => resolveOnly(unshared(none, operators), caller, refuse))).toBe(refusal);
    const two = snapshot(null, { common: ['s1', 's4'] });
    const first = (deployment: Deployment) => (deployment.id === 's1' ? refusal : undefined);
    expect(fault(() => resolveOnly(unshared(none, two), caller, first)).code).toBe('invalid_request');
  });

  it('serves by a shared model that can, though another cannot', () => {
    const team = only({}, { allowedShared: new Set(['all-proxy-models']) });
    const shared = snapshot(null, { common: ['s1'], other: ['s2'] });
    const refuse = ({ id }: Deployment) => (id === 's1' ? refusal : undefined);
    expect(idsOf(resolveOnly(unshared(team, shared), caller, refuse))).toEqual(['s2']);
  });

  it("serves the operator by the only shared model, and a team by its own model of a shared one's name", () => {
    const shared = snapshot(null, { common: ['s1'] });
    expect(idsOf(resolveOnly({ team: undefined, shared }, { teamId: null }))).toEqual(['s1']);
    const team = only({ common: ['d'] }, { allowedShared: new Set(['common']) });
    const refuse = ({ teamId }: Deployment) => (teamId === null ? refusal : undefined);
    expect(idsOf(resolveOnly(unshared(team, shared), caller, refuse))).toEqual(['d']);
  });

  it("does not ask of the team's own models whether they can serve", () => {
    expect(idsOf(resolveOnly(unshared(only({ m: ['d'] })), caller, () => refusal))).toEqual(['d']);
  });

  it('fails with the error of the shared deployments if nothing else is left', () => {
    const none = { team: only({}), shared: undefined, sharedError: corrupt };
    expect(fault(() => resolveOnly(none, caller))).toBe(corrupt);
    const own = { team: only({ m: ['d'] }), shared: undefined, sharedError: corrupt };
    expect(idsOf(resolveOnly(own, caller))).toEqual(['d']);
  });
});

describe('namesOf and mayCallAny', () => {
  const all = only({}, { allowedShared: new Set(['all-proxy-models']) });
  const cases: [string, VisibleModels, Caller, string[]][] = [
    ['own and allowed shared names', models, caller, ['chat', 'embed', 'common']],
    ['a restriction', models, { ...caller, models: ['common', 'hidden'] }, ['common']],
    ['no model of a key', models, { ...caller, models: [] }, []],
    ['an id in a restriction', models, { ...caller, models: ['a1'] }, []],
    ['all shared names', { team: all, shared: operators }, caller, ['common', 'hidden', 'chat']],
    ['no shared name', { team: only({}), shared: operators }, caller, []],
    ['no team', { team: undefined, shared: operators }, caller, []],
    ['the operator', { team: undefined, shared: operators }, { teamId: null }, ['common', 'hidden', 'chat']],
    ['nothing at all', { team: undefined, shared: undefined }, caller, []],
    ['an operator without models', { team: undefined, shared: undefined }, { teamId: null }, []],
    ['a restriction to a name that the team may not use', models, { ...caller, models: ['hidden', 'x'] }, []],
    ['own names only', { team: acme, shared: undefined }, caller, ['chat', 'embed']],
  ];

  it.each(cases)('agree on %s', (_, given, who, names) => {
    expect(namesOf(given, who)).toEqual(names);
    expect(mayCallAny(given, who)).toBe(names.length > 0);
  });

  it('mayCallAny leaves open what the shared deployments are if they cannot be read', () => {
    const broken = { team: only({}), shared: undefined, sharedError: corrupt };
    expect(mayCallAny(broken, { ...caller, models: [] })).toBe(true);
  });
});

describe('pinnedPool', () => {
  it('is pinned only if the deployment has siblings', () => {
    const [first] = acme.pools.get('chat') as [Deployment];
    const [single] = acme.pools.get('embed') as [Deployment];
    expect(pinnedPool(acme, first)).toEqual({ publicName: 'chat', deployments: [first], pinned: true });
    expect(pinnedPool(acme, single)).toEqual({ publicName: 'embed', deployments: [single] });
    expect(pinnedPool(undefined, first)).toEqual({ publicName: 'chat', deployments: [first] });
  });
});

interface Asked {
  model?: string;
  explicit?: boolean;
  objects?: string[];
  params?: Record<string, string>;
  lateModel?: RouterError;
  refusal?: (deployment: Deployment) => RouterError | undefined;
  controls?: (deployment: Deployment) => RouterError | undefined;
}

function request({ model, explicit, objects = [], params = {}, lateModel, refusal, controls }: Asked) {
  return {
    model,
    explicitModel: explicit ?? model !== undefined,
    params,
    body: {
      objectIds: () => objects,
      statefulError: refusal ?? (() => undefined),
      lateModel,
      controls: controls && { refusal: controls },
    },
  } as unknown as ModelRequest;
}

function affinityOf(known: Record<string, string>) {
  const asked: unknown[][] = [];
  const lookup = async (teamId: string, objects: readonly string[]) => {
    asked.push([teamId, [...objects]]);
    return objects.map((object) => known[object]).find((id) => id !== undefined);
  };
  return { asked, store: { lookup } as unknown as AffinityStore };
}

describe('resolvePinned', () => {
  const pin = async (known: Record<string, string>, asked: Asked, who: Caller = caller, given = models) => {
    const { store, asked: lookups } = affinityOf(known);
    const pool = await resolvePinned(store, given, who, request(asked), undefined);
    return { ids: idsOf(pool), pinned: pool.pinned === true, lookups };
  };

  it('narrows a pool to the deployment that has the object', async () => {
    expect(await pin({ file_1: 'a2' }, { model: 'chat', objects: ['file_1'] })).toEqual({
      ids: ['a2'],
      pinned: true,
      lookups: [['acme', ['file_1']]],
    });
  });

  it('keeps the pool of the name if the object lives elsewhere, or is unknown', async () => {
    expect((await pin({ file_1: 'a3' }, { model: 'chat', objects: ['file_1'] })).ids).toEqual(['a1', 'a2']);
    expect((await pin({}, { model: 'chat', objects: ['file_1'] })).ids).toEqual(['a1', 'a2']);
    expect((await pin({ file_1: 'gone' }, { model: 'chat', objects: ['file_1'] })).ids).toEqual(['a1', 'a2']);
  });

  it('sends a call without a name to the deployment that has its object', async () => {
    expect((await pin({ file_1: 'a3' }, { objects: ['file_1'] })).ids).toEqual(['a3']);
    expect(
      (await pin({ file_1: 'a3' }, { model: 'chat', explicit: false, objects: ['file_1'] })).ids,
    ).toEqual(['a3']);
  });

  it('uses the default name if the object is unknown', async () => {
    const asked = { model: 'embed', explicit: false, objects: ['file_1'] };
    expect((await pin({}, asked)).ids).toEqual(['a3']);
    expect((await pin({}, { model: 'embed', explicit: false })).ids).toEqual(['a3']);
  });

  it('does not use a deployment that a restricted key may not call', async () => {
    const restricted = { ...caller, models: ['embed'] };
    const asked = { model: 'embed', explicit: false, objects: ['file_1'] };
    expect((await pin({ file_1: 'a1' }, asked, restricted)).ids).toEqual(['a3']);
  });

  it('asks no storage where there is nothing to choose', async () => {
    for (const [asked, who, given] of [
      [{ model: 'embed', objects: ['file_1'] }, caller, models],
      [{ model: 'common', objects: ['file_1'] }, caller, models],
      [{ model: 'chat' }, caller, models],
      [{ model: 'hidden', objects: ['file_1'] }, { teamId: null }, { team: undefined, shared: operators }],
      [{ objects: ['file_1'] }, caller, { team: only({ m: ['d'] }), shared: undefined }],
    ] as const)
      expect((await pin({}, asked as Asked, who, given as VisibleModels)).lookups).toEqual([]);
    const shared = { team: acme, shared: snapshot(null, { common: ['s1', 's4'] }) };
    expect((await pin({}, { model: 'common', objects: ['file_1'] }, caller, shared)).lookups).toEqual([]);
  });

  it('reads the ids of the path before those of the body', async () => {
    const asked = { model: 'chat', objects: ['file_2'], params: { file_id: 'file_1' } };
    expect((await pin({ file_1: 'a1', file_2: 'a2' }, asked)).ids).toEqual(['a1']);
  });

  it('names no model that could serve a call without one', async () => {
    const late = new RouterError('request_too_large', 'Later.');
    await expect(pin({}, { lateModel: late })).rejects.toBe(late);
    const refused = new RouterError('stateful_on_shared', 'Refused.');
    const none = { team: only({}, { allowedShared: new Set(['common']) }), shared: operators };
    await expect(pin({}, { refusal: () => refused }, caller, none)).rejects.toBe(refused);
  });
});

describe('ModelResolver', () => {
  const unavailable = new RouterError('storage_unavailable', 'The storage cannot be reached.');
  type Stored = Record<string, TeamSnapshot | RouterError | undefined>;

  function resolver(stored: Stored, storageUnreachable = false) {
    const reads: (string | null)[] = [];
    const get = async (teamId: string | null) => {
      reads.push(teamId);
      const found = stored[teamId ?? 'shared'];
      if (found instanceof RouterError) throw found;
      return found;
    };
    const snapshots = { get, storageUnreachable } as unknown as SnapshotCache;
    return { reads, resolver: new ModelResolver(snapshots, affinityOf({}).store) };
  }

  it('reads the shared deployments only for a team that may use some, and for the operator', async () => {
    const { reads, resolver: of } = resolver({ acme, shared: operators, plain: only({}) });
    expect(await of.visibleModels(caller)).toEqual({ team: acme, shared: operators });
    expect(await of.visibleModels({ teamId: null })).toEqual({ team: undefined, shared: operators });
    reads.length = 0;
    expect(await of.visibleModels({ teamId: 'plain' })).toEqual({ team: only({}), shared: undefined });
    expect(await of.visibleModels({ teamId: 'unknown' })).toEqual({ team: undefined, shared: undefined });
    expect(reads).toEqual(['plain', 'unknown']);
  });

  it('keeps the error of a corrupt shared record for a team, and throws any other', async () => {
    expect(await resolver({ acme, shared: corrupt }).resolver.visibleModels(caller)).toEqual({
      team: acme,
      shared: undefined,
      sharedError: corrupt,
    });
    await expect(resolver({ shared: corrupt }).resolver.visibleModels({ teamId: null })).rejects.toBe(
      corrupt,
    );
    await expect(resolver({ acme, shared: unavailable }).resolver.visibleModels(caller)).rejects.toBe(
      unavailable,
    );
    await expect(resolver({ acme: unavailable }).resolver.visibleModels(caller)).rejects.toBe(unavailable);
  });

  const pool = (
    asked: Asked,
    given: VisibleModels = models,
    more: { fallback?: string; out?: boolean; who?: Caller } = {},
  ) =>
    resolver({}, more.out).resolver.pool(given, more.who ?? caller, request(asked), {
      fallback: more.fallback,
      signal: undefined,
    });

  it('refuses a blocked team before anything else', async () => {
    const blocked = { team: { ...acme, blocked: true }, shared: operators };
    await expect(pool({ model: 'unknown' }, blocked)).rejects.toMatchObject({
      code: 'team_blocked',
      message: 'This team is blocked.',
    });
    await expect(pool({ model: 'chat' }, blocked, { fallback: 'embed' })).rejects.toMatchObject({
      code: 'team_blocked',
    });
  });

  it('resolves a fallback in place of the name of the call', async () => {
    expect(idsOf(await pool({ model: 'chat' }, models, { fallback: 'embed' }))).toEqual(['a3']);
    expect(idsOf(await pool({ model: 'chat' }))).toEqual(['a1', 'a2']);
  });

  it('knows no model of a team that does not exist', async () => {
    const none = { team: undefined, shared: undefined };
    await expect(pool({ model: 'chat', objects: ['file_1'] }, none)).rejects.toMatchObject({
      code: 'model_not_found',
    });
    await expect(pool({ objects: ['file_1'] }, none)).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('does not call a model unknown while the storage cannot be reached', async () => {
    await expect(pool({ model: 'new' })).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(pool({ model: 'new' }, models, { out: true })).rejects.toMatchObject({
      code: 'storage_unavailable',
      message: 'The storage cannot be reached, and this model is not known yet.',
    });
    const late = new RouterError('request_too_large', 'Later.');
    await expect(pool({ lateModel: late }, models, { out: true })).rejects.toBe(late);
  });

  it('refuses an unread call in the same way', () => {
    const call = {
      method: 'POST',
      path: '/chat/completions',
      query: new URLSearchParams('model=new'),
      headers: new Headers({ 'content-type': 'multipart/form-data' }),
    };
    const refuse = (out: boolean) =>
      fault(() => resolver({}, out).resolver.refuseUnread(models, caller, call));
    expect(refuse(false).code).toBe('model_not_found');
    expect(refuse(true).code).toBe('storage_unavailable');
    const blocked = { team: { ...acme, blocked: true }, shared: operators };
    expect(fault(() => resolver({}, true).resolver.refuseUnread(blocked, caller, call)).code).toBe(
      'team_blocked',
    );
  });

  it('leaves out deployments that the call cannot be sent to, and throws the first refusal if none is left', async () => {
    const refused = new RouterError('invalid_request', 'Refused by the controls.');
    const stateful = new RouterError('stateful_on_shared', 'Refused.');
    const notFirst = (deployment: Deployment) => (deployment.id === 'a1' ? refused : undefined);
    expect(idsOf(await pool({ model: 'chat', controls: notFirst }))).toEqual(['a2']);
    expect(await pool({ model: 'chat', controls: () => undefined })).toEqual({
      publicName: 'chat',
      deployments: acme.pools.get('chat'),
    });
    await expect(pool({ model: 'chat', controls: () => refused })).rejects.toBe(refused);
    await expect(pool({ model: 'common', refusal: () => stateful })).rejects.toBe(stateful);
    await expect(pool({ model: 'common', refusal: () => stateful, controls: () => refused })).rejects.toBe(
      refused,
    );
    await expect(pool({ model: 'embed' }, models, { fallback: 'common' })).resolves.toBeDefined();
    await expect(
      pool({ model: 'embed', refusal: () => stateful }, models, { fallback: 'common' }),
    ).rejects.toBe(stateful);
    expect(idsOf(await pool({ model: 'chat', refusal: () => stateful }))).toEqual(['a1', 'a2']);
    expect(idsOf(await pool({ model: 'chat', refusal: () => stateful, controls: () => undefined }))).toEqual([
      'a1',
      'a2',
    ]);
    await expect(
      pool({ model: 'chat', controls: (deployment) => (deployment.id === 'a1' ? refused : stateful) }),
    ).rejects.toBe(refused);
  });

  it('tells the controls whether the caller can change models', async () => {
    const seen: unknown[] = [];
    const asked = request({ model: 'embed' });
    (asked.body as { controls?: unknown }).controls = {
      refusal: (_: Deployment, mayManage: unknown) => void seen.push(mayManage),
    };
    const { resolver: of } = resolver({});
    for (const mayManage of [false, true])
      await of.pool(models, { ...caller, mayManage }, asked, { fallback: undefined, signal: undefined });
    expect(seen).toEqual([false, true]);
  });
});
