import type { Storage } from '../../storage/storage.ts';

/**
 * Pointers lead from an id to the team whose record holds it. They are hints: written before the record, removed
 * after it, and true only if the record agrees. One left over by a process that died is harmless.
 */
export async function writeIdEntry(storage: Storage, key: string, teamId: string | null): Promise<void> {
  await storage.put(key, JSON.stringify({ team_id: teamId }), null);
}

/** Best effort: the record is what counts, and it no longer holds the id. */
export async function removeIdEntry(storage: Storage, key: string): Promise<void> {
  try {
    const stored = await storage.get(key);
    if (stored !== undefined && stored !== 'unchanged') await storage.delete(key, stored.version);
  } catch {
    // A pointer that stays behind leads to a record that does not know the id.
  }
}

/** The team that the pointer names (`null`: shared), or `undefined` if there is none that can be read. */
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
