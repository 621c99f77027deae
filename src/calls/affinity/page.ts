import type { Version } from '../../storage/storage.ts';

/** Where an object lives, and until when that is remembered, in seconds since 1970. */
export type ObjectEntry = readonly [id: string, deploymentId: string, endsAt: number];

/** One of the values in which a team's entries are stored. */
export interface Page {
  /** `null` if the page is not stored. */
  version: Version | null;
  entries: ReadonlyMap<string, ObjectEntry>;
}

/** A team has 2048 pages of this many entries by default: 131 072 objects. */
export const entriesPerPage = 64;

export const emptyPage: Page = { version: null, entries: new Map() };

/** Returns the entries of a page with `added` as its newest. Drops expired entries, then the oldest. */
export function withEntries(
  entries: ReadonlyMap<string, ObjectEntry>,
  added: ReadonlyMap<string, ObjectEntry>,
): Map<string, ObjectEntry> {
  const now = Date.now() / 1000;
  const kept = [...entries].filter(([id, [, , endsAt]]) => endsAt > now && !added.has(id));
  return new Map([...kept, ...added].slice(-entriesPerPage));
}

export function encodeEntries(entries: ReadonlyMap<string, ObjectEntry>): string {
  return JSON.stringify({ format: 1, entries: [...entries.values()] });
}

/** Returns no entries if the text is malformed, because entries are only hints. */
export function decodeEntries(text: string): Map<string, ObjectEntry> {
  try {
    const { format, entries } = JSON.parse(text) as { format?: unknown; entries?: unknown };
    if (format !== 1 || !Array.isArray(entries)) return new Map();
    return new Map(entries.filter(isEntry).map((entry) => [entry[0], entry]));
  } catch {
    return new Map();
  }
}

function isEntry(value: unknown): value is ObjectEntry {
  if (!Array.isArray(value)) return false;
  const [id, deploymentId, endsAt] = value as unknown[];
  return typeof id === 'string' && typeof deploymentId === 'string' && typeof endsAt === 'number';
}
