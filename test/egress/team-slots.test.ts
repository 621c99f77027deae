import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type SlotLimits, type SlotWaiter, type TeamKey, TeamSlots } from '../../src/egress/team-slots.ts';
import { RouterError } from '../../src/errors.ts';
import { runs } from '../support/runs.ts';

function slots(limits: Partial<SlotLimits>): TeamSlots {
  return new TeamSlots({
    total: 4,
    perTeam: 2,
    queuedPerTeam: 8,
    queueTimeoutMs: 60_000,
    refusal: (perTeam) => new RouterError('rate_limit_exceeded', perTeam ? 'team' : 'all'),
    ...limits,
  });
}

/** Takes a slot or waits; notes who was served and who was refused, in order. */
function ask(from: TeamSlots, team: TeamKey, name: string, served: string[]): SlotWaiter {
  const waiter = {
    granted: () => void served.push(name),
    refused: ({ message }: RouterError) => void served.push(`${name} refused: ${message}`),
  };
  if (from.tryTake(team)) served.push(name);
  else from.wait(team, waiter);
  return waiter;
}

it('serves the waiting teams in turn, in any order of arrival', () => {
  const pool = slots({ total: 2, perTeam: 2 });
  const served: string[] = [];
  for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) ask(pool, 'a', name, served);
  for (const name of ['b1', 'b2']) ask(pool, 'b', name, served);
  ask(pool, 'c', 'c1', served);
  for (const team of ['a', 'a', 'b', 'c', 'a', 'b']) pool.release(team);
  expect(served).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4', 'a5']);
});

it('a team over its share waits alone', () => {
  const pool = slots({ total: 4, perTeam: 2 });
  const served: string[] = [];
  for (const name of ['a1', 'a2', 'a3']) ask(pool, 'a', name, served);
  for (const name of ['b1', 'b2']) ask(pool, 'b', name, served);
  expect(served).toEqual(['a1', 'a2', 'b1', 'b2']);
  pool.release('b');
  expect(served).toHaveLength(4);
  pool.release('a');
  expect(served.at(-1)).toBe('a3');
});

it('a full queue refuses its own team alone, and says which bound is reached', () => {
  const pool = slots({ total: 3, perTeam: 2, queuedPerTeam: 1 });
  const served: string[] = [];
  for (const name of ['a1', 'a2', 'a3', 'a4']) ask(pool, 'a', name, served);
  for (const name of ['b1', 'b2', 'b3']) ask(pool, 'b', name, served);
  expect(served).toEqual(['a1', 'a2', 'a4 refused: team', 'b1', 'b3 refused: all']);
});

it('a wait ends', async () => {
  const pool = slots({ total: 1, perTeam: 1, queueTimeoutMs: 1 });
  pool.tryTake('a');
  const refused = await new Promise<RouterError>((resolve) =>
    pool.wait('b', { granted: () => expect.unreachable('no slot is free'), refused: resolve }),
  );
  expect(refused).toMatchObject({ code: 'rate_limit_exceeded', message: 'all' });
  pool.release('a');
  expect([pool.held, pool.teams]).toEqual([0, 0]);
});

it('whatever happens: no bound is passed, no free slot is kept from a team that may have it, and all come back', () => {
  const step = fc.record({
    team: fc.constantFrom<TeamKey>('a', 'b', 'c', null),
    what: fc.constantFrom('ask', 'ask', 'end', 'leave'),
  });
  const bounds = fc.record({
    total: fc.integer({ min: 1, max: 6 }),
    perTeam: fc.integer({ min: 1, max: 4 }),
    queuedPerTeam: fc.integer({ min: 0, max: 4 }),
  });
  fc.assert(
    fc.property(bounds, fc.array(step, { maxLength: 200 }), (limits, steps) => {
      const pool = slots(limits);
      const held = new Map<TeamKey, number>();
      const waiting = new Map<TeamKey, SlotWaiter[]>();
      const count = (team: TeamKey) => held.get(team) ?? 0;
      const queue = (team: TeamKey) => waiting.get(team) ?? [];
      const check = () => {
        const total = [...held.values()].reduce((sum, each) => sum + each, 0);
        expect(total).toBe(pool.held);
        expect(total).toBeLessThanOrEqual(limits.total);
        for (const team of ['a', 'b', 'c', null]) {
          expect(count(team)).toBeLessThanOrEqual(limits.perTeam);
          expect(queue(team).length).toBeLessThanOrEqual(limits.queuedPerTeam);
          const bounded = count(team) >= limits.perTeam || total >= limits.total;
          if (queue(team).length > 0) expect(bounded).toBe(true);
        }
      };
      for (const { team, what } of steps) {
        if (what === 'ask') {
          const waiter: SlotWaiter = {
            granted: () => {
              waiting.set(
                team,
                queue(team).filter((one) => one !== waiter),
              );
              held.set(team, count(team) + 1);
            },
            refused: () =>
              waiting.set(
                team,
                queue(team).filter((one) => one !== waiter),
              ),
          };
          if (pool.tryTake(team)) held.set(team, count(team) + 1);
          else {
            waiting.set(team, [...queue(team), waiter]);
            pool.wait(team, waiter);
          }
        } else if (what === 'end' && count(team) > 0) {
          held.set(team, count(team) - 1);
          pool.release(team);
        } else if (what === 'leave') {
          const [first, ...others] = queue(team);
          if (first !== undefined) {
            waiting.set(team, others);
            pool.leave(team, first);
          }
        }
        check();
      }
      for (const team of ['a', 'b', 'c', null]) for (const one of queue(team)) pool.leave(team, one);
      waiting.clear();
      for (const team of ['a', 'b', 'c', null]) {
        while (count(team) > 0) {
          held.set(team, count(team) - 1);
          pool.release(team);
        }
      }
      expect([pool.held, pool.teams]).toEqual([0, 0]);
    }),
    { numRuns: runs(500) },
  );
});
