import { deepEqual, equal } from 'node:assert/strict';
import type { Storage, Version } from '../storage.ts';
import { type Check, insert, present, type Trial } from './check.ts';

/** Starts `count` concurrent runs, distributed over all handles. */
function together<Result>(
  { handles, storage }: Trial,
  count: number,
  run: (handle: Storage, index: number) => Promise<Result>,
): Promise<Result[]> {
  return Promise.all(
    Array.from({ length: count }, (_, index) => run(handles[index % handles.length] ?? storage, index)),
  );
}

async function increment(storage: Storage, key: string): Promise<void> {
  let written: Version | undefined;
  while (written === undefined) {
    const { value, version } = await present(storage, key);
    written = await storage.put(key, String(Number(value) + 1), version);
  }
}

export const raceChecks: readonly Check[] = [
  {
    name: 'exactly one of 50 concurrent inserts succeeds, and its value is stored',
    async run(trial) {
      for (let round = 0; round < 3; round += 1) {
        const key = trial.at(String(round));
        const versions = await together(trial, 50, (storage, index) => storage.put(key, String(index), null));
        const winners = versions.flatMap((version, index) =>
          version === undefined ? [] : [{ value: String(index), version }],
        );
        equal(winners.length, 1, `${winners.length} inserts of one key were acknowledged`);
        deepEqual(await trial.storage.get(key), winners[0]);
      }
    },
  },
  {
    name: 'exactly one of 50 concurrent updates of one version succeeds',
    async run(trial) {
      const version = await insert(trial.storage, trial.at('a'), 'start');
      const versions = await together(trial, 50, (storage, index) =>
        storage.put(trial.at('a'), String(index), version),
      );
      const winner = versions.findIndex((answer) => answer !== undefined);
      equal(versions.filter((answer) => answer !== undefined).length, 1);
      deepEqual(await trial.storage.get(trial.at('a')), { value: String(winner), version: versions[winner] });
    },
  },
  {
    name: '10 concurrent workers lose no increment of a counter',
    async run(trial) {
      await insert(trial.storage, trial.at('counter'), '0');
      await together(trial, 10, async (storage) => {
        for (let turn = 0; turn < 10; turn += 1) await increment(storage, trial.at('counter'));
      });
      equal((await present(trial.storage, trial.at('counter'))).value, '100');
    },
  },
  {
    name: 'exactly one of a delete and concurrent updates of one version succeeds',
    async run(trial) {
      const version = await insert(trial.storage, trial.at('a'), 'start');
      const wins = await together(trial, 20, (storage, index) =>
        index % 2 === 0
          ? storage.delete(trial.at('a'), version)
          : storage.put(trial.at('a'), String(index), version).then((answer) => answer !== undefined),
      );
      equal(wins.filter(Boolean).length, 1);
      const deleted = wins.indexOf(true) % 2 === 0;
      equal((await trial.storage.get(trial.at('a'))) === undefined, deleted);
    },
  },
];
