import { RouterError } from '../../errors.ts';

/**
 * Loads `@keyv/sqlite`, which is optional.
 *
 * @throws RouterError `storage_unavailable` that says what to install or to build
 */
export async function loadKeyvSqlite() {
  try {
    return (await import('@keyv/sqlite')).KeyvSqlite;
  } catch (cause) {
    outliveRejection(cause);
    throw new RouterError('storage_unavailable', problemOf(cause), { cause });
  }
}

/**
 * Keeps a module that failed to load from ending the process: Node 20 rejects a promise of its own with the same error, which nobody can
 * handle. The listener is there for the rest of this turn of the event loop.
 */
function outliveRejection(cause: unknown): void {
  const listener = (reason: unknown): void => {
    if (reason !== cause) throw reason;
  };
  process.on('unhandledRejection', listener);
  setImmediate(() => process.off('unhandledRejection', listener));
}

/** A package that is missing and a binding that is missing, or does not load, are mended in different ways. */
function problemOf(cause: unknown): string {
  const { code, message } = Object(cause) as { code?: unknown; message?: unknown };
  const text = String(message);
  if (code === 'ERR_DLOPEN_FAILED')
    return (
      "SQLite's native binding (sqlite3) was built for another Node version or another platform. " +
      'Run npm rebuild sqlite3 with the Node that runs this process, or install the packages again on this platform.'
    );
  // The words of the package `bindings`, which gives no code.
  if (/Could not locate the bindings file|node_sqlite3\.node/.test(text))
    return (
      "SQLite's native binding (sqlite3) is missing: its install script did not run, as with npm install --ignore-scripts. " +
      'Run npm rebuild sqlite3 --ignore-scripts=false; with pnpm allow it to build by pnpm approve-builds.'
    );
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND')
    return 'sqliteStorage needs two more packages: npm install keyv @keyv/sqlite';
  return 'The package @keyv/sqlite cannot be loaded. Install it again: npm install keyv @keyv/sqlite';
}
