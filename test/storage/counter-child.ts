import { sqliteStorage } from '../../src/storage/sqlite/index.ts';

/** A process that waits for the start barrier and then increments one counter in a file, by compare-and-set. */
const [path = '', turns = '0'] = process.argv.slice(2);
const storage = sqliteStorage(path);
await storage.get('counter');

process.once('message', async () => {
  let conflicts = 0;
  for (let done = 0; done < Number(turns); ) {
    const row = await storage.get('counter');
    const count = row && row !== 'unchanged' ? Number(row.value) : 0;
    const version = row && row !== 'unchanged' ? row.version : null;
    const written = await storage.put('counter', String(count + 1), version);
    if (written === undefined) conflicts += 1;
    else done += 1;
  }
  await storage.close();
  process.send?.({ conflicts }, () => process.disconnect());
});
process.send?.('ready');
