import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { generateEncryptionKey, memoryStorage, type Storage, TeamModelRouter } from 'team-model-router';
import { describe, expect, it } from 'vitest';
import { clusterStorages, newRoom } from './support/connections.ts';
import { gatewayFixture, masterKey, outcome, send } from './support/gateway.ts';
import { temporaryFolder } from './support/temporary-folder.ts';
import type { UniqueReport } from './support/unique-writer.ts';

const body = (name = 'assistant') => ({
  model_name: name,
  litellm_params: { model: 'gpt-4o', api_key: 'sk-0123456789abcdef' },
});
const taken = { code: 'already_exists', status: 409, param: 'model_name' };
const encryptionKeys = [generateEncryptionKey('k')];
const open = (storage: Storage = memoryStorage()) => new TeamModelRouter({ storage, encryptionKeys });
const names = async (router: TeamModelRouter, teamId: string) =>
  (await router.listModels(teamId)).data.map(({ model_name }) => model_name).sort();

describe('addModel with unique', () => {
  it('adds one model when 100 callers add it at the same time, and leaves no pointer behind', async () => {
    const storage = memoryStorage();
    const router = open(storage);
    const calls = Array.from({ length: 100 }, () => router.addModel('acme', body(), { unique: true }));
    const results = await Promise.allSettled(calls);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    for (const reason of reasons) expect(reason).toMatchObject(taken);
    expect(await names(router, 'acme')).toEqual(['assistant']);
    const keys = (await storage.list('', { limit: 1000 })).entries.map(({ key }) => key.split('/')[0]);
    expect(keys.sort()).toEqual(['model', 'team']);
    await router.close();
  });

  it('says which name is taken, and what to do', async () => {
    const router = open();
    await router.addModel('acme', body());
    await expect(router.addModel('acme', body(), { unique: true })).rejects.toThrow(
      'model_name: "assistant" already exists in this team. Update that model, or choose another name.',
    );
    // Another team's model, a shared one and another case of the letters are other names.
    await router.addModel('globex', body(), { unique: true });
    await router.addSharedModel(body(), { unique: true });
    await router.addModel('acme', body('Assistant'), { unique: true });
    await expect(router.addSharedModel(body(), { unique: true })).rejects.toMatchObject(taken);
    await router.addModel('acme', body(), { unique: false });
    await router.close();
  });

  it('refuses an option that is unknown or of another type, and stores nothing', async () => {
    const storage = memoryStorage();
    const router = open(storage);
    const add = (options: object) => router.addModel('acme', body(), options);
    await expect(add({ unqiue: true })).rejects.toMatchObject({ code: 'invalid_request', param: 'unqiue' });
    await expect(add({ unqiue: true })).rejects.toThrow('Did you mean unique?');
    await expect(add({ unique: 'true' })).rejects.toMatchObject({ param: 'unique' });
    await expect(add({ userID: 'jane' })).rejects.toThrow('Did you mean userId?');
    expect((await storage.list('', { limit: 10 })).entries).toEqual([]);
    await router.close();
  });
});

it('updateModel with unique refuses to rename to a name that is taken', async () => {
  const router = open();
  const { model_id } = await router.addModel('acme', body('one'));
  await router.addModel('acme', body('two'));
  const before = await router.listModels('acme');
  await expect(
    router.updateModel('acme', model_id, { model_name: 'two' }, { unique: true }),
  ).rejects.toMatchObject(taken);
  expect(await router.listModels('acme')).toEqual(before);
  await router.updateModel('acme', model_id, { model_name: 'one' }, { unique: true });
  await router.updateModel('acme', model_id, { model_name: 'three' }, { unique: true });
  expect(await names(router, 'acme')).toEqual(['three', 'two']);
  const shared = await router.addSharedModel(body('one'));
  await router.addSharedModel(body('two'));
  await expect(
    router.updateSharedModel(shared.model_id, { model_name: 'two' }, { unique: true }),
  ).rejects.toMatchObject(taken);
  await router.close();
});

type Step = { kind: 'add' | 'add unique' | 'rename unique' | 'delete'; name: string; to: string };
const name = fc.constantFrom('a', 'b', 'c');
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('add', 'add unique', 'rename unique', 'delete'),
  name,
  to: name,
});

it('a name that only unique changes use never has two models, whatever runs at the same time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 6 }), async (rounds) => {
      const router = open();
      for (const round of rounds) {
        const before = (await router.listModels('acme')).data;
        const idOf = (wanted: string) =>
          before.find(({ model_name }) => model_name === wanted)?.model_info.id ?? 'none';
        const apply = ({ kind, name: from, to }: Step): Promise<unknown> => {
          // The name `a` is the one that a plain addition may double.
          if (kind === 'add') return router.addModel('acme', body('a'));
          if (kind === 'add unique') return router.addModel('acme', body(from), { unique: true });
          if (kind === 'delete') return router.deleteModel('acme', idOf(from));
          return router.updateModel('acme', idOf(from), { model_name: to }, { unique: true });
        };
        const results = await Promise.allSettled(round.map(apply));
        for (const result of results) {
          if (result.status === 'rejected')
            expect(['already_exists', 'model_not_found']).toContain(result.reason.code);
        }
        const after = await names(router, 'acme');
        for (const each of ['b', 'c']) expect(after.filter((given) => given === each).length).toBeLessThan(2);
      }
      await router.close();
    }),
    { numRuns: 50 },
  );
});

describe('processes that add the same names with unique', () => {
  const newPath = temporaryFolder();
  const sqlite = { name: 'sqlite', url: `sqlite:${newPath()}` };

  describe.each([sqlite, ...clusterStorages])('on $name', ({ url = '' }) =>
    it.skipIf(url === '')('add each name once', async () => {
      const room = newRoom();
      const wanted = Array.from({ length: 20 }, (_, index) => `name-${index}`);
      const program = fileURLToPath(new URL('support/unique-writer.ts', import.meta.url));
      const children = [0, 1, 2].map(() =>
        fork(program, [url, room, encryptionKeys[0]?.key ?? '', wanted.join(',')], {
          execArgv: ['--import', 'tsx'],
          cwd: fileURLToPath(new URL('..', import.meta.url)),
        }),
      );
      await Promise.all(children.map((child) => once(child, 'message')));
      const answers = children.map((child) => once(child, 'message'));
      for (const child of children) child.send('go');
      const reports = (await Promise.all(answers)).map(([report]) => report as UniqueReport);
      const added = reports.flatMap((report) => report.added);
      expect(added.map((each) => each.name).sort()).toEqual([...wanted].sort());
      const refused = reports.flatMap((report) => report.refused);
      expect(refused).toHaveLength(5 * wanted.length);
      for (const refusal of refused) expect(refusal).toMatchObject({ code: taken.code, param: taken.param });
    }),
  );
});

it('POST /model/new and /model/update take unique with model_name', async () => {
  const { router, gateway } = gatewayFixture();
  const { key } = await router.createKey('acme');
  const post = (path: string, given: object, as = key) =>
    send(gateway, `POST ${path}`, { key: as, body: given });
  const results = await Promise.all(
    Array.from({ length: 10 }, () => post('/model/new', { ...body(), unique: true })),
  );
  expect(results.map(outcome).sort()).toEqual([
    '200',
    ...Array.from({ length: 9 }, () => '409 already_exists'),
  ]);
  expect(outcome(await post('/model/new', { ...body(), unique: false }))).toBe('200');
  expect(await names(router, 'acme')).toEqual(['assistant', 'assistant']);
  const wrong = await post('/model/new', { ...body(), unique: 'yes' });
  expect(wrong.json).toMatchObject({ error: { code: 'invalid_request', param: 'unique' } });
  const shared = { ...body(), unique: true };
  expect(outcome(await post('/model/new', shared, masterKey))).toBe('200');
  expect(outcome(await post('/model/add', shared, masterKey))).toBe('409 already_exists');

  const { model_id: id } = await router.addModel('acme', body('other'));
  const rename = { model_info: { id }, model_name: 'assistant', unique: true };
  expect(outcome(await post('/model/update', rename))).toBe('409 already_exists');
  const patched = await send(gateway, `PATCH /model/${id}/update`, {
    key,
    body: { model_name: 'assistant', unique: true },
  });
  expect(outcome(patched)).toBe('409 already_exists');
  expect(await names(router, 'acme')).toEqual(['assistant', 'assistant', 'other']);
  await router.close();
});
