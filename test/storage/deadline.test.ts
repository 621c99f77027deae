import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { RouterError } from '../../src/errors.ts';
import { memoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { withDeadline } from '../../src/storage/with-deadline.ts';

const hanging = (signals: (AbortSignal | undefined)[]): Storage => ({
  ...memoryStorage(),
  get: (_, options) => {
    signals.push(options?.signal);
    return new Promise(() => {});
  },
});

it('ends an operation that hangs, and tells the driver', async () => {
  const signals: (AbortSignal | undefined)[] = [];
  const storage = withDeadline(hanging(signals), 20);
  await expect(storage.get('key')).rejects.toMatchObject({ code: 'storage_unavailable' });
  expect(signals[0]?.aborted).toBe(true);
});

it("hands the caller's own abort to the driver", () => {
  const signals: (AbortSignal | undefined)[] = [];
  const controller = new AbortController();
  withDeadline(hanging(signals), 1_000)
    .get('key', { signal: controller.signal })
    .catch(() => {});
  expect(signals[0]?.aborted).toBe(false);
  controller.abort();
  expect(signals[0]?.aborted).toBe(true);
});

it('converts its error to the code that callers know', async () => {
  const failing = (error: Error) =>
    withDeadline({ ...memoryStorage(), get: () => Promise.reject(error) }, 1_000);
  const cause = new Error('ECONNREFUSED');
  await expect(failing(cause).get('key')).rejects.toMatchObject({ code: 'storage_unavailable', cause });
  const own = new RouterError('corrupt_record', 'It cannot be read.');
  await expect(failing(own).get('key')).rejects.toBe(own);
});

it('left a timer and a listener behind when a driver threw before it returned a promise', async () => {
  const storage = withDeadline(
    {
      ...memoryStorage(),
      get: () => {
        throw new Error('at once');
      },
    },
    86_400_000,
  );
  const { signal } = new AbortController();
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  await expect(storage.get('key', { signal })).rejects.toMatchObject({ code: 'storage_unavailable' });
  expect(timers()).toBe(before);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
