import { stat } from 'node:fs/promises';
import { RouterError } from '../../errors.ts';
import { SqliteFile } from './file.ts';

/** Maximum size in bytes of a file that is checked as a whole. That check takes a few seconds on a slow disk. */
const maxCheckedBytes = 512 * 1024 * 1024;

/**
 * Opens a SQLite file and checks that it is a database. Checks the pages of a file of at most 512 MiB.
 *
 * @throws RouterError `storage_unavailable` with the reason, without the path
 */
export async function checkSqliteFile(path: string, timeoutMs: number): Promise<void> {
  const file = new SqliteFile(path, timeoutMs);
  try {
    await file.read('SELECT key FROM keyv LIMIT 1', []);
    if ((await stat(path)).size > maxCheckedBytes) return;
    const [row] = await file.read('PRAGMA quick_check(1)', []);
    if (Object.values(row ?? {})[0] !== 'ok')
      throw new RouterError('storage_unavailable', 'The SQLite file is damaged (SQLITE_CORRUPT).');
  } finally {
    await file.close();
  }
}
