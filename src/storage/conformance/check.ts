import { ok } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { RouterError, type RouterErrorCode } from '../../errors.ts';
import type { ListedEntry, Storage, StoredValue, Version } from '../storage.ts';

/** The input of a check: one storage, or several handles to the same data. */
export interface Trial {
  storage: Storage;
  handles: readonly Storage[];
  /** Returns a key of this name, distinct from the keys of every other check. */
  at(name: string): string;
}

export interface Check {
  name: string;
  run(trial: Trial): Promise<void>;
}

/** Runs a check and closes the storages afterwards. */
export async function closing(handles: readonly Storage[], run: Check['run']): Promise<void> {
  const [storage] = handles;
  ok(storage, 'the conformance suite was given no storage');
  const room = `conformance/${randomUUID()}/`;
  try {
    await run({ storage, handles, at: (name) => room + name });
  } finally {
    for (const handle of handles) await handle.close();
  }
}

/** Writes an absent key. Returns its version. */
export async function insert(storage: Storage, key: string, value: string): Promise<Version> {
  const version = await storage.put(key, value, null);
  ok(version !== undefined, `inserting an absent key was answered as a conflict: ${key.slice(0, 200)}`);
  return version;
}

/** Reads a key that must be present. */
export async function present(storage: Storage, key: string): Promise<StoredValue> {
  const found = await storage.get(key);
  ok(found !== undefined && found !== 'unchanged', `a key that was written is absent: ${key.slice(0, 200)}`);
  return found;
}

/** Returns every entry under a prefix, page by page. */
export async function walk(
  storage: Storage,
  prefix: string,
  options: { limit?: number; keysOnly?: boolean } = {},
): Promise<ListedEntry[]> {
  const entries: ListedEntry[] = [];
  const cursors = new Set<string | undefined>();
  let cursor: string | undefined;
  do {
    ok(!cursors.has(cursor), 'list gave the same cursor twice: a walk would never end');
    cursors.add(cursor);
    const page = await storage.list(prefix, { ...options, ...(cursor === undefined ? {} : { cursor }) });
    entries.push(...page.entries);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return entries;
}

/** Returns the distinct keys under a prefix, sorted. */
export async function keysUnder(storage: Storage, prefix: string, limit?: number): Promise<string[]> {
  const entries = await walk(storage, prefix, limit === undefined ? {} : { limit });
  return [...new Set(entries.map((entry) => entry.key))].sort();
}

/** Returns a predicate for `assert.rejects`. */
export function hasCode(code: RouterErrorCode): (error: unknown) => boolean {
  return (error) => RouterError.isInstance(error) && error.code === code;
}
