import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { searchInSlices } from '../../src/calls/affinity/id-search.ts';

it('a search for created ids lets the event loop continue between the slices of a long answer', async () => {
  let done = false;
  const bytes = Buffer.from(`{"m":[${'{},'.repeat(340_000)}0],"id":"a","file":{"id":"b"}}`);
  const search = searchInSlices(bytes, ['id', 'file'], 'acme').finally(() => {
    done = true;
  });
  let turns = 0;
  while (!done) {
    await nextTurn();
    turns += 1;
  }
  expect(await search).toEqual(['a', 'b']);
  expect(turns).toBeGreaterThan(10);
});
