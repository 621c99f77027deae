import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { EventSearch, JsonSearch, searchInSlices } from '../../src/calls/affinity/id-search.ts';

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

it.each([
  ['JSON', new JsonSearch(['id']), '{', ','],
  ['an event', new EventSearch(['id']), 'data: {"response":{', ','],
])('a search of %s that repeats its id in each chunk stops at 16 ids', (_, search, head, comma) => {
  const found = [...search.push(Buffer.from(head)).ids];
  for (let index = 0; index < 100 && !search.over; index++)
    found.push(...search.push(Buffer.from(`"id":"file-${index}"${comma}`)).ids);
  expect(found).toHaveLength(16);
  expect(search.over).toBe(true);
});
