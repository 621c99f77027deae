import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const seconds = 60;

it(`${seconds} s of mixed calls, faults and changes at full speed leave the heap and the connections as they were`, async () => {
  const child = fork(fileURLToPath(new URL('../support/soak.ts', import.meta.url)), [String(seconds)], {
    execArgv: ['--import', 'tsx', '--expose-gc'],
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  const ended = once(child, 'exit');
  const [told] = await once(child, 'message');
  const { calls, early, late, idle, left } = told as Record<string, number>;
  const shown = (bytes = 0) => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(
    `${calls} calls, heap ${shown(early)} after 10 s, ${shown(late)} at the end, ${idle} connections idle`,
  );
  expect(calls).toBeGreaterThan(1_000);
  expect((late ?? 0) / (early ?? 1)).toBeLessThan(1.1);
  // 16 callers, of whom each has one connection at a time.
  expect(idle).toBeLessThanOrEqual(16);
  expect(left).toBe(0);
  expect((await ended)[0]).toBe(0);
});
