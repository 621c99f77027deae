import { nextTick } from '../../tick-batch.ts';
import { decode, type TeamRecord } from './team-record.ts';

/** Characters above which a record is read in a turn of the event loop of its own. */
const longRecord = 65_536;

/**
 * Reads a stored record, a long one in a turn of its own.
 *
 * @throws RouterError `corrupt_record`
 */
export async function readRecord(text: string, teamId: string | null): Promise<TeamRecord> {
  if (text.length > longRecord) await nextTick(teamId);
  return decode(text, teamId);
}
