import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import type { Storage } from '../../storage/storage.ts';
import { readRecord } from './read-record.ts';
import { Slices } from './slices.ts';
import { type TeamRecord, teamPrefix } from './team-record.ts';

/** A team whose record cannot be read: an operator can export and delete it. */
export interface UnreadableTeam {
  team_id: string;
  unreadable: true;
  /** Why, such as a newer format. */
  reason: string;
}

export interface RecordPage<View> {
  views: View[];
  /** Absent if every record of the page can be read. */
  unreadable?: UnreadableTeam[];
  /** Absent on the last page. */
  cursor?: string;
}

/** What is asked of a listing of all teams. */
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

/** Records that are read at a time: each may have two megabytes. */
const atATime = 20;

/**
 * One page of all teams' records, in no promised order, each turned into what is wanted of it.
 */
export async function listRecords<View>(
  storage: Storage,
  { cursor, limit = 100 }: PageOptions,
  view: (record: TeamRecord) => View,
): Promise<RecordPage<View>> {
  const views: View[] = [];
  const unreadable: UnreadableTeam[] = [];
  const slices = new Slices(null);
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
        views.push(view(await readRecord(value ?? '', teamId)));
      } catch (error) {
        if (!RouterError.isInstance(error) || error.code !== 'corrupt_record') throw error;
        unreadable.push({ team_id: teamId, unreadable: true, reason: error.hint ?? error.message });
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

/** A key that was encoded by something else is shown as it is. */
function teamIdIn(key: string): string {
  const encoded = key.slice(teamPrefix.length);
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}
