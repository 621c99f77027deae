import { RouterError } from '../../errors.ts';

/**
 * Loads the optional package `@keyv/sqlite`.
 *
 * @throws RouterError `storage_unavailable` that says what to install or build
 */
export async function loadKeyvSqlite() {
  try {
    return (await import('@keyv/sqlite')).KeyvSqlite;
  } catch (cause) {
    ignoreRejection(cause);
    throw new RouterError('storage_unavailable', problemOf(cause), { cause });
  }
}

/**
 * Keeps a failed module load from ending the process. Node 20 rejects an additional internal promise with the same
 * error, and no code can handle that promise. Removes the listener after the current event loop tick.
 */
function ignoreRejection(cause: unknown): void {
  const listener = (reason: unknown): void => {
    if (reason !== cause) throw reason;
  };
  process.on('unhandledRejection', listener);
  setImmediate(() => process.off('unhandledRejection', listener));
}

/** Returns the advice for a missing package, a missing native binding, or a binding that does not load. */
function problemOf(cause: unknown): string {
  const { code, message } = Object(cause) as { code?: unknown; message?: unknown };
  const text = String(message);
  if (code === 'ERR_DLOPEN_FAILED')
    return (
      "SQLite's native binding (sqlite3) was built for another Node version or another platform. " +
      'Run npm rebuild sqlite3 with the Node that runs this process, or install the packages again on this platform.'
    );
  // Message of the package `bindings`, which sets no code.
  if (/Could not locate the bindings file|node_sqlite3\.node/.test(text))
    return (
      "SQLite's native binding (sqlite3) is missing, because its install script did not run (npm install --ignore-scripts). " +
      'Run npm rebuild sqlite3 --ignore-scripts=false; with pnpm run pnpm approve-builds.'
    );
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND')
    return 'sqliteStorage requires two more packages. Run npm install keyv @keyv/sqlite.';
  return 'The package @keyv/sqlite cannot be loaded. Run npm install keyv @keyv/sqlite again.';
}
