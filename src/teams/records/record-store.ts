import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { isUnavailable, RouterError } from '../../errors.ts';
import type { Storage, Version } from '../../storage/storage.ts';
import { unreadableReason } from './listing.ts';
import { readRecord } from './read-record.ts';
import { encode, limits, recordKey, type TeamRecord, teamOfRecord } from './team-record.ts';

/**
 * One change of a team's record: from what is stored (`undefined`: nothing) to what shall be (`undefined`: gone).
 * It may change the given record in place, but throws before it changes anything. On a conflict it runs again.
 */
export type Mutation<Result> = (record: TeamRecord | undefined) => {
  record: TeamRecord | undefined;
  result: Result;
};

interface QueuedMutation {
  apply: Mutation<unknown>;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

type Settlement = () => void;

/** A write that failed without an answer: it may have happened, or may yet. */
interface IndeterminateWrite {
  writeId: string;
  /** Of a delete, when the record that it would have deleted was created. */
  deletes: string | undefined;
  settlements: Settlement[];
}

const maxAttempts = 100;
const maxPending = 10_000;
/** Changes that go out in one put. */
const maxBatch = 100;
/** Failed puts of one write after which the storage is said to refuse it. It can be read between them. */
const maxRefusals = 3;
const maxWriters = 32;

/** A record as this process has written it. */
export interface WrittenRecord {
  text: string;
  version: Version;
  /** The version that it replaced; `null` if there was no record. */
  replaced: Version | null;
  /** When the replaced version was requested from the storage, by `now`. */
  startedAt: number;
}

export interface RecordStoreOptions {
  /** Milliseconds that a change may wait for answers of the storage. */
  timeoutMs: number;
  /** Returns milliseconds of a monotonic clock. */
  now: () => number;
  /** Is called before a write is acknowledged. `written` is absent if the record was deleted, or its version is unknown. */
  onWrite: (teamId: string | null, written?: WrittenRecord) => void;
}

/**
 * Every write to a team's record. The changes of one team queue in this process and go out together, many in
 * one conditional put: what is acknowledged is stored, and what fails changes nothing.
 */
export class RecordStore {
  readonly #storage: Storage;
  readonly #options: RecordStoreOptions;
  readonly #queues = new Map<string | null, QueuedMutation[]>();
  /** Marks this process's writes in the records. */
  readonly #writer = randomBytes(8).toString('base64url');
  #writes = 0;

  constructor(storage: Storage, options: RecordStoreOptions) {
    this.#storage = storage;
    this.#options = options;
  }

  /** Reads a team's record past every cache. */
  async read(teamId: string | null): Promise<TeamRecord | undefined> {
    const stored = await this.#storage.get(recordKey(teamId));
    return stored === undefined || stored === 'unchanged' ? undefined : readRecord(stored.value, teamId);
  }

  /** @throws RouterError what the change throws; `conflict`, `storage_unavailable`, `corrupt_record`. */
  change<Result>(teamId: string | null, apply: Mutation<Result>): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const pending: QueuedMutation = { apply, resolve: resolve as (result: unknown) => void, reject };
      const queue = this.#queues.get(teamId);
      if (queue === undefined) {
        this.#queues.set(teamId, [pending]);
        void this.#drain(teamId);
      } else if (queue.length >= maxPending) {
        reject(new RouterError('conflict', 'Too many changes of this team are waiting; try again later.'));
      } else {
        queue.push(pending);
      }
    });
  }

  /**
   * Deletes a record that cannot be read, and returns its text.
   *
   * @param key the key in the storage
   * @throws RouterError `conflict` if it can be read, or was written meanwhile; `invalid_request` if it is not the key of a record
   */
  async discard(key: string): Promise<string | undefined> {
    const stored = await this.#storage.get(key);
    if (typeof stored !== 'object') return undefined;
    if ((await unreadableReason(key, stored.value)) === undefined)
      throw new RouterError('conflict', 'The record can be read. Use the methods for teams and models.');
    const deleted = await this.#storage.delete(key, stored.version);
    const teamId = teamOfRecord(key);
    if (teamId !== undefined) this.#options.onWrite(teamId);
    if (!deleted) throw new RouterError('conflict', 'The record was changed meanwhile. Delete it again.');
    return stored.value;
  }

  async #drain(teamId: string | null): Promise<void> {
    // One turn of the event loop lets the changes of one burst go out in one put.
    await Promise.resolve();
    for (;;) {
      const queue = this.#queues.get(teamId) ?? [];
      const batch = queue.splice(0, maxBatch);
      if (batch.length === 0) break;
      await this.#settle(teamId, batch, queue);
    }
    this.#queues.delete(teamId);
  }

  async #settle(
    teamId: string | null,
    batch: readonly QueuedMutation[],
    queue: QueuedMutation[],
  ): Promise<void> {
    try {
      for (const settle of await this.#write(teamId, batch)) settle();
    } catch (error) {
      if (error instanceof RecordTooLarge && batch.length > 1) {
        // One after the other, so that only those are refused that do not fit.
        for (const pending of batch) await this.#settle(teamId, [pending], queue);
        return;
      }
      for (const { reject } of batch) reject(error);
      // What came meanwhile would wait for the same storage as long again.
      if (isUnavailable(error)) for (const { reject } of queue.splice(0)) reject(error);
    }
  }

  async #write(teamId: string | null, batch: readonly QueuedMutation[]): Promise<Settlement[]> {
    const key = recordKey(teamId);
    const uncertain: IndeterminateWrite[] = [];
    let refusals = 0;
    let signal = AbortSignal.timeout(this.#options.timeoutMs);
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 0) await wait(Math.random() * Math.min(2 ** attempt, 64));
      const startedAt = this.#options.now();
      const stored = await this.#storage.get(key, { signal });
      const current = stored === undefined || stored === 'unchanged' ? undefined : stored;
      const before = current === undefined ? undefined : await readRecord(current.value, teamId);
      const done = uncertain.find((write) => wasApplied(write, before));
      if (done !== undefined) {
        this.#options.onWrite(teamId);
        return done.settlements;
      }
      const deletes = before?.created_at;
      const { record, changed, settlements } = applyAll(before, batch);
      if (!changed) return settlements;
      const mark = this.#mark(record);
      const text = record === undefined ? undefined : encodeWithin(record, current?.value);
      try {
        const replaced = current?.version ?? null;
        const version = await this.#put(key, text, replaced, signal);
        if (version !== undefined) {
          const isDeleted = text === undefined || version === null;
          this.#options.onWrite(teamId, isDeleted ? undefined : { text, version, replaced, startedAt });
          return settlements;
        }
        // It answers: others came first, and the time begins anew.
        signal = AbortSignal.timeout(this.#options.timeoutMs);
      } catch (error) {
        if (signal.aborted || ++refusals >= maxRefusals) throw error;
        uncertain.push({ writeId: mark, deletes: record === undefined ? deletes : undefined, settlements });
      }
    }
    throw new RouterError('conflict', 'The team was changed by others again and again; try again later.');
  }

  /** One mark for each process that writes: whatever others write meanwhile, its last one stays in the record. */
  #mark(record: TeamRecord | undefined): string {
    const mark = `${this.#writer}.${++this.#writes}`;
    if (record === undefined) return mark;
    const ofOthers = record.writes.filter((other) => !other.startsWith(`${this.#writer}.`));
    record.writes = [...ofOthers.slice(1 - maxWriters), mark];
    return mark;
  }

  /** Returns the new version, `null` for a record that is gone, or `undefined` if another version was found. */
  async #put(
    key: string,
    text: string | undefined,
    expected: string | null,
    signal: AbortSignal,
  ): Promise<Version | null | undefined> {
    if (text !== undefined) return this.#storage.put(key, text, expected, { signal });
    const isGone = expected === null || (await this.#storage.delete(key, expected, { signal }));
    return isGone ? null : undefined;
  }
}

class RecordTooLarge extends RouterError {
  constructor(bytes: number) {
    super(
      'invalid_request',
      `The team's record exceeds its size limit: ${bytes} bytes, of ${limits.recordBytes}. Delete models or keys, or shorten extra_body, extra_headers and metadata.`,
    );
  }
}

/**
 * Encodes a record. One that is above the limit already may only shrink.
 *
 * @throws RecordTooLarge
 */
function encodeWithin(record: TeamRecord, before: string | undefined): string {
  const text = encode(record);
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.recordBytes && bytes > Buffer.byteLength(before ?? '')) throw new RecordTooLarge(bytes);
  return text;
}

/** Whether the record that is there now shows that the write happened. */
function wasApplied({ writeId: mark, deletes }: IndeterminateWrite, record: TeamRecord | undefined): boolean {
  if (deletes === undefined) return record?.writes.includes(mark) ?? false;
  // A team that was made anew since then must not be deleted a second time.
  return record?.created_at !== deletes;
}

function applyAll(before: TeamRecord | undefined, batch: readonly QueuedMutation[]) {
  let record = before;
  let changed = false;
  const settlements: Settlement[] = [];
  for (const { apply, resolve, reject } of batch) {
    try {
      const outcome = apply(record);
      record = outcome.record;
      changed = true;
      settlements.push(() => resolve(outcome.result));
    } catch (error) {
      settlements.push(() => reject(error));
    }
  }
  return { record, changed, settlements };
}
