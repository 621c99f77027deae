import { type KnownName, knownName } from './names.ts';
import { stringAt } from './tokens.ts';

/** The keys by which a body speaks of objects in the provider's account, the most telling first. */
const keys = [
  'previous_response_id',
  'conversation',
  'input_file_id',
  'training_file',
  'validation_file',
  'vector_store_ids',
  'file_id',
  'file_ids',
] as const;

/** How many objects of one call are looked up. */
const maxIds = 8;
/** Bytes of an id with every character written as an escape. */
const maxIdBytes = 3_074;

const ranks = new Map(keys.map((key, rank) => [knownName(key).id, rank]));

export const referenceNames: readonly string[] = keys;

/** Returns how telling a key is: 0 is the most; -1: it speaks of no object. */
export function referenceRank({ id }: KnownName): number {
  return ranks.get(id) ?? -1;
}

/** The ids of the objects that a path speaks of. Items of a conversation are known by the conversation alone. */
export function pathReferences(params: Record<string, string>): string[] {
  return Object.entries(params).flatMap(([name, value]) => (name === 'item_id' ? [] : [value]));
}

/** The ids of the objects that a JSON body speaks of, at whatever depth; of each key the first few. */
export class ReferenceList {
  /** By rank. */
  #found: string[][] | undefined;

  /** Adds the string between the quotation marks at `start` and `end - 1`. */
  add(bytes: Buffer, start: number, end: number, rank: number): void {
    if (end - start <= 2 || end - start > maxIdBytes) return;
    this.#found ??= keys.map(() => []);
    const ids = this.#found[rank];
    if (ids === undefined || ids.length === maxIds) return;
    const id = stringAt(bytes, start, end);
    if (id !== undefined && id !== '' && id.length <= 512 && !ids.includes(id)) ids.push(id);
  }

  /** Returns the most telling ids. */
  get ids(): readonly string[] {
    return this.#found === undefined ? [] : [...new Set(this.#found.flat())].slice(0, maxIds);
  }
}

/** The only created objects whose ids OpenAI returns as a list. */
const listKey = 'result_files';
/** The created objects that OpenAI returns whole or by their ids. */
const objectKeys = new Set(['conversation', 'file']);
/** How many created objects of one answer are remembered. */
export const maxCreatedIds = 16;

/** Returns the ids of the objects that an answer, or the first event of one, reports as created. */
export function createdIds(value: unknown, keys: readonly string[]): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const { response } = value as { response?: unknown };
  const object = (typeof response === 'object' && response !== null ? response : value) as Record<
    string,
    unknown
  >;
  const ids = keys.flatMap((key) => idsOf(key, object[key])).filter(isObjectId);
  return [...new Set(ids)].slice(0, maxCreatedIds);
}

/** Returns what has the form that OpenAI gives this key. Any other form is not remembered. */
function idsOf(key: string, value: unknown): unknown[] {
  if (key === listKey) return Array.isArray(value) ? value.slice(0, maxCreatedIds) : [];
  if (!objectKeys.has(key) || typeof value !== 'object' || value === null) return [value];
  return [(value as { id?: unknown }).id];
}

function isObjectId(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 512;
}
