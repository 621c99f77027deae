import { expect, test } from 'vitest';
import type { Storage } from '../../src/storage/storage.ts';
import { adapters } from '../storage/adapters.ts';
import { newRoom } from '../support/connections.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const count = 10_000;
const atATime = 50;

/** Inserts and deletes keys between those that stay, as long as `going`. */
async function churn(storage: Storage, room: string, writer: number, going: () => boolean): Promise<number> {
  let writes = 0;
  for (; going(); writes++) {
    const key = `${room}/${String((writes * 7_919) % count).padStart(5, '0')}-${writer}`;
    const version = await storage.put(key, 'passing', null);
    if (version !== undefined) await storage.delete(key, version);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return writes;
}

for (const { name, create } of adapters(temporaryFolder())) {
  test(`${count} keys are all listed, page by page, while others write: ${name}`, async () => {
    const storage = await create();
    const room = newRoom();
    const keys = Array.from({ length: count }, (_, index) => `${room}/${String(index).padStart(5, '0')}`);
    for (let start = 0; start < count; start += atATime) {
      await Promise.all(keys.slice(start, start + atATime).map((key) => storage.put(key, key, null)));
    }
    await storage.put(`${room}0`, 'beside the prefix', null);
    let walking = true;
    const writers = [0, 1].map((writer) => churn(storage, room, writer, () => walking));
    const listed = new Map<string, string | undefined>();
    let cursor: string | undefined;
    do {
      const page = await storage.list(`${room}/`, {
        limit: 1_000,
        ...(cursor === undefined ? {} : { cursor }),
      });
      expect(page.entries.length).toBeLessThanOrEqual(1_000);
      for (const { key, value } of page.entries) listed.set(key, value);
      cursor = page.cursor;
    } while (cursor !== undefined);
    walking = false;
    for (const writes of await Promise.all(writers)) expect(writes).toBeGreaterThan(0);
    expect(keys.filter((key) => listed.get(key) !== key)).toEqual([]);
    expect([...listed.keys()].every((key) => key.startsWith(`${room}/`))).toBe(true);
    await storage.close();
  });
}
