import type { Storage } from '../../storage/storage.ts';

/**
 * Writes a pointer from an id to the team whose record contains it. A pointer is a hint: it is written before
 * the record, removed after it, and valid only if the record agrees. A pointer that a dead process left is
 * harmless.
 */
export async function writeIdEntry(storage: Storage, key: string, teamId: string | null): Promise<void> {
  await storage.put(key, JSON.stringify({ team_id: teamId }), null);
}

/** Removes a pointer if possible. The record decides, and it no longer contains the id. */
export async function removeIdEntry(storage: Storage, key: string): Promise<void> {
  try {
    const stored = await storage.get(key);
    if (stored !== undefined && stored !== 'unchanged') await storage.delete(key, stored.version);
  } catch {
    // A remaining pointer leads to a record without the id, and is ignored.
  }
}

/** Returns the team of a pointer (`null`: shared), or `undefined` if no readable pointer exists. */
export async function readIdEntry(storage: Storage, key: string): Promise<string | null | undefined> {
  const stored = await storage.get(key);
  if (stored === undefined || stored === 'unchanged') return undefined;
  try {
    const { team_id: teamId } = JSON.parse(stored.value) as { team_id?: unknown };
    return typeof teamId === 'string' || teamId === null ? teamId : undefined;
  } catch {
    return undefined;
  }
}
