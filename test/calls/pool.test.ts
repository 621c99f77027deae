import { expect, it } from 'vitest';
import { Health } from '../../src/calls/health.ts';
import { Limits } from '../../src/calls/limits.ts';
import { choose } from '../../src/calls/pool.ts';
import type { Deployment } from '../../src/teams/deployment.ts';

const deployment = (id: string, params: { order?: number; weight?: number } = {}) =>
  ({ id, params }) as unknown as Deployment;

const gates = { health: new Health(() => 0), limits: new Limits(() => 0) };

/** How often each is chosen over evenly spread random numbers. */
function shares(pool: Deployment[], tried: string[] = []): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let step = 0; step < 1_000; step++) {
    const id = choose(pool, new Set(tried), gates, () => step / 1_000)?.id ?? 'none';
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

it('chooses by weight', () => {
  expect(shares([deployment('a', { weight: 3 }), deployment('b', { weight: 1 })])).toEqual({
    a: 750,
    b: 250,
  });
  expect(shares([deployment('a'), deployment('b')])).toEqual({ a: 500, b: 500 });
});

it('a lower order comes first, and the next when all of it were tried', () => {
  const pool = [deployment('a', { order: 1 }), deployment('b', { order: 2 }), deployment('c', { order: 2 })];
  expect(shares(pool)).toEqual({ a: 1_000 });
  expect(shares(pool, ['a'])).toEqual({ b: 500, c: 500 });
});

it('a deployment of weight 0 is chosen only when nothing else is left', () => {
  const pool = [deployment('a', { weight: 0 }), deployment('b', { weight: 1 })];
  expect(shares(pool)).toEqual({ b: 1_000 });
  expect(shares(pool, ['b'])).toEqual({ a: 1_000 });
});

it('begins again when all were tried', () => {
  expect(shares([deployment('a'), deployment('b')], ['a', 'b'])).toEqual({ a: 500, b: 500 });
  expect(shares([])).toEqual({ none: 1_000 });
});
