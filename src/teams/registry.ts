import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { RouterError } from '../errors.ts';
import type { Storage } from '../storage/storage.ts';
import { decode, encode, recordKey, type TeamRecord } from './record.ts';

/**
 * One change of a team's record: from what is stored (`undefined`: nothing) to what shall be (`undefined`: gone).
 * It may change the given record in place, but throws before it changes anything. On a conflict it runs again.
 */
export type Change<Result> = (record: TeamRecord | undefined) => {
  record: TeamRecord | undefined;
  result: Result;
};

interface Pending {
  apply: Change<unknown>;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

type Settlement = () => void;

/** A put that failed without an answer: it may have happened. */
interface Uncertain {
  mark: string;
  deletes: boolean;
  settlements: Settlement[];
}

const maxAttempts = 100;
const maxPending = 10_000;
const rememberedWrites = 16;

/**
 * Every write to a team's record. The changes of one team queue in this process and go out together, many in
 * one conditional put: what is acknowledged is stored, and what fails changes nothing.
 */
export class Registry {
  readonly #storage: Storage;
  readonly #onWrite: (teamId: string | null) => void;
  readonly #queues = new Map<string | null, Pending[]>();

  /** @param onWrite is told of each team whose record was written, before the write is acknowledged. */
  constructor(storage: Storage, onWrite: (teamId: string | null) => void) {
    this.#storage = storage;
    this.#onWrite = onWrite;
  }

  /** Reads a team's record past every cache. */
  async read(teamId: string | null): Promise<TeamRecord | undefined> {
    const stored = await this.#storage.get(recordKey(teamId));
    return stored === undefined || stored === 'unchanged' ? undefined : decode(stored.value, teamId);
  }

  /** @throws RouterError what the change throws; `conflict`, `storage_unavailable`, `corrupt_record`. */
  change<Result>(teamId: string | null, apply: Change<Result>): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const pending: Pending = { apply, resolve: resolve as (result: unknown) => void, reject };
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

  async #drain(teamId: string | null): Promise<void> {
    // One turn of the event loop lets the changes of one burst go out in one put.
    await Promise.resolve();
    for (;;) {
      const batch = this.#queues.get(teamId)?.splice(0) ?? [];
      if (batch.length === 0) break;
      try {
        for (const settle of await this.#write(teamId, batch)) settle();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#queues.delete(teamId);
  }

  async #write(teamId: string | null, batch: readonly Pending[]): Promise<Settlement[]> {
    const key = recordKey(teamId);
    let uncertain: Uncertain | undefined;
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 0) await wait(Math.random() * Math.min(2 ** attempt, 64));
      const stored = await this.#storage.get(key);
      const current = stored === undefined || stored === 'unchanged' ? undefined : stored;
      const before = current === undefined ? undefined : decode(current.value, teamId);
      if (uncertain !== undefined && happened(uncertain, before)) {
        this.#onWrite(teamId);
        return uncertain.settlements;
      }
      const { record, changed, settlements } = applyAll(before, batch);
      if (!changed) return settlements;
      const mark = randomUUID();
      if (record !== undefined) record.writes = [...record.writes.slice(1 - rememberedWrites), mark];
      try {
        const expected = current?.version ?? null;
        if (await this.#put(key, record, expected)) {
          this.#onWrite(teamId);
          return settlements;
        }
      } catch (error) {
        if (uncertain !== undefined) throw error;
        uncertain = { mark, deletes: record === undefined, settlements };
      }
    }
    throw new RouterError('conflict', 'The team was changed by others again and again; try again later.');
  }

  async #put(key: string, record: TeamRecord | undefined, expected: string | null): Promise<boolean> {
    if (record !== undefined) return (await this.#storage.put(key, encode(record), expected)) !== undefined;
    return expected === null || (await this.#storage.delete(key, expected));
  }
}

function happened(uncertain: Uncertain, record: TeamRecord | undefined): boolean {
  return record === undefined ? uncertain.deletes : record.writes.includes(uncertain.mark);
}

function applyAll(before: TeamRecord | undefined, batch: readonly Pending[]) {
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
