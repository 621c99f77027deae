import type { Answer } from '../../calls/answer.ts';
import { Slices } from '../../teams/records/slices.ts';

/** Result of a route that lists. `total`, sent as `x-total-count`, is the number of rows on all pages. */
export class ListAnswer {
  readonly body: object;
  readonly total: number;

  constructor(body: object, total: number) {
    this.body = body;
    this.total = total;
  }

  /** @param teamId team of the caller; `null`: the operator */
  async toAnswer(teamId: string | null): Promise<Answer> {
    const headers = { 'content-type': 'application/json', 'x-total-count': String(this.total) };
    return { status: 200, headers, body: Buffer.from(await listText(this.body, teamId)) };
  }
}

/** Returns the same text as `JSON.stringify` for a list, or an object with lists. Works in slices. */
export async function listText(body: object, teamId: string | null): Promise<string> {
  const slices = new Slices(teamId);
  if (Array.isArray(body)) return rowsText(body, slices);
  const fields: string[] = [];
  for (const [name, value] of Object.entries(body)) {
    const text = Array.isArray(value) ? await rowsText(value, slices) : JSON.stringify(value);
    if (text !== undefined) fields.push(`${JSON.stringify(name)}:${text}`);
  }
  return `{${fields.join(',')}}`;
}

async function rowsText(rows: readonly unknown[], slices: Slices): Promise<string> {
  const texts: string[] = [];
  for (const row of rows) {
    texts.push(JSON.stringify(row) ?? 'null');
    if (slices.spent) await slices.pass();
  }
  return `[${texts.join(',')}]`;
}
