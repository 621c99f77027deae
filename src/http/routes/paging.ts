import { z } from 'zod';

const whole = (most: number) => z.coerce.number().int().min(1).max(most).optional();

/** `page` from 1, `size` from 1 to 1 000. */
export const paging = z.strictObject({ page: whole(100_000), size: whole(1000) });

type Paging = z.output<typeof paging>;

const defaultSize = 100;

/** Returns the position of a numbered page, by LiteLLM's names. */
export function positionOf({ page = 1, size = defaultSize }: Paging, total: number) {
  return { total_count: total, current_page: page, total_pages: Math.ceil(total / size), size };
}

/** Returns the rows of one numbered page. */
export function pageOf<Row>(rows: readonly Row[], { page = 1, size = defaultSize }: Paging): Row[] {
  return rows.slice((page - 1) * size, page * size);
}

/** Rows by their ids, each with its position among all. */
export interface Listing<Row> {
  rows: Row[];
  total: number;
}

/**
 * Reads all pages of a cursor listing. Counts a repeated row once, because storages may repeat rows. May miss
 * rows that change meanwhile.
 *
 * @param keep returns whether to keep a row, by its position from 0
 */
export async function readAll<Row>(
  load: (cursor: string | undefined) => Promise<{ rows: readonly Row[]; cursor?: string | undefined }>,
  idOf: (row: Row) => string,
  keep: (place: number) => boolean = () => true,
): Promise<Listing<Row>> {
  const seen = new Set<string>();
  const rows: Row[] = [];
  let cursor: string | undefined;
  do {
    const loaded = await load(cursor);
    for (const row of loaded.rows) {
      const id = idOf(row);
      if (seen.has(id)) continue;
      if (keep(seen.size)) rows.push(row);
      seen.add(id);
    }
    cursor = loaded.cursor;
  } while (cursor !== undefined);
  return { rows, total: seen.size };
}

/** Returns whether a row, by its position from 0, is on a page. */
export function isOn({ page = 1, size = defaultSize }: Paging): (place: number) => boolean {
  return (place) => place >= (page - 1) * size && place < page * size;
}
