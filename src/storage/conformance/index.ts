import type { Storage } from '../storage.ts';
import { type Check, closing } from './check.ts';
import { keyChecks } from './keys.ts';
import { listChecks } from './lists.ts';
import { pairChecks } from './pairs.ts';
import { raceChecks } from './races.ts';
import { valueChecks } from './values.ts';

/**
 * The functions of a test runner that the suite uses. vitest, `node:test`, jest and mocha have them.
 *
 * @example
 * ```ts
 * import { describe, it } from 'vitest';
 *
 * const runner: ConformanceRunner = { describe, it };
 * storageConformance(runner, 'my storage', () => myStorage());
 * ```
 */
export interface ConformanceRunner {
  describe(name: string, body: () => void): unknown;
  it(name: string, body: () => Promise<void>): unknown;
}

/**
 * Options of `storageConformance`.
 *
 * @example
 * ```ts
 * import { describe, it } from 'vitest';
 *
 * const options: ConformanceOptions = { createPair: () => [myStorage(), myStorage()] };
 * storageConformance({ describe, it }, 'my storage', () => myStorage(), options);
 * ```
 */
export interface ConformanceOptions {
  /** Creates two storages over the same new data, as two processes would. Omit it if only one handle can exist. */
  createPair?: () => Storage[] | Promise<Storage[]>;
}

/**
 * Declares the tests that every storage must pass. Each test creates its storage, uses distinct keys, and closes the
 * storage.
 *
 * @example
 * ```ts
 * import { describe, it } from 'vitest';
 * import { storageConformance } from 'team-model-router/testing';
 *
 * storageConformance({ describe, it }, 'my storage', () => myStorage());
 * ```
 */
export function storageConformance(
  runner: ConformanceRunner,
  name: string,
  createStorage: () => Storage | Promise<Storage>,
  options: ConformanceOptions = {},
): void {
  const declare = (checks: readonly Check[], create: () => Promise<Storage[]>): void => {
    for (const check of checks) {
      runner.it(check.name, async () => closing(await create(), check.run));
    }
  };
  const { createPair } = options;
  runner.describe(`storage conformance: ${name}`, () => {
    const single = async (): Promise<Storage[]> => [await createStorage()];
    declare([...valueChecks, ...keyChecks, ...listChecks, ...raceChecks], single);
    if (createPair) {
      runner.describe('through two handles', () => {
        declare([...raceChecks, ...pairChecks], async () => createPair());
      });
    }
  });
}
