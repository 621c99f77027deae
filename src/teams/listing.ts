import { RouterError } from '../errors.ts';
import type { Storage } from '../storage/storage.ts';
import { decode, type TeamRecord, teamPrefix } from './record.ts';

/**
 * One page of all teams' records, in no promised order.
 *
 * @throws RouterError `invalid_request` unless `limit` is from 1 to 1 000
 */
export async function listRecords(
  storage: Storage,
  { cursor, limit = 100 }: { cursor?: string; limit?: number } = {},
): Promise<{ records: TeamRecord[]; cursor?: string }> {
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw new RouterError('invalid_request', 'limit: must be a whole number from 1 to 1000', {
      param: 'limit',
    });
  }
  const page = await storage.list(teamPrefix, { limit, ...(cursor === undefined ? {} : { cursor }) });
  const records = page.entries.map(({ key, value }) =>
    decode(value ?? '', decodeURIComponent(key.slice(teamPrefix.length))),
  );
  return page.cursor === undefined ? { records } : { records, cursor: page.cursor };
}
