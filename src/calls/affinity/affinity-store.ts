import { createHash } from 'node:crypto';
import { type SlotLimits, type SlotWaiter, TeamSlots } from '../../egress/team-slots.ts';
import { RouterError } from '../../errors.ts';
import { createLruCache } from '../../lru-cache.ts';
import type { Storage } from '../../storage/storage.ts';
import type { CallSignal } from '../abort/call-signal.ts';
import { decodeEntries, emptyPage, encodeEntries, type ObjectEntry, type Page, withEntries } from './page.ts';
import { PageWrites } from './page-writes.ts';

const pagesInMemory = 4096;
const maxTries = 8;
/** An answer waits no longer for its record than this. */
const maxWaitMs = 1000;
/** Milliseconds between two reports of dropped records. */
const reportIntervalMs = 60_000;

/** Calls whose objects are read from the storage at a time. */
const lookupLimits: SlotLimits = {
  total: 128,
  perTeam: 16,
  queuedPerTeam: 4_096,
  queueTimeoutMs: 10_000,
  refusal: (perTeamReached) => (perTeamReached ? tooManyLookups() : overloaded()),
};

/** Records that were not written because too many waited. */
export interface DroppedRecords {
  /** The team of the last one. */
  teamId: string;
  /** Number of records since the last report. */
  records: number;
}

export interface AffinityOptions {
  /** Milliseconds for which an object is remembered after it was last spoken of. */
  affinityTtlMs: number;
  /** Pages that a team may have. Default 2048. */
  affinityPages?: number;
  /** Called when records were dropped, at most once a minute. Must not throw. */
  onDropped?: (dropped: DroppedRecords) => void;
}

/**
 * Remembers which deployment made the objects that live in one provider account. Each team has a fixed number of pages
 * in the storage, and the hash of an object's id selects the page, as in a set-associative cache. So what is stored is
 * bounded without being counted, and the oldest entry of a full page is dropped. A record is only a hint: it chooses
 * among deployments that the caller may use.
 */
export class AffinityStore {
  readonly #storage: Storage;
  readonly #ttlMs: number;
  readonly #pageCount: number;
  readonly #onDropped: (dropped: DroppedRecords) => void;
  readonly #pages = createLruCache<string, Page>(pagesInMemory);
  readonly #writes = new PageWrites(
    (key, entries) => this.#write(key, entries),
    (teamId, entries) => {
      for (const entry of entries) this.#unsaved.add(entry);
      this.#reportDropped(teamId, entries.length);
    },
  );
  /** Entries that only this process knows. The next use of one queues it again. */
  readonly #unsaved = new WeakSet<ObjectEntry>();
  readonly #lookups = new TeamSlots(lookupLimits);
  #droppedRecords = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(
    storage: Storage,
    { affinityTtlMs, affinityPages = 2048, onDropped = () => {} }: AffinityOptions,
  ) {
    this.#storage = storage;
    this.#pageCount = affinityPages;
    this.#ttlMs = affinityTtlMs;
    this.#onDropped = onDropped;
  }

  /**
   * Returns the deployment that the first known of these objects lives with. Returns it synchronously if this process
   * knows it.
   *
   * @throws RouterError `storage_unavailable`, because a guess could answer 404 for an object that exists;
   * `rate_limit_exceeded` or `overloaded` if too many calls wait for the storage; the signal's reason if it aborts
   */
  lookup(
    teamId: string,
    objects: readonly string[],
    signal?: CallSignal,
  ): string | undefined | Promise<string | undefined> {
    for (const object of objects) {
      const { key, id } = this.#place(teamId, object);
      const entry = this.#writes.pending(key, id) ?? this.#pages.get(key)?.entries.get(id);
      const known = this.#use(teamId, object, entry);
      if (known !== undefined) return known;
    }
    return this.#look(teamId, objects, signal);
  }

  async #look(
    teamId: string,
    objects: readonly string[],
    signal: CallSignal | undefined,
  ): Promise<string | undefined> {
    if (!this.#lookups.tryTake(teamId)) await this.#lookupSlot(teamId, signal);
    try {
      for (const object of objects) {
        signal?.throwIfAborted();
        const { key, id } = this.#place(teamId, object);
        const found = this.#use(teamId, object, (await this.#read(key)).entries.get(id));
        if (found !== undefined) return found;
      }
      return undefined;
    } finally {
      this.#lookups.release(teamId);
    }
  }

  async #lookupSlot(teamId: string, signal: CallSignal | undefined): Promise<void> {
    let leave = () => {};
    try {
      await new Promise<void>((granted, refused) => {
        const waiter: SlotWaiter = { granted, refused };
        leave = () => {
          this.#lookups.leave(teamId, waiter);
          refused(signal?.reason);
        };
        this.#lookups.wait(teamId, waiter);
        signal?.addEventListener('abort', leave);
      });
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  /**
   * Remembers where these objects live. Resolves when every process can know, or after `maxWaitMs`, because an answer
   * that is paid for must not wait for a storage that hangs.
   */
  async remember(teamId: string, objects: readonly string[], deploymentId: string): Promise<void> {
    const added = new Map<string, ObjectEntry[]>();
    for (const object of objects) {
      const { key, id } = this.#place(teamId, object);
      const known = this.#pages.get(key)?.entries.get(id);
      const written = this.#writes.pending(key, id) === undefined;
      if (written && known?.[1] === deploymentId && this.#isCurrent(known)) continue;
      const entry: ObjectEntry = [id, deploymentId, this.#endsAt()];
      const entries = added.get(key);
      if (entries === undefined) added.set(key, [entry]);
      else entries.push(entry);
    }
    if (added.size === 0) return;
    const writes = [...added].map(([key, entries]) => {
      this.#know(key, entries);
      return this.#writes.add(teamId, key, entries);
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, maxWaitMs);
    });
    await Promise.race([Promise.all(writes), late]);
    clearTimeout(timer);
  }

  #use(teamId: string, object: string, entry: ObjectEntry | undefined): string | undefined {
    if (entry === undefined || entry[2] * 1000 <= Date.now()) return undefined;
    // An object in use is remembered for another `affinityTtlMs`.
    if (!this.#isCurrent(entry)) void this.remember(teamId, [object], entry[1]);
    return entry[1];
  }

  /** Returns where an object's entry is stored. The hash keeps foreign ids, however long or strange, out of keys and values. */
  #place(teamId: string, object: string): { key: string; id: string } {
    const hash = createHash('sha256')
      .update(JSON.stringify([teamId, object]))
      .digest();
    const page = hash.readUInt32BE(0) % this.#pageCount;
    return { key: `affinity/${encodeURIComponent(teamId)}/${page}`, id: hash.toString('base64url', 4, 22) };
  }

  /** Returns whether the entry is stored, for more than half of `affinityTtlMs` to come. */
  #isCurrent(entry: ObjectEntry): boolean {
    return !this.#unsaved.has(entry) && entry[2] * 1000 - Date.now() > this.#ttlMs / 2;
  }

  #endsAt(): number {
    return Math.ceil((Date.now() + this.#ttlMs) / 1000);
  }

  /** Adds entries to a page in memory, so that this process knows them if the write fails. */
  #know(key: string, added: readonly ObjectEntry[]): void {
    const { version, entries } = this.#pages.get(key) ?? emptyPage;
    this.#pages.set(key, { version, entries: withEntries(entries, byId(added)) });
  }

  async #write(key: string, added: ReadonlyMap<string, ObjectEntry>): Promise<void> {
    const stored = await this.#put(key, added).catch(() => false);
    if (stored) return;
    for (const entry of added.values()) this.#unsaved.add(entry);
  }

  /** Returns whether the entries were stored. */
  async #put(key: string, added: ReadonlyMap<string, ObjectEntry>): Promise<boolean> {
    let page = this.#pages.get(key) ?? emptyPage;
    for (let tries = 0; tries < maxTries; tries++) {
      const entries = withEntries(page.entries, added);
      const expiresAt = Date.now() + this.#ttlMs;
      const version = await this.#storage.put(key, encodeEntries(entries), page.version, { expiresAt });
      if (version !== undefined) {
        for (const entry of entries.values()) this.#unsaved.delete(entry);
        // What was added meanwhile is written next, or was dropped.
        const known = this.#pages.get(key)?.entries ?? emptyPage.entries;
        const all = new Map([...entries, ...known]);
        this.#pages.set(key, { version, entries: withEntries(emptyPage.entries, all) });
        return true;
      }
      page = await this.#read(key);
    }
    return false;
  }

  async #read(key: string): Promise<Page> {
    const known = this.#pages.get(key);
    const unless = known?.version ?? undefined;
    const stored = await this.#storage.get(key, unless === undefined ? {} : { unless });
    if (stored === 'unchanged' && known !== undefined) return known;
    const page =
      typeof stored === 'object'
        ? { version: stored.version, entries: decodeEntries(stored.value) }
        : emptyPage;
    this.#pages.set(key, page);
    return page;
  }

  #reportDropped(teamId: string, records: number): void {
    this.#droppedRecords += records;
    const now = performance.now();
    if (now - this.#reportedAt < reportIntervalMs) return;
    this.#reportedAt = now;
    this.#onDropped({ teamId, records: this.#droppedRecords });
    this.#droppedRecords = 0;
  }
}

function byId(entries: readonly ObjectEntry[]): Map<string, ObjectEntry> {
  return new Map(entries.map((entry) => [entry[0], entry]));
}

function tooManyLookups(): RouterError {
  const message = 'Too many calls of this team look up the deployments of their objects. Retry shortly.';
  return new RouterError('rate_limit_exceeded', message, { retryAfter: 1 });
}

function overloaded(): RouterError {
  const message = 'Too many calls look up the deployments of their objects. Retry shortly.';
  return new RouterError('overloaded', message, { retryAfter: 1 });
}
