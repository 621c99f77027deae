import { type SlotWaiter, TeamSlots } from '../../egress/team-slots.ts';
import { RouterError } from '../../errors.ts';
import { entriesPerPage, type ObjectEntry } from './page.ts';

/** Entries of one team that are being written or wait. */
const maxTeamEntries = 2_048;
/** Entries of all teams that are being written or wait. */
const maxEntries = 32_768;

/** Writes to storage at a time. */
const slotLimits = {
  total: 64,
  perTeam: 8,
  queuedPerTeam: maxTeamEntries,
  queueTimeoutMs: 10_000,
  refusal: () => new RouterError('overloaded', 'Too many affinity records wait for the storage.'),
};

/** The entries that one write stores. */
interface Batch {
  readonly entries: Map<string, ObjectEntry>;
  /** Resolves when the write has ended or was dropped. */
  readonly settled: Promise<void>;
  settle(): void;
}

/** The writes of one page: at most one runs, and all later entries wait in one batch. */
interface PageQueue {
  readonly teamId: string;
  readonly key: string;
  running: Batch | undefined;
  waiting: Batch | undefined;
}

/**
 * Queues writes of entries to their pages, and merges those that wait for the same page.
 *
 * Writes at a time and queued entries are limited per team and in total. Entries beyond the limits are dropped, because
 * an entry is only a hint.
 */
export class PageWrites {
  readonly #write: (key: string, entries: ReadonlyMap<string, ObjectEntry>) => Promise<void>;
  readonly #dropped: (teamId: string, entries: readonly ObjectEntry[]) => void;
  readonly #slots = new TeamSlots(slotLimits);
  readonly #queues = new Map<string, PageQueue>();
  readonly #teamEntries = new Map<string, number>();
  #entries = 0;

  /**
   * @param write stores entries in the page of this key
   * @param dropped called with the entries that exceeded a limit
   */
  constructor(
    write: (key: string, entries: ReadonlyMap<string, ObjectEntry>) => Promise<void>,
    dropped: (teamId: string, entries: readonly ObjectEntry[]) => void,
  ) {
    this.#write = write;
    this.#dropped = dropped;
  }

  /** Returns an entry that is not stored yet. */
  pending(key: string, id: string): ObjectEntry | undefined {
    const queue = this.#queues.get(key);
    return queue?.waiting?.entries.get(id) ?? queue?.running?.entries.get(id);
  }

  /** Queues the entries of one page. Resolves when they are written, dropped, or could not be written. Never rejects. */
  add(teamId: string, key: string, entries: readonly ObjectEntry[]): Promise<void> {
    const known = this.#queues.get(key);
    const added = entries.filter(([id]) => known?.waiting?.entries.has(id) !== true).length;
    const teamEntries = this.#teamEntries.get(teamId) ?? 0;
    if (teamEntries + added > maxTeamEntries || this.#entries + added > maxEntries) {
      this.#dropped(teamId, entries);
      return Promise.resolve();
    }
    const queue = known ?? { teamId, key, running: undefined, waiting: undefined };
    if (known === undefined) this.#queues.set(key, queue);
    const isNew = queue.waiting === undefined;
    queue.waiting ??= newBatch();
    const batch = queue.waiting;
    const sizeBefore = batch.entries.size;
    for (const entry of entries) {
      batch.entries.delete(entry[0]);
      batch.entries.set(entry[0], entry);
    }
    for (const id of batch.entries.keys()) {
      if (batch.entries.size <= entriesPerPage) break;
      batch.entries.delete(id);
    }
    this.#count(teamId, batch.entries.size - sizeBefore);
    if (isNew && queue.running === undefined) this.#schedule(queue);
    return batch.settled;
  }

  #schedule(queue: PageQueue): void {
    const { teamId } = queue;
    if (this.#slots.tryTake(teamId)) {
      void this.#run(queue);
      return;
    }
    const waiter: SlotWaiter = {
      granted: () => void this.#run(queue),
      refused: () => {
        const { waiting } = queue;
        queue.waiting = undefined;
        this.#queues.delete(queue.key);
        if (waiting === undefined) return;
        this.#dropped(teamId, [...waiting.entries.values()]);
        this.#end(teamId, waiting);
      },
    };
    this.#slots.wait(teamId, waiter);
  }

  async #run(queue: PageQueue): Promise<void> {
    const { teamId, key, waiting: batch } = queue;
    queue.running = batch;
    queue.waiting = undefined;
    try {
      if (batch !== undefined) await this.#write(key, batch.entries);
    } catch {
      // This process knows the entries; other processes try the pool.
    }
    queue.running = undefined;
    if (batch !== undefined) this.#end(teamId, batch);
    this.#slots.release(teamId);
    if (queue.waiting === undefined) this.#queues.delete(key);
    else this.#schedule(queue);
  }

  #end(teamId: string, batch: Batch): void {
    this.#count(teamId, -batch.entries.size);
    batch.settle();
  }

  #count(teamId: string, entries: number): void {
    this.#entries += entries;
    const teamEntries = (this.#teamEntries.get(teamId) ?? 0) + entries;
    if (teamEntries === 0) this.#teamEntries.delete(teamId);
    else this.#teamEntries.set(teamId, teamEntries);
  }
}

function newBatch(): Batch {
  let settle = () => {};
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { entries: new Map(), settled, settle };
}
