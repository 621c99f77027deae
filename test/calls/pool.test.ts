import { expect, it } from 'vitest';
import { CircuitBreaker } from '../../src/calls/routing/circuit-breaker.ts';
import { selectDeployment } from '../../src/calls/routing/load-balancer.ts';
import { RateLimiter } from '../../src/calls/routing/rate-limits.ts';
import type { Deployment } from '../../src/teams/records/deployment.ts';

const deployment = (id: string, params: { order?: number; weight?: number } = {}) =>
  ({ id, teamId: 'acme', params }) as unknown as Deployment;

const availability = { health: new CircuitBreaker(() => 0), limits: new RateLimiter(() => 0) };

/** How often each is chosen over evenly spread random numbers. */
function shares(pool: Deployment[], tried: string[] = []): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let step = 0; step < 1_000; step++) {
    const id = selectDeployment(pool, new Set(tried), availability, () => step / 1_000, 'acme')?.id ?? 'none';
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

/** The same numbers in every run. @see https://en.wikipedia.org/wiki/Linear_congruential_generator */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

it('20 000 choices are spread as the weights say', () => {
  const weights = { a: 5, b: 3, c: 1.5, d: 0.5 };
  const pool = Object.entries(weights).map(([id, weight]) => deployment(id, { weight }));
  const random = seeded(20_000);
  const counts: Record<string, number> = {};
  for (let choice = 0; choice < 20_000; choice++) {
    const id = selectDeployment(pool, new Set(), availability, random, 'acme')?.id ?? 'none';
    counts[id] = (counts[id] ?? 0) + 1;
  }
  const chiSquared = Object.entries(weights).reduce((sum, [id, weight]) => {
    const expected = weight * 2_000;
    return sum + ((counts[id] ?? 0) - expected) ** 2 / expected;
  }, 0);
  // Three degrees of freedom: one spread in a thousand that is right lies above it.
  expect(chiSquared).toBeLessThan(16.27);
});

it('a deployment that cools down is passed over, gets one probe when its time is over, and then its share', () => {
  let now = 0;
  const health = new CircuitBreaker(() => now);
  const own = { health, limits: new RateLimiter(() => now) };
  const pool = [deployment('a'), deployment('b')];
  const random = seeded(1);
  const chosen = () => {
    const id = selectDeployment(pool, new Set(), own, random, 'acme')?.id ?? 'none';
    health.tryAcquire({ id, teamId: 'acme' }, 'acme');
    return id;
  };
  const subject = { id: 'a', teamId: 'acme' };
  const failure = { reason: 'failed', throttled: false, alone: false, unprovoked: false };
  health.recordFailure(subject, 'acme', failure, { allowedFails: 1, cooldownMs: 1_000 });
  const cooling = Array.from({ length: 1_000 }, chosen);
  expect(new Set(cooling)).toEqual(new Set(['b']));
  now = 1_000;
  const probing = Array.from({ length: 1_000 }, chosen);
  expect(probing.filter((id) => id === 'a')).toHaveLength(1);
  health.recordResponse(subject, 'acme');
  health.recordSuccess(subject, 'acme');
  const healthy = Array.from({ length: 1_000 }, chosen);
  expect(healthy.filter((id) => id === 'a').length).toBeGreaterThan(400);
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
