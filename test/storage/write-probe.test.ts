import { describe, expect, it, vi } from 'vitest';
import { RouterError } from '../../src/errors.ts';
import { memoryStorage } from '../../src/storage/memory.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { WriteProbe } from '../../src/storage/write-probe.ts';

describe('WriteProbe', () => {
  function counted(put: (storage: Storage) => Storage['put'] = ({ put }) => put) {
    const inner = memoryStorage();
    const puts: { key: string; value: string; expiresAt: number | undefined }[] = [];
    const storage: Storage = {
      ...inner,
      put(key, value, expected, options) {
        puts.push({ key, value, expiresAt: options?.expiresAt });
        return put(inner)(key, value, expected, options);
      },
    };
    return { storage, inner, puts };
  }

  it('writes once for any number of checks, a row of no bytes that expires', async () => {
    const { storage, puts } = counted();
    const probe = new WriteProbe(storage);
    await Promise.all(Array.from({ length: 100 }, () => probe.check()));
    await probe.check();
    expect(puts).toEqual([
      { key: expect.stringMatching(/^probe:/), value: '', expiresAt: expect.any(Number) },
    ]);
    expect(puts[0]?.expiresAt).toBeLessThan(Date.now() + 60_001);
  });

  it('writes over its own row, also when that has expired meanwhile', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'Date'] });
    try {
      const { storage, inner, puts } = counted();
      const probe = new WriteProbe(storage);
      for (const seconds of [0, 5, 5, 120]) {
        vi.advanceTimersByTime(seconds * 1000);
        await probe.check();
      }
      expect(new Set(puts.map(({ key }) => key)).size).toBe(1);
      expect((await inner.list('probe:')).entries).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it('says that writes fail until they are taken, and asks no more than once a second', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'Date'] });
    try {
      let refuses = true;
      const { storage, puts } = counted(({ put }) => async (...given) => {
        if (refuses) throw new RouterError('storage_unavailable', 'It is full.');
        return put(...given);
      });
      const probe = new WriteProbe(storage);
      for (let count = 0; count < 10; count++)
        await expect(probe.check()).rejects.toMatchObject({ code: 'storage_unavailable' });
      expect(puts).toHaveLength(1);
      refuses = false;
      vi.advanceTimersByTime(1_000);
      await probe.check();
      expect(puts).toHaveLength(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it('writes again if another write has failed since the accepted one', async () => {
    const { storage, puts } = counted();
    const probe = new WriteProbe(storage);
    await probe.check();
    probe.recordFailure();
    await probe.check();
    await probe.check();
    expect(puts).toHaveLength(2);
  });

  it('does not reuse a write that was under way when another write failed', async () => {
    const { storage, puts } = counted();
    const probe = new WriteProbe(storage);
    const underWay = probe.check();
    probe.recordFailure();
    await underWay;
    await probe.check();
    await probe.check();
    expect(puts).toHaveLength(2);
  });

  it('continues after a write that was reported as failed but was applied', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'Date'] });
    try {
      let loses = true;
      const { storage } = counted(({ put }) => async (...given) => {
        const version = await put(...given);
        if (!loses) return version;
        loses = false;
        throw new RouterError('storage_unavailable', 'The answer was lost.');
      });
      const probe = new WriteProbe(storage);
      await expect(probe.check()).rejects.toMatchObject({ code: 'storage_unavailable' });
      vi.advanceTimersByTime(1_000);
      await probe.check();
    } finally {
      vi.useRealTimers();
    }
  });

  it('takes a storage that answers every put with a conflict for one that refuses writes', async () => {
    const { storage } = counted(() => async () => undefined);
    await expect(new WriteProbe(storage).check()).rejects.toMatchObject({ code: 'storage_unavailable' });
  });
});
