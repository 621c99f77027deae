import { RouterError } from '../errors.ts';
import type { ListedEntry, Storage } from './storage.ts';
import { checkStore, flag, readOptions, wrongArgument } from './support/arguments.ts';
import { probePrefix } from './write-probe.ts';

/**
 * Options of `copyStorage`.
 *
 * @example
 * ```ts
 * const options: CopyOptions = { replace: true, signal: AbortSignal.timeout(60_000) };
 * await copyStorage(sqliteStorage('models.sqlite'), storage, options);
 * ```
 */
export interface CopyOptions {
  /**
   * Makes the target an exact copy: overwrites different records, and deletes records that the source does not have.
   */
  replace?: boolean;
  /** Accepts a source without records. With `replace` the copy then empties the target. */
  allowEmpty?: boolean;
  /** Called after each page. */
  onProgress?: (progress: CopyProgress) => void;
  signal?: AbortSignal;
}

/**
 * Progress of `copyStorage`, reported after each page.
 *
 * @example
 * ```ts
 * const onProgress = ({ phase, keys }: CopyProgress) => console.log(phase, keys);
 * await copyStorage(sqliteStorage('models.sqlite'), storage, { onProgress });
 * ```
 */
export interface CopyProgress {
  phase: 'copying' | 'verifying';
  /** Number of keys processed in this phase. */
  keys: number;
  /** Number of keys written so far. The other keys were already present. */
  written: number;
}

/**
 * Result of `copyStorage`.
 *
 * @example
 * ```ts
 * const result: CopyResult = await copyStorage(sqliteStorage('models.sqlite'), storage);
 * console.log(`${result.keys} records, ${result.written} written`);
 * ```
 */
export interface CopyResult {
  keys: number;
  written: number;
  /** Number of keys that only the target had. Always 0 without `replace`. */
  deleted: number;
}

const optionChecks = {
  replace: flag,
  allowEmpty: flag,
  onProgress: (value: unknown) => (typeof value === 'function' ? undefined : 'must be a function.'),
  signal: (value: unknown) => (value instanceof AbortSignal ? undefined : 'must be an AbortSignal.'),
};

const pageSize = 100;
const concurrency = 16;
/** Milliseconds by which the clocks of two storages may differ. */
const clockSkewMs = 1_000;

/** What is remembered of a record of the source. */
type SourceRow = Pick<ListedEntry, 'version' | 'expiresAt'>;

/**
 * Copies every record from one storage to another and verifies the copy. Secrets stay sealed, so the copy needs the
 * same encryption keys. Records expire in the copy at the same time as in the source.
 *
 * Stop every writer first, because writes to the source after its key was read are not copied. The verification reads
 * both storages again and fails if the source has changed. After a failure or an interruption call the function
 * again: it skips records that are already present. It uses about 150 bytes of memory per key.
 *
 * @throws RouterError `invalid_request` if an argument is not a storage, an option is invalid, or the source is empty (see
 * `allowEmpty`), because a mistyped path creates an empty file; `already_exists` if the target has different records
 * (see `replace`); `conflict` if the source or the target changed during the copy; `storage_unavailable`
 *
 * @example
 * ```ts
 * const source = sqliteStorage('models.sqlite');
 * const target = postgresStorage(new pg.Pool({ connectionString: process.env.DATABASE_URL }));
 * await copyStorage(source, target, { onProgress: ({ phase, keys }) => console.log(phase, keys) });
 * ```
 */
export async function copyStorage(from: Storage, to: Storage, options?: CopyOptions): Promise<CopyResult> {
  for (const [param, storage] of Object.entries({ from, to })) checkStorage(param, storage);
  const { replace = false, allowEmpty = false, onProgress, signal } = readOptions(options, optionChecks);
  const operation = signal === undefined ? {} : { signal };
  const rows = new Map<string, SourceRow>();
  let written = 0;
  for await (const page of pages(from, operation)) {
    await eachOf(page, async (entry) => {
      rows.set(entry.key, rowOf(entry));
      if (await write(to, entry, replace, operation)) written += 1;
    });
    onProgress?.({ phase: 'copying', keys: rows.size, written });
  }
  if (rows.size === 0 && !allowEmpty) throw emptySource();

  let deleted = 0;
  for await (const page of pages(to, { ...operation, keysOnly: !replace })) {
    await eachOf(page, async (entry) => {
      const { key, version } = entry;
      const row = rows.get(key);
      if (row !== undefined) {
        if (replace && (await copyExpiry(to, entry, row, operation))) written += 1;
        return;
      }
      if (!replace) throw different(key, 'exists only in the target');
      if (await to.delete(key, version, operation)) deleted += 1;
    });
  }
  await verify(from, to, rows, (keys) => onProgress?.({ phase: 'verifying', keys, written }), operation);
  return { keys: rows.size, written, deleted };
}

interface Operation {
  signal?: AbortSignal;
}

function checkStorage(param: string, input: unknown): void {
  const expectation = { expected: 'a storage', example: "one, such as sqliteStorage('models.sqlite')" };
  checkStore(param, input, ['get', 'put', 'delete', 'list'], expectation);
}

function emptySource(): RouterError {
  return wrongArgument('from', 'must have records. Check its path or address, or pass { allowEmpty: true }.');
}

/** Writes a record unless the target has it. Returns whether it wrote the record. */
async function write(
  to: Storage,
  entry: ListedEntry,
  replace: boolean,
  operation: Operation,
): Promise<boolean> {
  const { key, value = '', expiresAt } = entry;
  const present = await to.get(key, operation);
  if (present !== undefined && present !== 'unchanged') {
    if (present.value === value) return false;
    if (!replace) throw different(key, 'already exists in the target with a different value');
  }
  const expected = present === undefined || present === 'unchanged' ? null : present.version;
  const options = expiresAt === undefined ? operation : { ...operation, expiresAt };
  if ((await to.put(key, value, expected, options)) === undefined) {
    throw new RouterError(
      'conflict',
      `Record ${key} was written to the target by another process. Stop every writer, then copy again.`,
    );
  }
  return true;
}

function rowOf({ version, expiresAt }: ListedEntry): SourceRow {
  return expiresAt === undefined ? { version } : { version, expiresAt };
}

/** Returns whether a record has expired, so that it may be absent. */
function isOver({ expiresAt }: SourceRow): boolean {
  return expiresAt !== undefined && expiresAt <= Date.now() + clockSkewMs;
}

/** Gives a record of the target the source's expiry. Returns whether it wrote the record. */
async function copyExpiry(
  to: Storage,
  { key, value = '', version, expiresAt }: ListedEntry,
  row: SourceRow,
  operation: Operation,
): Promise<boolean> {
  const never = Number.POSITIVE_INFINITY;
  const wanted = row.expiresAt ?? never;
  const present = expiresAt ?? never;
  if (wanted === present || Math.abs(wanted - present) <= clockSkewMs) return false;
  const options = row.expiresAt === undefined ? operation : { ...operation, expiresAt: row.expiresAt };
  // On a conflict the verification decides.
  return (await to.put(key, value, version, options)) !== undefined;
}

async function verify(
  from: Storage,
  to: Storage,
  rows: ReadonlyMap<string, SourceRow>,
  progress: (keys: number) => void,
  operation: Operation,
): Promise<void> {
  const seen = new Set<string>();
  for await (const page of pages(from, operation)) {
    await eachOf(page, async ({ key, value, version }) => {
      seen.add(key);
      const row = rows.get(key);
      if (row?.version !== version) throw changedInSource(key);
      const copy = await to.get(key, operation);
      if (copy === undefined && isOver(row)) return;
      if (copy === undefined || copy === 'unchanged' || copy.value !== value) {
        throw new RouterError(
          'conflict',
          `The copy of ${key} was changed by another process. Stop every writer, then copy again.`,
        );
      }
    });
    progress(seen.size);
  }
  for (const [key, row] of rows) if (!seen.has(key) && !isOver(row)) throw changedInSource(key);
}

function changedInSource(key: string): RouterError {
  return new RouterError(
    'conflict',
    `Record ${key} changed in the source during the copy. Stop every writer, then copy again with { replace: true }.`,
  );
}

function different(key: string, problem: string): RouterError {
  const message = `Record ${key} ${problem}. Pass { replace: true } to make the target an exact copy.`;
  return new RouterError('already_exists', message);
}

async function* pages(storage: Storage, options: Operation & { keysOnly?: boolean }) {
  let cursor: string | undefined;
  do {
    const at = cursor === undefined ? {} : { cursor };
    const page = await storage.list('', { limit: pageSize, ...options, ...at });
    // Skips the rows of write probes, because they expire within a minute and possibly during the copy.
    yield page.entries.filter(({ key }) => !key.startsWith(probePrefix));
    cursor = page.cursor;
  } while (cursor !== undefined);
}

async function eachOf(
  entries: readonly ListedEntry[],
  run: (entry: ListedEntry) => Promise<void>,
): Promise<void> {
  for (let start = 0; start < entries.length; start += concurrency) {
    await Promise.all(entries.slice(start, start + concurrency).map(run));
  }
}
