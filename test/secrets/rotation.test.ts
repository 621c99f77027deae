import {
  type EncryptionKey,
  generateEncryptionKey,
  memoryStorage,
  type RotationProgress,
  type Storage,
  TeamModelRouter,
} from 'team-model-router';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RecordingProvider, recordingProvider } from '../support/recording-provider.ts';

const [oldKey, newKey, lostKey] = ['old', 'new', 'lost'].map((id) => generateEncryptionKey(id)) as [
  EncryptionKey,
  EncryptionKey,
  EncryptionKey,
];
const messages = [{ role: 'user' as const, content: 'hello' }];

let provider: RecordingProvider;
let storage: Storage;
let puts: string[];
const routers: TeamModelRouter[] = [];

beforeEach(async () => {
  provider = await recordingProvider();
  puts = [];
  const memory = memoryStorage();
  storage = {
    ...memory,
    put(key, value, ...rest) {
      puts.push(key);
      return memory.put(key, value, ...rest);
    },
    close: async () => {},
  };
});

afterEach(async () => {
  await Promise.all(routers.splice(0).map((router) => router.close({ drainTimeoutMs: 0 })));
  await provider.close();
});

function routerWith(...encryptionKeys: EncryptionKey[]): TeamModelRouter {
  const router = new TeamModelRouter({ storage, encryptionKeys, egress: { allow: [provider.url] } });
  routers.push(router);
  return router;
}

const body = (name: string, key: string, headers = {}) => ({
  model_name: name,
  litellm_params: { model: name, api_key: key, api_base: provider.url, extra_headers: headers },
});

async function keyOf(router: TeamModelRouter, team: string, model: string): Promise<string | undefined> {
  await router.chatCompletion(team, { model, messages });
  return provider.requests.at(-1)?.headers.authorization;
}

describe('a rotation', () => {
  it('moves every secret, the shared ones too, under the primary key, and does nothing the second time', async () => {
    const before = routerWith(oldKey);
    for (const team of ['acme', 'glo/bex', 'ümlaut']) {
      for (const name of ['a', 'b'])
        await before.addModel(team, body(name, `key-of-${name}`, { 'x-one': 'value-1' }));
    }
    await before.addSharedModel(body('shared', 'operators-key'));
    await before.updateTeam('acme', { models: ['shared'] });
    expect(await before.encryptionKeyUsage()).toEqual({ old: 13 });

    const router = routerWith(newKey, oldKey);
    const seen: RotationProgress[] = [];
    const done = await router.rotateEncryption({ onProgress: (progress) => seen.push(progress) });
    expect(done).toEqual({ records: 4, resealed: 13, unreadable: 0, failed: 0 });
    expect(seen.map(({ records }) => records)).toEqual([1, 2, 3, 4]);
    expect(await router.encryptionKeyUsage()).toEqual({ new: 13 });

    const alone = routerWith(newKey);
    expect(await keyOf(alone, 'glo/bex', 'b')).toBe('Bearer key-of-b');
    expect(provider.requests.at(-1)?.headers['x-one']).toBe('value-1');
    expect(await keyOf(alone, 'acme', 'shared')).toBe('Bearer operators-key');
    expect(JSON.stringify(await alone.listModels('acme'))).not.toContain('needs_reentry');

    puts.length = 0;
    expect(await router.rotateEncryption()).toEqual({ records: 4, resealed: 0, unreadable: 0, failed: 0 });
    expect(puts).toEqual([]);
  });

  it('goes in bounded writes through a record with many secrets', async () => {
    const before = routerWith(oldKey);
    const headers = Object.fromEntries(
      Array.from({ length: 31 }, (_, index) => [`x-${index}`, `value-${index}`]),
    );
    for (let index = 0; index < 20; index++)
      await before.addModel('acme', body(`m${index}`, 'a-key', headers));
    puts.length = 0;
    const router = routerWith(newKey, oldKey);
    expect(await router.rotateEncryption()).toMatchObject({ resealed: 640 });
    expect(puts).toEqual(['team/acme', 'team/acme', 'team/acme']);
    expect(await router.encryptionKeyUsage()).toEqual({ new: 640 });
  });

  it('stops on its signal, and continues from there', async () => {
    const before = routerWith(oldKey);
    for (let team = 0; team < 10; team++) await before.addModel(`team-${team}`, body('m', 'a-key'));
    const router = routerWith(newKey, oldKey);
    const controller = new AbortController();
    const ended = router.rotateEncryption({
      signal: controller.signal,
      onProgress: ({ records }) => records === 5 && controller.abort('enough'),
    });
    await expect(ended).rejects.toBe('enough');
    expect(await router.encryptionKeyUsage()).toEqual({ old: 6, new: 4 });
    expect(await router.rotateEncryption()).toMatchObject({ records: 11, resealed: 6 });
    expect(await router.encryptionKeyUsage()).toEqual({ new: 10 });
    await expect(router.rotateEncryption({ signal: AbortSignal.abort('before') })).rejects.toBe('before');
  });

  it('ends between two records when its router closes, without delaying the close', async () => {
    const before = routerWith(oldKey);
    for (let team = 0; team < 10; team++) await before.addModel(`team-${team}`, body('m', 'a-key'));
    const router = routerWith(newKey, oldKey);
    let closing: Promise<void> | undefined;
    const ended = router.rotateEncryption({
      onProgress({ records }) {
        if (records === 5) closing = router.close({ drainTimeoutMs: 86_400_000 });
      },
    });
    await expect(ended).rejects.toMatchObject({ code: 'draining' });
    await closing;
    expect(await before.encryptionKeyUsage()).toEqual({ old: 6, new: 4 });
  });

  it('loses nothing of what others write meanwhile, in this process and through another router', async () => {
    const writers = [routerWith(newKey, oldKey), routerWith(oldKey, newKey)];
    for (let index = 0; index < 50; index++) await writers[1]?.addModel('acme', body(`m${index}`, 'a-key'));
    const rotating = writers[0]?.rotateEncryption();
    await Promise.all(
      writers.flatMap((router, writer) =>
        Array.from({ length: 25 }, async (_, index) => {
          const { model_id } = await router.addModel(
            'acme',
            body(`w${writer}-${index}`, `key-${writer}-${index}`),
          );
          await router.updateModel('acme', model_id, { litellm_params: { weight: 2 } });
        }),
      ),
    );
    await rotating;
    await writers[0]?.rotateEncryption();
    const alone = routerWith(newKey);
    const { data } = await alone.listModels('acme');
    expect(data).toHaveLength(100);
    expect(data.filter(({ model_info }) => model_info.needs_reentry)).toEqual([]);
    expect(data.filter(({ litellm_params }) => litellm_params.weight === 2)).toHaveLength(50);
    expect(await keyOf(alone, 'acme', 'w1-24')).toBe('Bearer key-1-24');
  });

  it('leaves a secret that does not open as it is, and says so', async () => {
    const { model_id } = await routerWith(lostKey).addModel('acme', body('lost', 'a-key'));
    await routerWith(oldKey).addModel('acme', body('kept', 'another-key'));
    const router = routerWith(newKey, oldKey);
    const done = { records: 2, resealed: 1, unreadable: 1, failed: 0 };
    expect(await router.rotateEncryption()).toEqual(done);
    expect(await router.encryptionKeyUsage()).toEqual({ lost: 1, new: 1 });
    puts.length = 0;
    expect(await router.rotateEncryption()).toEqual({ ...done, resealed: 0 });
    expect(puts).toEqual([]);

    // That one deployment fails, loudly; the rest of the team works.
    const { data } = await router.listModels('acme');
    const marked = data.map(({ model_name, model_info }) => [model_name, model_info.needs_reentry ?? false]);
    expect(marked).toEqual([
      ['lost', true],
      ['kept', false],
    ]);
    await expect(router.chatCompletion('acme', { model: 'lost', messages })).rejects.toMatchObject({
      code: 'credential_unreadable',
    });
    expect(await keyOf(router, 'acme', 'kept')).toBe('Bearer another-key');

    await router.updateModel('acme', model_id, { litellm_params: { api_key: 'entered-again' } });
    expect(await keyOf(router, 'acme', 'lost')).toBe('Bearer entered-again');
    expect(await router.encryptionKeyUsage()).toEqual({ new: 2 });
  });

  it('held up every other call for a record full of secrets that do not open', async () => {
    const headers = Object.fromEntries(
      Array.from({ length: 7 }, (_, index) => [`x-${index}`, `value-${index}`]),
    );
    await routerWith(oldKey).addModel('acme', body('m', 'a-key', headers));
    const stored = await storage.get('team/acme');
    if (typeof stored !== 'object') throw new Error('The team is not stored.');
    const record = JSON.parse(stored.value);
    // Under another id none of its secrets opens.
    const [name, { deployments, ...pool }] = record.pools[0];
    const copies = Array.from({ length: 700 }, (_, index) => ({ ...deployments[0], id: `copy-${index}` }));
    record.pools = [[name, { ...pool, deployments: [...deployments, ...copies] }]];
    await storage.put('team/acme', JSON.stringify(record), stored.version);

    const router = routerWith(newKey, oldKey);
    let turns = 0;
    const countTurns = async (work: Promise<unknown>) => {
      turns = 0;
      let over = false;
      const ended = work.finally(() => {
        over = true;
      });
      const count = () => {
        turns += 1;
        if (!over) setImmediate(count);
      };
      setImmediate(count);
      return ended;
    };
    // Reads the same and opens nothing.
    await countTurns(router.encryptionKeyUsage());
    const withoutOpening = turns;
    const done = await countTurns(router.rotateEncryption());
    expect(done).toEqual({ records: 2, resealed: 8, unreadable: 5600, failed: 0 });
    expect(turns).toBeGreaterThan(withoutOpening + 5);
    expect(await router.encryptionKeyUsage()).toEqual({ old: 5600, new: 8 });
  }, 30_000);

  it('goes past a record that cannot be read, which stays counted', async () => {
    await routerWith(oldKey).addModel('acme', body('m', 'a-key'));
    await storage.put('team/broken', '{', null);
    await storage.put('team/%E0%A4%A', '{}', null);
    const router = routerWith(newKey, oldKey);
    expect(await router.rotateEncryption()).toEqual({ records: 4, resealed: 1, unreadable: 0, failed: 2 });
    expect(await router.encryptionKeyUsage()).toEqual({ new: 1, '?': 2 });
  });
});
