import { afterEach, describe, expect, it, vi } from 'vitest';
import { nextTick, TickBatch, tickFor } from '../src/tick-batch.ts';

afterEach(() => void vi.useRealTimers());

describe('a turn', () => {
  it('runs callbacks of one tick together in order, and later ones in the next tick', async () => {
    const turn = new TickBatch();
    const gone: string[] = [];
    const over = new Promise<void>((resolve) => {
      turn.schedule(() => {
        gone.push('first');
        turn.schedule(() => {
          gone.push('third');
          resolve();
        });
      });
    });
    turn.schedule(() => gone.push('second'));
    gone.push('read');
    await over;
    expect(gone).toEqual(['read', 'first', 'second', 'third']);
  });

  it('runs without further input and under fake timers: calls back a single waiter', async () => {
    vi.useFakeTimers();
    const turn = new TickBatch();
    for (let count = 0; count < 3; count++) await new Promise<void>((resolve) => turn.schedule(resolve));
  });
});

describe('long work', () => {
  /** How many turns of the event loop pass until all pieces have been looked through, and the order in which they were. */
  async function pass(pieces: readonly number[]): Promise<{ turns: number; order: number[] }> {
    await nextTick(null);
    await nextTick(null);
    let turns = 0;
    let open = true;
    const count = () => {
      turns += 1;
      if (open) setImmediate(count);
    };
    setImmediate(count);
    const order: number[] = [];
    const lookThrough = async (bytes: number) => {
      await tickFor('acme', bytes);
      order.push(bytes);
    };
    await Promise.all(pieces.map(lookThrough));
    open = false;
    return { turns, order };
  }

  it('many long pieces at the same time are looked through one a turn, in the order of coming', async () => {
    const pieces = Array.from({ length: 20 }, (_, at) => 65_000 + at);
    const { turns, order } = await pass(pieces);
    expect(turns).toBeGreaterThanOrEqual(18);
    expect(order).toEqual(pieces);
  });

  it('short pieces share a turn, and do not wait behind long ones', async () => {
    const long = Array.from({ length: 5 }, () => 1_048_576);
    const { order } = await pass([...long, ...Array.from({ length: 30 }, () => 2_000)]);
    expect(order.slice(0, 31).filter((bytes) => bytes === 2_000)).toHaveLength(30);
  });

  it("one team's many pieces do not hold up another's", async () => {
    await nextTick(null);
    await nextTick(null);
    const order: string[] = [];
    const lookThrough = async (team: string) => {
      await tickFor(team, 65_536);
      order.push(team);
    };
    const hostile = Array.from({ length: 50 }, () => lookThrough('hostile'));
    await Promise.all([...hostile, lookThrough('acme')]);
    expect(order.indexOf('acme')).toBeLessThanOrEqual(2);
    expect(order).toHaveLength(51);
  });
});
