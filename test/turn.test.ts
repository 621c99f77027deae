import { afterEach, describe, expect, it, vi } from 'vitest';
import { Turn } from '../src/turn.ts';

afterEach(() => void vi.useRealTimers());

describe('a turn', () => {
  it('lets what came in together go on together, in its order, and what comes then with the next', async () => {
    const turn = new Turn();
    const gone: string[] = [];
    const over = new Promise<void>((resolve) => {
      turn.end(() => {
        gone.push('first');
        turn.end(() => {
          gone.push('third');
          resolve();
        });
      });
    });
    turn.end(() => gone.push('second'));
    gone.push('read');
    await over;
    expect(gone).toEqual(['read', 'first', 'second', 'third']);
  });

  it('goes on by itself, under fake timers too: who waits alone is called back', async () => {
    vi.useFakeTimers();
    const turn = new Turn();
    for (let count = 0; count < 3; count++) await new Promise<void>((resolve) => turn.end(resolve));
  });
});
