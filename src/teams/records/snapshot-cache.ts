import type { LRUCache } from 'lru-cache';
import { isUnavailable } from '../../errors.ts';
import { createLruCache } from '../../lru-cache.ts';
import type { KeyRing } from '../../secrets/keyring.ts';
import type { Storage, StorageEvent, Version } from '../../storage/storage.ts';
import { boundedWait } from '../../storage/support/bounded-wait.ts';
import { type CompiledKey, compileKeys } from '../management/edit-key.ts';
import { Deployment } from './deployment.ts';
import { readRecord } from './read-record.ts';
import type { WrittenRecord } from './record-store.ts';
import { recordKey, type TeamRecord, teamOfRecord } from './team-record.ts';

/** A team's record, compiled for calls. */
export interface TeamSnapshot {
  readonly teamId: string | null;
  readonly blocked: boolean;
  readonly allowedShared: ReadonlySet<string>;
  readonly pools: ReadonlyMap<string, readonly Deployment[]>;
  readonly deployments: ReadonlyMap<string, Deployment>;
  readonly settings: TeamSettings;
  /** Keys by their SHA-256, in hex. */
  readonly keys: ReadonlyMap<string, CompiledKey>;
}

/** Retries, timeouts and fallbacks of a team's calls, by LiteLLM's names; times in seconds. */
export interface TeamSettings {
  readonly fallbacks: ReadonlyMap<string, readonly string[]>;
  readonly num_retries?: number | undefined;
  readonly timeout?: number | undefined;
  readonly allowed_fails?: number | undefined;
  readonly cooldown_time?: number | undefined;
}

export interface SnapshotOptions {
  /** Milliseconds after which a snapshot is read again before it is used. */
  maxStalenessMs: number;
  /** Milliseconds for which a stale snapshot is served while the storage is unreachable. */
  serveStaleMs: number;
  /** Maximum teams in memory. */
  maxTeams: number;
  now: () => number;
}

interface CachedSnapshot {
  /** `undefined` if the team does not exist, or if `written` is not compiled yet. */
  snapshot: TeamSnapshot | undefined;
  /** Text of the record as this process wrote it. */
  written?: string;
  version: Version | undefined;
  /** Time when its read began. */
  readAt: number;
  /** Time when it was added to the cache. */
  keptAt: number;
  /**
   * Whether the record was changed since. It is read again before use, but may be served while the storage is
   * unreachable.
   */
  expired: boolean;
}

// Long enough for a recovered storage, short enough for a call.
const outageWaitMs = 100;
/**
 * Milliseconds between a call that finds an old snapshot and the refresh. The delay keeps the refresh out of
 * that call's latency.
 */
const refreshDelayMs = 25;

/** Key of the shared deployments in the cache. A symbol, because every string may be a team's id. */
const sharedId = Symbol('shared');
type SnapshotId = string | typeof sharedId;

/** Caches compiled team snapshots by the team's id: single flight, LRU, bounded age. */
export class SnapshotCache {
  readonly #storage: Storage;
  readonly #ring: KeyRing;
  readonly #options: SnapshotOptions;
  readonly #known: LRUCache<SnapshotId, CachedSnapshot>;
  readonly #unknown: LRUCache<SnapshotId, CachedSnapshot>;
  readonly #loading = new Map<SnapshotId, Promise<CachedSnapshot>>();
  /** Ids with a scheduled refresh. */
  readonly #due = new Set<SnapshotId>();
  #outOfReach = false;

  constructor(storage: Storage, ring: KeyRing, options: SnapshotOptions) {
    this.#storage = storage;
    this.#ring = ring;
    this.#options = options;
    this.#known = createLruCache(options.maxTeams);
    // A separate small cache, so that unknown teams do not evict existing teams.
    this.#unknown = createLruCache(1000);
  }

  /**
   * Returns the team's snapshot, synchronously if a fresh one is cached; `undefined` if the team does not
   * exist. Refreshes a snapshot in the background after half of its maximum age.
   */
  get(teamId: string | null): TeamSnapshot | undefined | Promise<TeamSnapshot | undefined> {
    const id = teamId ?? sharedId;
    const entry = this.#known.get(id) ?? this.#unknown.get(id);
    if (entry === undefined || entry.expired) return this.#fresh(teamId, entry);
    const age = this.#options.now() - entry.readAt;
    if (age >= this.#options.maxStalenessMs) return this.#fresh(teamId, entry);
    if (age >= this.#options.maxStalenessMs / 2) this.#refreshSoon(teamId);
    return entry.snapshot;
  }

  #refreshSoon(teamId: string | null): void {
    const id = teamId ?? sharedId;
    if (this.#due.has(id)) return;
    this.#due.add(id);
    const refresh = () => {
      this.#due.delete(id);
      this.#load(teamId, this.#peek(id)).catch(() => {});
    };
    setTimeout(refresh, refreshDelayMs).unref();
  }

  /** Removes a team that this process wrote, because the stored state is unknown. */
  invalidate(teamId: string | null): void {
    const id = teamId ?? sharedId;
    this.#known.delete(id);
    this.#unknown.delete(id);
    this.#loading.delete(id);
  }

  /**
   * Keeps the record that this process wrote, so that it can be served if the storage fails before the next
   * read. Removes the team if a snapshot that may be newer was read meanwhile.
   */
  keepWritten(teamId: string | null, { text, version, replaced, startedAt }: WrittenRecord): void {
    const id = teamId ?? sharedId;
    const entry = this.#peek(id);
    if (entry?.version === version) {
      this.#expire(id);
      return;
    }
    // A "no such team" that was read after the write began may be a deletion after the write.
    const isReplaced = entry?.version !== undefined && entry.version === replaced;
    const isOlder = entry === undefined || entry.keptAt < startedAt || isReplaced;
    this.invalidate(teamId);
    if (!isOlder) return;
    const kept = { snapshot: undefined, written: text, version, readAt: startedAt, keptAt: startedAt };
    this.#known.set(id, { ...kept, expired: true });
  }

  /** Marks a team's snapshot stale, so that its record is read again before use. */
  markStale(teamId: string | null): void {
    this.#expire(teamId ?? sharedId);
  }

  /** Invalidates what another process has changed. */
  onStorageEvent(event: StorageEvent): void {
    if ('key' in event) {
      const teamId = teamOfRecord(event.key);
      if (teamId !== undefined) this.markStale(teamId);
      return;
    }
    for (const ids of [this.#known, this.#unknown, this.#loading]) {
      for (const id of [...ids.keys()]) this.#expire(id);
    }
  }

  #expire(id: SnapshotId): void {
    const entry = this.#peek(id);
    if (entry !== undefined) entry.expired = true;
    this.#loading.delete(id);
  }

  /** Returns a cached entry without marking it as used. */
  #peek(id: SnapshotId): CachedSnapshot | undefined {
    return this.#known.peek(id) ?? this.#unknown.peek(id);
  }

  async #fresh(teamId: string | null, entry: CachedSnapshot | undefined): Promise<TeamSnapshot | undefined> {
    const load = this.#load(teamId, entry);
    try {
      // Only the first calls of an outage wait until the deadline.
      const impatient = this.#outOfReach && this.#mayServe(teamId, entry);
      return (await (impatient ? boundedWait(outageWaitMs, undefined, () => load) : load)).snapshot;
    } catch (error) {
      if (isUnavailable(error) && this.#mayServe(teamId, entry)) return this.#compiled(teamId, entry);
      throw error;
    }
  }

  /** Whether the last read failed. Changes since the read before it are unknown. */
  get storageUnreachable(): boolean {
    return this.#outOfReach;
  }

  /** Returns whether an entry may be served while the storage is unreachable. */
  #mayServe(teamId: string | null, entry: CachedSnapshot | undefined): boolean {
    // A cached "no shared deployments" may be served stale. A cached "unknown team" may not, because the team
    // may have been created since.
    if (entry === undefined) return false;
    if (entry.snapshot === undefined && entry.written === undefined && teamId !== null) return false;
    const limit = Math.max(this.#options.serveStaleMs, this.#options.maxStalenessMs);
    return this.#options.now() - entry.readAt < limit;
  }

  #load(teamId: string | null, entry: CachedSnapshot | undefined): Promise<CachedSnapshot> {
    const id = teamId ?? sharedId;
    const running = this.#loading.get(id);
    if (running !== undefined) return running;
    const load = this.#read(teamId, entry).then((fresh) => {
      // A write or an event meanwhile removed this load from the map, because its result may be too old to
      // keep.
      if (this.#loading.get(id) === load) this.#keep(id, fresh);
      return fresh;
    });
    this.#loading.set(id, load);
    const settle = () => {
      if (this.#loading.get(id) === load) this.#loading.delete(id);
    };
    load.then(settle, settle);
    return load;
  }

  async #read(teamId: string | null, entry: CachedSnapshot | undefined): Promise<CachedSnapshot> {
    const key = recordKey(teamId);
    const readAt = this.#options.now();
    const unless = entry?.version;
    const stored = await this.#reach(() => this.#storage.get(key, unless === undefined ? {} : { unless }));
    const read = { readAt, keptAt: readAt, expired: false };
    if (stored === 'unchanged')
      return { ...read, snapshot: await this.#compiled(teamId, entry), version: unless };
    if (stored === undefined) return { ...read, snapshot: undefined, version: undefined };
    const snapshot = compile(this.#ring, await readRecord(stored.value, teamId));
    return { ...read, snapshot, version: stored.version };
  }

  async #compiled(
    teamId: string | null,
    entry: CachedSnapshot | undefined,
  ): Promise<TeamSnapshot | undefined> {
    if (entry?.written === undefined) return entry?.snapshot;
    return compile(this.#ring, await readRecord(entry.written, teamId));
  }

  async #reach<Result>(read: () => Promise<Result>): Promise<Result> {
    try {
      const result = await read();
      this.#outOfReach = false;
      return result;
    } catch (error) {
      this.#outOfReach = isUnavailable(error);
      throw error;
    }
  }

  #keep(id: SnapshotId, entry: CachedSnapshot): void {
    entry.keptAt = this.#options.now();
    const [cache, other] = entry.snapshot ? [this.#known, this.#unknown] : [this.#unknown, this.#known];
    cache.set(id, entry);
    other.delete(id);
  }
}

export function compile(ring: KeyRing, record: TeamRecord): TeamSnapshot {
  const pools = new Map<string, readonly Deployment[]>();
  const deployments = new Map<string, Deployment>();
  for (const [name, pool] of record.pools) {
    const members = pool.deployments.map((stored) => new Deployment(ring, record.team_id, name, stored));
    pools.set(name, members);
    for (const member of members) deployments.set(member.id, member);
  }
  return {
    teamId: record.team_id,
    blocked: record.blocked,
    allowedShared: new Set(record.models),
    pools,
    deployments,
    settings: { ...record.settings, fallbacks: new Map(record.settings.fallbacks) },
    keys: compileKeys(record),
  };
}
