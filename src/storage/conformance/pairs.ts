import { deepEqual, equal, ok } from 'node:assert/strict';
import type { StorageEvent } from '../storage.ts';
import { type Check, insert } from './check.ts';

export const pairChecks: readonly Check[] = [
  {
    name: 'a handle reads the completed writes of the other handle',
    async run({ storage, handles, at }) {
      const other = handles[1];
      ok(other, 'createPair gave only one storage');
      const version = await insert(storage, at('a'), 'one');
      deepEqual(await other.get(at('a')), { value: 'one', version });
      const next = (await other.put(at('a'), 'two', version)) ?? '';
      deepEqual(await storage.get(at('a'), { unless: version }), { value: 'two', version: next });
      equal(await storage.delete(at('a'), next), true);
      equal(await other.get(at('a')), undefined);
    },
  },
  {
    name: 'watch reports a write of the other handle to every active listener',
    async run({ storage, handles, at }) {
      const other = handles[1];
      ok(other, 'createPair gave only one storage');
      if (!storage.watch) return;
      const stopped: StorageEvent[] = [];
      const stop = await storage.watch((event) => stopped.push(event));
      let tell: (event: StorageEvent) => void = () => {};
      const told = new Promise<StorageEvent>((resolve) => {
        tell = resolve;
      });
      const stopLast = await storage.watch((event) => tell(event));
      await stop();
      await stop();
      const heard = stopped.length;
      await insert(other, at('a'), 'one');
      const event = await told;
      ok('reset' in event || event.key === at('a'), 'the event is of another key');
      equal(stopped.length, heard, 'a listener was told after it was stopped');
      await stopLast();
      await stopLast();
    },
  },
];
