import { z } from 'zod';

const whole = (most: number) => z.coerce.number().int().min(1).max(most).optional();

/** `page` from 1, `size` from 1 to 1 000, default 100. */
export const paging = z.strictObject({ page: whole(100_000), size: whole(1000) });

/**
 * The rows of one numbered page, out of a listing that goes by cursors: pages before it are read and passed over.
 * Nothing holds the listing still meanwhile, so rows may be missed or repeated where others write.
 */
export async function takePage<Row>(
  { page = 1, size = 100 }: z.output<typeof paging>,
  load: (cursor: string | undefined) => Promise<{ rows: readonly Row[]; cursor?: string | undefined }>,
): Promise<Row[]> {
  let before = (page - 1) * size;
  let cursor: string | undefined;
  const taken: Row[] = [];
  do {
    const loaded = await load(cursor);
    const wanted = loaded.rows.slice(before, before + size - taken.length);
    before = Math.max(0, before - loaded.rows.length);
    taken.push(...wanted);
    cursor = loaded.cursor;
  } while (cursor !== undefined && taken.length < size);
  return taken;
}
