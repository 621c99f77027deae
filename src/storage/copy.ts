import { RouterError } from '../errors.ts';
import type { ListedEntry, Storage, Version } from './storage.ts';
import { checkStore, flag, readOptions, wrongArgument } from './support/arguments.ts';
import { probePrefix } from './write-probe.ts';

export interface CopyOptions {
  /** Makes the target an exact copy: what differs there is overwritten, what is not in the source is deleted. */
  replace?: boolean;
  /** Accepts a source without records. With `replace` the target is then emptied. */
  allowEmpty?: boolean;
  /** Is told after each page. */
  onProgress?: (progress: CopyProgress) => void;
  signal?: AbortSignal;
}

export interface CopyProgress {
  phase: 'copying' | 'verifying';
  /** Keys that were looked at in this phase. */
  keys: number;
  /** Keys that were written so far; the others were there already. */
  written: number;
}

export interface CopyResult {
  keys: number;
  written: number;
  /** Keys that the target had and the source has not; only with `replace`. */
  deleted: number;
}

const optionChecks = {
  replace: flag,
  allowEmpty: flag,
  onProgress: (value: unknown) => (typeof value === 'function' ? undefined : 'must be a function'),
  signal: (value: unknown) => (value instanceof AbortSignal ? undefined : 'must be an AbortSignal'),
};

const pageSize = 100;
const atATime = 16;

/**
 * Copies every record from one storage to another, and verifies the copy. Records keep their sealed secrets as they are:
 * the same encryption keys open them.
 *
 * Stop every writer first: what is written to the source after it was read is not copied. The verification reads both
 * storages once more, and fails if anything in the source has changed meanwhile. If it fails, or is cut short, call it
 * again: what is there already is not written a second time. It keeps some 150 bytes a key in memory. What expires in the
 * source expires in the copy at the same time.
 *
 * @throws RouterError `invalid_request` for what is no storage, for an option at fault, and for a source without records (see
 * `allowEmpty`): a mistyped path names a new, empty file; `already_exists` if the target holds something else under a key of the source (see `replace`);
 * `conflict` if the source changed meanwhile or the copy differs; `storage_unavailable`
 *
 * @example
 * await copyStorage(sqliteStorage('models.sqlite'), postgresStorage(pool), { onProgress: ({ keys }) => show(keys) });
 */
export async function copyStorage(from: Storage, to: Storage, options?: CopyOptions): Promise<CopyResult> {
  for (const [param, storage] of Object.entries({ from, to })) checkStorage(param, storage);
  const { replace = false, allowEmpty = false, onProgress, signal } = readOptions(options, optionChecks);
  const operation = signal === undefined ? {} : { signal };
  const versions = new Map<string, Version>();
  let written = 0;
  for await (const page of pages(from, operation)) {
    await eachOf(page, async (entry) => {
      versions.set(entry.key, entry.version);
      if (await write(to, entry, replace, operation)) written += 1;
    });
    onProgress?.({ phase: 'copying', keys: versions.size, written });
  }
  if (versions.size === 0 && !allowEmpty) throw emptySource();

  let deleted = 0;
  for await (const page of pages(to, { ...operation, keysOnly: true })) {
    await eachOf(page, async ({ key, version }) => {
      if (versions.has(key)) return;
      if (!replace) throw different(key, 'is in the target, and not in the source');
      if (await to.delete(key, version, operation)) deleted += 1;
    });
  }
  await verify(from, to, versions, (keys) => onProgress?.({ phase: 'verifying', keys, written }), operation);
  return { keys: versions.size, written, deleted };
}

interface Operation {
  signal?: AbortSignal;
}

function checkStorage(param: string, given: unknown): void {
  const what = { expected: 'a storage', example: "one, such as sqliteStorage('models.sqlite')" };
  checkStore(param, given, ['get', 'put', 'delete', 'list'], what);
}

function emptySource(): RouterError {
  return wrongArgument(
    'from',
    'must have records. Check its path or address, or pass { allowEmpty: true } if it is meant to be empty.',
  );
}

/** Whether it had to be written. */
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
    if (!replace) throw different(key, 'is in the target already, with another value');
  }
  const expected = present === undefined || present === 'unchanged' ? null : present.version;
  const options = expiresAt === undefined ? operation : { ...operation, expiresAt };
  if ((await to.put(key, value, expected, options)) === undefined) {
    throw new RouterError('conflict', `Somebody else wrote ${key} into the target.`);
  }
  return true;
}

async function verify(
  from: Storage,
  to: Storage,
  versions: ReadonlyMap<string, Version>,
  progress: (keys: number) => void,
  operation: Operation,
): Promise<void> {
  const seen = new Set<string>();
  for await (const page of pages(from, operation)) {
    await eachOf(page, async ({ key, value, version }) => {
      seen.add(key);
      if (versions.get(key) !== version) throw moved(key);
      const copy = await to.get(key, operation);
      if (copy === undefined || copy === 'unchanged' || copy.value !== value) {
        throw new RouterError('conflict', `The copy of ${key} differs: somebody else writes to the target.`);
      }
    });
    progress(seen.size);
  }
  for (const key of versions.keys()) if (!seen.has(key)) throw moved(key);
}

function moved(key: string): RouterError {
  return new RouterError(
    'conflict',
    `${key} changed in the source while it was copied. Stop every writer, then copy again with { replace: true }.`,
  );
}

function different(key: string, how: string): RouterError {
  const message = `${key} ${how}. If the target is to become a copy, whatever it holds, pass { replace: true }.`;
  return new RouterError('already_exists', message);
}

async function* pages(storage: Storage, options: Operation & { keysOnly?: boolean }) {
  let cursor: string | undefined;
  do {
    const at = cursor === undefined ? {} : { cursor };
    const page = await storage.list('', { limit: pageSize, ...options, ...at });
    // Written to see whether the storage takes writes, these expire within a minute, perhaps while the copy is made.
    yield page.entries.filter(({ key }) => !key.startsWith(probePrefix));
    cursor = page.cursor;
  } while (cursor !== undefined);
}

async function eachOf(
  entries: readonly ListedEntry[],
  run: (entry: ListedEntry) => Promise<void>,
): Promise<void> {
  for (let start = 0; start < entries.length; start += atATime) {
    await Promise.all(entries.slice(start, start + atATime).map(run));
  }
}
