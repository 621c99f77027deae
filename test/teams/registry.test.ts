import { beforeEach, describe, expect, it } from 'vitest';
import { RouterError } from '../../src/errors.ts';
import { memoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { RecordStore } from '../../src/teams/records/record-store.ts';
import { newRecord, type TeamRecord } from '../../src/teams/records/team-record.ts';

const lost = () => new RouterError('storage_unavailable', 'The connection was lost.');
const timeoutMs = 200;

/** Every count of it is one change: what is applied twice, or not at all, shows. */
const count =
  (by = 1) =>
  (existing: TeamRecord | undefined) => {
    const record = existing ?? newRecord('acme', '2026-01-01T00:00:00.000Z', 'test');
    record.metadata = { count: (Number(record.metadata.count) || 0) + by };
    return { record, result: record.metadata.count };
  };
const remove = () => ({ record: undefined, result: 'gone' });

let inner: Storage;
/** Does what is asked, or not, and answers, or not; each put and delete takes the next. */
let faults: ('lost before' | 'lost after' | (() => Promise<void>))[];
let registry: RecordStore;
let other: RecordStore;

beforeEach(() => {
  inner = memoryStorage();
  faults = [];
  const faulty = async <Result>(operation: () => Promise<Result>): Promise<Result> => {
    const fault = faults.shift();
    if (fault === 'lost before') throw lost();
    const result = await operation();
    if (fault === 'lost after') throw lost();
    if (fault === undefined) return result;
    await fault();
    throw lost();
  };
  const storage: Storage = {
    ...inner,
    put: (...given) => faulty(() => inner.put(...given)),
    delete: (...given) => faulty(() => inner.delete(...given)),
  };
  registry = new RecordStore(storage, { timeoutMs, now: () => performance.now(), onWrite: () => {} });
  other = new RecordStore(inner, { timeoutMs, now: () => performance.now(), onWrite: () => {} });
});

const stored = async () => (await other.read('acme'))?.metadata.count;

describe('a write whose outcome is unknown', () => {
  it('is made when it turns out not to have happened', async () => {
    faults = ['lost before', 'lost before'];
    expect(await registry.change('acme', count())).toBe(1);
    expect(await stored()).toBe(1);
  });

  it('is not made again when it turns out to have happened', async () => {
    await registry.change('acme', count());
    faults = ['lost after'];
    expect(await registry.change('acme', count())).toBe(2);
    expect(await stored()).toBe(2);
  });

  it('is recognised though others have written many times since: their marks pushed its own out', async () => {
    const writeOften = async () => {
      for (let turn = 0; turn < 100; turn++) await other.change('acme', count(1000));
    };
    faults = [writeOften];
    await registry.change('acme', count());
    expect(await stored()).toBe(100_001);
  });

  it('does not delete a team that was created again after its delete', async () => {
    await registry.change('acme', count());
    faults = [
      async () => {
        await other.change('acme', () => ({
          record: newRecord('acme', '2026-02-02T00:00:00.000Z', 'test'),
          result: undefined,
        }));
      },
    ];
    expect(await registry.change('acme', remove)).toBe('gone');
    expect(await other.read('acme')).toMatchObject({ created_at: '2026-02-02T00:00:00.000Z' });
  });

  it('deletes a team that others have only changed', async () => {
    await registry.change('acme', count());
    faults = ['lost before'];
    expect(await registry.change('acme', remove)).toBe('gone');
    expect(await other.read('acme')).toBeUndefined();
  });
});

it('ends with the deadline when the storage hangs, and so does what waits behind it', async () => {
  const hanging: Storage = {
    ...inner,
    put: (_key, _value, _expected, options) =>
      new Promise((_, reject) => {
        options?.signal?.addEventListener('abort', () => reject(lost()));
      }),
  };
  registry = new RecordStore(hanging, { timeoutMs, now: () => performance.now(), onWrite: () => {} });
  const first = registry.change('acme', count());
  await new Promise(setImmediate);
  const behind = registry.change('acme', count());
  let ended = false;
  const noted = behind.finally(() => {
    ended = true;
  });
  noted.catch(() => {});
  await expect(first).rejects.toMatchObject({ code: 'storage_unavailable' });
  await new Promise(setImmediate);
  // It does not wait for as long again.
  expect(ended).toBe(true);
  await expect(behind).rejects.toMatchObject({ code: 'storage_unavailable' });
});
