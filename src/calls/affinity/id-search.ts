import { tickFor } from '../../tick-batch.ts';
import { MemberScanner } from '../json/member-scanner.ts';
import { createdIds, maxCreatedIds } from '../json/object-ids.ts';

/** Ids that a chunk names, and the index at which the part begins that has to wait until they are recorded. */
export interface Found {
  ids: string[];
  from: number;
}

/** Finds the ids of created objects in an answer that arrives in chunks. Its memory does not depend on the answer's size. */
export interface IdSearch {
  push(chunk: Buffer): Found;
  /** No later chunk is searched. */
  readonly over: boolean;
}

/** Returns the ids that a scanned object names and that were not returned before, up to `maxCreatedIds` of one answer. */
class NewIds {
  readonly #keys: readonly string[];
  readonly #known = new Set<string>();

  constructor(keys: readonly string[]) {
    this.#keys = keys;
  }

  of(value: unknown): string[] {
    const created = createdIds(value, this.#keys).filter((id) => !this.#known.has(id));
    const ids = created.slice(0, maxCreatedIds - this.#known.size);
    for (const id of ids) this.#known.add(id);
    return ids;
  }

  get found(): boolean {
    return this.#known.size > 0;
  }

  /** No later id is returned. */
  get full(): boolean {
    return this.#known.size >= maxCreatedIds;
  }
}

function scannerFor(createsIds: readonly string[]): MemberScanner {
  return new MemberScanner([...createsIds, 'id', 'response']);
}

/** Searches one JSON object. */
export class JsonSearch implements IdSearch {
  readonly #scanner: MemberScanner;
  readonly #ids: NewIds;

  constructor(createsIds: readonly string[]) {
    this.#scanner = scannerFor(createsIds);
    this.#ids = new NewIds(createsIds);
  }

  push(chunk: Buffer): Found {
    this.#scanner.push(chunk, 0, chunk.length);
    return { ids: this.#ids.of(this.#scanner.value), from: 0 };
  }

  get over(): boolean {
    return this.#scanner.over || this.#ids.full;
  }
}

const sliceBytes = 16_384;

/** Searches a whole JSON object in slices, between which the event loop continues. */
export async function searchInSlices(
  bytes: Buffer,
  createsIds: readonly string[],
  teamId: string,
): Promise<string[]> {
  const search = new JsonSearch(createsIds);
  const ids: string[] = [];
  for (let at = 0; at < bytes.length && !search.over; at += sliceBytes) {
    const slice = bytes.subarray(at, at + sliceBytes);
    await tickFor(teamId, slice.length);
    ids.push(...search.push(slice).ids);
  }
  return ids;
}

const dataField = Buffer.from('data:');
const byteOrderMark = Buffer.from('\ufeff');
const space = 0x20;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** Searches a stream of server-sent events up to the end of the first event that names a created object. */
export class EventSearch implements IdSearch {
  readonly #scanner: MemberScanner;
  readonly #ids: NewIds;
  /** Bytes of the line that have been compared with `data:`. */
  #column = 0;
  #line: 'unknown' | 'data' | 'other' = 'unknown';
  #marked = 0;
  #afterReturn = false;
  #inEvent = false;
  over = false;

  constructor(createsIds: readonly string[]) {
    this.#scanner = scannerFor(createsIds);
    this.#ids = new NewIds(createsIds);
  }

  push(chunk: Buffer): Found {
    let from = 0;
    for (let at = 0; at < chunk.length; ) {
      const byte = chunk[at];
      if (byte === lineFeed || byte === carriageReturn) {
        const isSecond = byte === lineFeed && this.#afterReturn;
        this.#afterReturn = byte === carriageReturn;
        at++;
        if (isSecond) continue;
        const isBlank = this.#column === 0;
        this.#column = 0;
        this.#line = 'unknown';
        if (!isBlank || !this.#inEvent) continue;
        this.#inEvent = false;
        const ids = this.#ids.of(this.#scanner.value);
        this.over = this.#ids.found;
        if (this.over) return { ids, from };
        this.#scanner.reset();
        continue;
      }
      this.#afterReturn = false;
      const end = lineEnd(chunk, at);
      const lineStart = this.#column === 0 ? at : 0;
      const value = this.#readName(chunk, at, end);
      if (this.#line === 'data') {
        if (!this.#inEvent) from = lineStart;
        this.#inEvent = true;
        this.#scanner.push(chunk, value, end);
      }
      at = end;
    }
    // Only in an event that has this member does a later one not change what the event names.
    const ids = typeof this.#scanner.value.response === 'object' ? this.#ids.of(this.#scanner.value) : [];
    this.over = this.#ids.full;
    return { ids, from };
  }

  /** Compares the line with `data:`, and returns where its value begins. */
  #readName(chunk: Buffer, start: number, end: number): number {
    let at = start;
    for (; at < end && this.#line === 'unknown'; at++) {
      const byte = chunk[at];
      if (this.#column === 0 && byte === byteOrderMark[this.#marked]) this.#marked++;
      else if (this.#column === dataField.length) {
        this.#line = 'data';
        if (byte !== space) break;
      } else if (byte !== dataField[this.#column++]) this.#line = 'other';
    }
    return at;
  }
}

function lineEnd(chunk: Buffer, start: number): number {
  let at = start;
  while (at < chunk.length && chunk[at] !== lineFeed && chunk[at] !== carriageReturn) at++;
  return at;
}
