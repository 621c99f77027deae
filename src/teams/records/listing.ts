import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { teamId as teamIdSchema } from '../../schemas/bodies.ts';
import type { Storage } from '../../storage/storage.ts';
import { readRecord } from './read-record.ts';
import { Slices } from './slices.ts';
import { corruptRecord, recordKey, sharedKey, type TeamRecord, teamPrefix } from './team-record.ts';

/**
 * A record that cannot be read. An operator can delete it with `deleteUnreadable`.
 *
 * @example
 * ```ts
 * const { unreadable = [] } = await router.listTeams();
 * for (const { key, reason } of unreadable) console.log(key, reason);
 * ```
 */
export interface UnreadableTeam {
  /** `null` for the record of the shared models. */
  team_id: string | null;
  /** Storage key of the record. */
  key: string;
  unreadable: true;
  /** Reason, such as a newer format. */
  reason: string;
}

export interface RecordPage<View> {
  views: View[];
  /** Absent if every record of the page can be read. */
  unreadable?: UnreadableTeam[];
  /** Absent on the last page. */
  cursor?: string;
}

/** Options of a list of all teams. */
export const pageOptions = z.strictObject({
  cursor: z.string().optional(),
  limit: z
    .number('must be a whole number from 1 to 1000')
    .refine(
      (limit) => Number.isInteger(limit) && limit >= 1 && limit <= 1000,
      'must be a whole number from 1 to 1000',
    )
    .optional(),
});

type PageOptions = z.output<typeof pageOptions>;

/** Number of records that are read concurrently. Each may have 2 MB. */
const atATime = 20;

/** Returns one page of all teams' records, each converted by `view`. The order is unspecified. */
export async function listRecords<View>(
  storage: Storage,
  { cursor, limit = 100 }: PageOptions,
  view: (record: TeamRecord) => View,
): Promise<RecordPage<View>> {
  const views: View[] = [];
  const unreadable: UnreadableTeam[] = [];
  const slices = new Slices(null);
  if (cursor === undefined) {
    const shared = await storage.get(sharedKey);
    const reason = typeof shared === 'object' ? await unreadableReason(sharedKey, shared.value) : undefined;
    if (reason !== undefined) unreadable.push({ team_id: null, key: sharedKey, unreadable: true, reason });
  }
  let next = cursor;
  for (let left = limit; left > 0; ) {
    const size = Math.min(left, atATime);
    const page = await storage.list(teamPrefix, {
      limit: size,
      ...(next === undefined ? {} : { cursor: next }),
    });
    for (const { key, value } of page.entries) {
      const teamId = teamIdIn(key);
      try {
        views.push(view(await readAt(key, teamId, value ?? '')));
      } catch (error) {
        unreadable.push({ team_id: teamId, key, unreadable: true, reason: reasonOf(error) });
      }
      if (slices.spent) await slices.pass();
    }
    left -= size;
    next = page.cursor;
    if (next === undefined) break;
  }
  return {
    views,
    ...(unreadable.length === 0 ? {} : { unreadable }),
    ...(next === undefined ? {} : { cursor: next }),
  };
}

/**
 * Returns why the record at a storage key cannot be read; `undefined` if it can.
 *
 * @throws RouterError `invalid_request` if the key is not a record's key
 */
export async function unreadableReason(key: string, text: string): Promise<string | undefined> {
  if (key !== sharedKey && !key.startsWith(teamPrefix))
    throw new RouterError('invalid_request', 'key: must be the key of a record.', { param: 'key' });
  try {
    await readAt(key, key === sharedKey ? null : teamIdIn(key), text);
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

/**
 * Reads a record at its storage key.
 *
 * @throws RouterError `corrupt_record`, also if no team has this key
 */
async function readAt(key: string, teamId: string | null, text: string): Promise<TeamRecord> {
  if (teamId !== null && (recordKey(teamId) !== key || !teamIdSchema.safeParse(teamId).success))
    throw corruptRecord('The key of the record is not the one of a team.');
  return readRecord(text, teamId);
}

function reasonOf(error: unknown): string {
  if (!RouterError.isInstance(error) || error.code !== 'corrupt_record') throw error;
  return error.hint ?? error.message;
}

/** Returns the team's id in a storage key. Returns a malformed key unchanged. */
function teamIdIn(key: string): string {
  const encoded = key.slice(teamPrefix.length);
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}
