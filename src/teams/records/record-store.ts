import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { isUnavailable, RouterError } from '../../errors.ts';
import type { Storage, Version } from '../../storage/storage.ts';
import { unreadableReason } from './listing.ts';
import { readRecord } from './read-record.ts';
import { encode, limits, recordKey, type TeamRecord, teamOfRecord } from './team-record.ts';

/**
 * One change of a team's record, from the stored record to the new one (`undefined`: no record). It may change
 * the record in place, but throws before it changes anything. It runs again on a conflict.
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

/** A write that failed without an answer. It may have been applied, or may be applied later. */
interface IndeterminateWrite {
  writeId: string;
  /** For a delete, `created_at` of the record to delete. */
  deletes: string | undefined;
  settlements: Settlement[];
}

const maxAttempts = 100;
const maxPending = 10_000;
/** Maximum changes in one put. */
const maxBatch = 100;
/**
 * Maximum failed puts of one write, with successful reads between them. Then the storage is considered to
 * reject the write.
 */
const maxRefusals = 3;
const maxWriters = 32;

/** A record as this process wrote it. */
export interface WrittenRecord {
  text: string;
  version: Version;
  /** Version that the write replaced; `null` if no record existed. */
  replaced: Version | null;
  /** Time, by `now`, when the replaced version was requested from the storage. */
  startedAt: number;
}

export interface RecordStoreOptions {
  /** Milliseconds that a change may wait for the storage. */
  timeoutMs: number;
  /** Returns milliseconds of a monotonic clock. */
  now: () => number;
  /**
   * Called before a write is acknowledged. `written` is absent if the record was deleted, or its version is
   * unknown.
   */
  onWrite: (teamId: string | null, written?: WrittenRecord) => void;
}

/**
 * Writes teams' records. Queues the changes of one team in this process, and writes many in one conditional
 * put. An acknowledged change is stored; a failed change changes nothing.
 */
export class RecordStore {
  readonly #storage: Storage;
  readonly #options: RecordStoreOptions;
  readonly #queues = new Map<string | null, QueuedMutation[]>();
  /** Identifies this process's writes in the records. */
  readonly #writer = randomBytes(8).toString('base64url');
  #writes = 0;

  constructor(storage: Storage, options: RecordStoreOptions) {
    this.#storage = storage;
    this.#options = options;
  }

  /** Reads a team's record, bypassing all caches. */
  async read(teamId: string | null): Promise<TeamRecord | undefined> {
    const stored = await this.#storage.get(recordKey(teamId));
    return stored === undefined || stored === 'unchanged' ? undefined : readRecord(stored.value, teamId);
  }

  /**
   * Applies a change to a team's record.
   *
   * @throws RouterError `conflict`, `storage_unavailable`, `corrupt_record`; and errors of the change
   */
  change<Result>(teamId: string | null, apply: Mutation<Result>): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const pending: QueuedMutation = { apply, resolve: resolve as (result: unknown) => void, reject };
      const queue = this.#queues.get(teamId);
      if (queue === undefined) {
        this.#queues.set(teamId, [pending]);
        void this.#drain(teamId);
      } else if (queue.length >= maxPending) {
        reject(new RouterError('conflict', 'Too many changes of this team are queued. Retry later.'));
      } else {
        queue.push(pending);
      }
    });
  }

  /**
   * Deletes a record that cannot be read, and returns its text.
   *
   * @param key storage key of the record
   * @throws RouterError `conflict` if it can be read, or was written meanwhile; `invalid_request` if it is not
   * a record's key
   */
  async discard(key: string): Promise<string | undefined> {
    const stored = await this.#storage.get(key);
    if (typeof stored !== 'object') return undefined;
    if ((await unreadableReason(key, stored.value)) === undefined)
      throw new RouterError('conflict', 'The record can be read. Use the methods for teams and models.');
    const deleted = await this.#storage.delete(key, stored.version);
    const teamId = teamOfRecord(key);
    if (teamId !== undefined) this.#options.onWrite(teamId);
    if (!deleted) throw new RouterError('conflict', 'The record was changed meanwhile. Retry.');
    return stored.value;
  }

  async #drain(teamId: string | null): Promise<void> {
    // Waits one microtask, so that the changes of one burst share a put.
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
        // Settles them one by one, so that only changes that do not fit are rejected.
        for (const pending of batch) await this.#settle(teamId, [pending], queue);
        return;
      }
      for (const { reject } of batch) reject(error);
      // Changes that were queued meanwhile would wait for the same storage as long again.
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
        // The storage answers but others wrote first, so the time limit starts again.
        signal = AbortSignal.timeout(this.#options.timeoutMs);
      } catch (error) {
        if (signal.aborted || ++refusals >= maxRefusals) throw error;
        uncertain.push({ writeId: mark, deletes: record === undefined ? deletes : undefined, settlements });
      }
    }
    throw new RouterError('conflict', 'Too many concurrent changes to this team. Retry.');
  }

  /**
   * Adds a write id to a record, one for each writing process. The last write id of this process remains when
   * other processes write.
   */
  #mark(record: TeamRecord | undefined): string {
    const mark = `${this.#writer}.${++this.#writes}`;
    if (record === undefined) return mark;
    const ofOthers = record.writes.filter((other) => !other.startsWith(`${this.#writer}.`));
    record.writes = [...ofOthers.slice(1 - maxWriters), mark];
    return mark;
  }

  /**
   * Writes a record. Returns the new version, `null` for a deleted record, or `undefined` on a version
   * mismatch.
   */
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
 * Encodes a record. A record above the limit may only shrink.
 *
 * @throws RecordTooLarge
 */
function encodeWithin(record: TeamRecord, before: string | undefined): string {
  const text = encode(record);
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.recordBytes && bytes > Buffer.byteLength(before ?? '')) throw new RecordTooLarge(bytes);
  return text;
}

/** Returns whether the current record proves that the write was applied. */
function wasApplied({ writeId: mark, deletes }: IndeterminateWrite, record: TeamRecord | undefined): boolean {
  if (deletes === undefined) return record?.writes.includes(mark) ?? false;
  // A team that was created again since then must not be deleted a second time.
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
