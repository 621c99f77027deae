import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { maxBatch, maxWaiting, UsageSink } from '../../src/metering/sink/usage-sink.ts';
import type { UsageEvent } from '../../src/metering/usage-event.ts';

const event = (id: string) => ({ id, at: new Date().toISOString() }) as UsageEvent;

function sinkOf(deliver: (events: readonly UsageEvent[]) => unknown) {
  const dropped: number[] = [];
  const failures: unknown[] = [];
  const sink = new UsageSink({
    deliver,
    onFailed: (error) => failures.push(error),
    onDropped: (count) => dropped.push(count),
    random: () => 0,
  });
  return { sink, dropped, failures };
}

describe('UsageSink', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('collects events for a second, and delivers a full batch before', async () => {
    const sizes: number[] = [];
    const { sink } = sinkOf((events) => sizes.push(events.length));
    sink.push(event('a'));
    sink.push(event('b'));
    await vi.advanceTimersByTimeAsync(999);
    expect(sizes).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(sizes).toEqual([2]);
    for (let at = 0; at < maxBatch; at++) sink.push(event(`c${at}`));
    await vi.advanceTimersByTimeAsync(0);
    expect(sizes).toEqual([2, maxBatch]);
  });

  it('delivers a batch again until it is taken, with growing pauses', async () => {
    const tries: string[][] = [];
    const { sink, failures } = sinkOf(async (events) => {
      tries.push(events.map(({ id }) => id));
      if (tries.length < 4) throw new Error('billing is down');
    });
    sink.push(event('a'));
    await vi.advanceTimersByTimeAsync(1_000);
    sink.push(event('b'));
    await vi.advanceTimersByTimeAsync(500);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(tries).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(tries).toEqual([['a'], ['a', 'b'], ['a', 'b'], ['a', 'b']]);
    expect(failures).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(tries).toHaveLength(4);
  });

  it('drops events that are older than a day, and counts them', async () => {
    const { sink, dropped } = sinkOf(() => {
      throw new Error('billing is down');
    });
    sink.push(event('a'));
    await vi.advanceTimersByTimeAsync(86_400_000 + 600_000);
    expect(dropped).toEqual([1]);
    await sink.close();
  });

  it('holds a bounded number of events, and counts those that are dropped', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const seen = new Set<string>();
    const { sink, dropped } = sinkOf(async (events) => {
      await held;
      for (const { id } of events) seen.add(id);
    });
    for (let at = 0; at < maxWaiting + 7; at++) sink.push(event(String(at)));
    release();
    await vi.advanceTimersByTimeAsync(1_000);
    await sink.close();
    expect(seen.size).toBe(maxWaiting);
    expect(dropped).toEqual([7]);
  });

  it('delivers what waits when it is closed, and gives up after five seconds', async () => {
    const taken: string[] = [];
    const { sink } = sinkOf((events) => taken.push(...events.map(({ id }) => id)));
    for (let at = 0; at < 250; at++) sink.push(event(String(at)));
    await sink.close();
    expect(new Set(taken).size).toBe(250);

    const hanging = sinkOf(() => new Promise(() => {}));
    hanging.sink.push(event('a'));
    const closed = hanging.sink.close();
    await vi.advanceTimersByTimeAsync(5_000);
    await closed;
    expect(hanging.dropped).toEqual([1]);
  });
});
