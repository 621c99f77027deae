import { nextTick } from '../../tick-batch.ts';
import { decode, type TeamRecord } from './team-record.ts';

/** Records above this number of characters are read in a separate turn of the event loop. */
const longRecord = 65_536;

/**
 * Reads a stored record. Reads a long record in a separate turn of the event loop.
 *
 * @throws RouterError `corrupt_record`
 */
export async function readRecord(text: string, teamId: string | null): Promise<TeamRecord> {
  if (text.length > longRecord) await nextTick(teamId);
  return decode(text, teamId);
}
