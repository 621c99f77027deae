import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memoryStorage } from '../../src/storage/memory.ts';
import type { Storage, Version } from '../../src/storage/storage.ts';
import { newRoom } from '../support/connections.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { adapters } from './adapters.ts';
import { RecordedHistory } from './recorded-history.ts';

const steps = fc.array(
  fc.record({
    action: fc.constantFrom('put', 'put', 'insert', 'delete', 'get', 'list'),
    key: fc.constantFrom('a', 'a/b', 'A', '%', '🙂'),
    limit: fc.integer({ min: 1, max: 4 }),
  }),
  { minLength: 5, maxLength: 25 },
);
type Steps = typeof steps extends fc.Arbitrary<infer Value> ? Value : never;

/** One worker, which knows of each key the version that it saw last. */
async function work(storage: Storage, history: RecordedHistory, room: string, name: string, steps: Steps) {
  const seen = new Map<string, Version>();
  const see = (key: string, version: Version | undefined): void => {
    if (version === undefined) seen.delete(key);
    else seen.set(key, version);
  };
  for (const [turn, { action, key: short, limit }] of steps.entries()) {
    const key = `${room}/${short}`;
    const known = seen.get(key);
    if (action === 'list') await history.walk(storage, key, limit);
    else if (action === 'put' && known !== undefined) {
      const version = await history.put(storage, key, `${name} ${turn}`, known);
      if (version !== undefined) see(key, version);
    } else if (action === 'insert') {
      const version = await history.put(storage, key, `${name} ${turn}`, null);
      if (version !== undefined) see(key, version);
    } else if (action === 'delete' && known !== undefined) {
      if (await history.delete(storage, key, known)) see(key, undefined);
    } else see(key, await history.get(storage, key));
  }
}

async function run(handles: readonly Storage[], scripts: readonly Steps[]): Promise<void> {
  const history = new RecordedHistory();
  const room = newRoom();
  await Promise.all(
    scripts.map((script, index) => {
      const storage = handles[index % handles.length];
      if (storage === undefined) throw new Error('there is no storage');
      return work(storage, history, room, `worker ${index}`, script);
    }),
  );
  history.check();
}

for (const { name, create, createPair } of adapters(temporaryFolder())) {
  test(`whatever 4 workers do at the same time, ${name} gives answers that one order of it explains`, async () => {
    const handles = createPair ? await createPair() : [await create()];
    try {
      const property = fc.asyncProperty(fc.tuple(steps, steps, steps, steps), (scripts) =>
        run(handles, scripts),
      );
      await fc.assert(property, { numRuns: 25 });
    } finally {
      await Promise.all(handles.map((handle) => handle.close()));
    }
  });
}

test('a storage that compares and sets in two steps is found out', async () => {
  const inner = memoryStorage();
  const storage: Storage = {
    ...inner,
    async put(key, value, expected) {
      const row = await inner.get(key);
      const version = row === undefined || row === 'unchanged' ? null : row.version;
      if (version !== expected) return undefined;
      await new Promise(setImmediate);
      const now = await inner.get(key);
      return inner.put(key, value, now === undefined || now === 'unchanged' ? null : now.version);
    },
  };
  const property = fc.asyncProperty(fc.tuple(steps, steps, steps, steps), (scripts) =>
    run([storage], scripts),
  );
  await expect(fc.assert(property, { numRuns: 100 })).rejects.toThrow();
});
