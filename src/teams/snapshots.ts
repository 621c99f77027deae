import { LRUCache } from 'lru-cache';
import { isUnavailable } from '../errors.ts';
import type { KeyRing } from '../secrets/keyring.ts';
import { boundedWait } from '../storage/bounded-wait.ts';
import type { Storage, StorageEvent, Version } from '../storage/storage.ts';
import { Deployment } from './deployment.ts';
import { decode, type KeyRecord, recordKey, type TeamRecord } from './record.ts';

/** A team's record compiled for calls. */
export interface TeamSnapshot {
  readonly teamId: string | null;
  readonly blocked: boolean;
  readonly allowedShared: ReadonlySet<string>;
  readonly pools: ReadonlyMap<string, readonly Deployment[]>;
  readonly deployments: ReadonlyMap<string, Deployment>;
  readonly settings: TeamSettings;
  /** By the SHA-256 of the key, in hex. */
  readonly keys: ReadonlyMap<string, KeyRecord>;
}

/** How a team's calls are tried, by LiteLLM's names; times in seconds. */
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
  /** Milliseconds for which a snapshot serves while the storage cannot be reached. */
  serveStaleMs: number;
  /** How many teams are kept in memory. */
  maxTeams: number;
  now: () => number;
}

interface Entry {
  /** `undefined`: there is no such team. */
  snapshot: TeamSnapshot | undefined;
  version: Version | undefined;
  /** When the read that it comes from began. */
  readAt: number;
  /** Somebody changed it: to be read again before it is used, though it may serve if the storage is out of reach. */
  expired: boolean;
}

// Long enough for a storage that answers again, short enough for a call.
const outageWaitMs = 100;

/** Compiled team snapshots in memory: single flight, LRU, bounded age. */
export class Snapshots {
  readonly #storage: Storage;
  readonly #ring: KeyRing;
  readonly #options: SnapshotOptions;
  readonly #known: LRUCache<string, Entry>;
  readonly #unknown: LRUCache<string, Entry>;
  readonly #loading = new Map<string, Promise<Entry>>();
  #outOfReach = false;

  constructor(storage: Storage, ring: KeyRing, options: SnapshotOptions) {
    this.#storage = storage;
    this.#ring = ring;
    this.#options = options;
    this.#known = new LRUCache({ max: options.maxTeams });
    // Unknown teams have a cache of their own, small: they must not push out teams that exist.
    this.#unknown = new LRUCache({ max: 1000 });
  }

  /**
   * The team's snapshot, at once if one in memory is young enough; `undefined` if there is no such team.
   * From half its age on it is refreshed behind the caller's back.
   */
  get(teamId: string | null): TeamSnapshot | undefined | Promise<TeamSnapshot | undefined> {
    const key = recordKey(teamId);
    const entry = this.#known.get(key) ?? this.#unknown.get(key);
    if (entry === undefined || entry.expired) return this.#fresh(teamId, key, entry);
    const age = this.#options.now() - entry.readAt;
    if (age >= this.#options.maxStalenessMs) return this.#fresh(teamId, key, entry);
    if (age >= this.#options.maxStalenessMs / 2) this.#load(teamId, key, entry).catch(() => {});
    return entry.snapshot;
  }

  /** Forgets a team whose record this process has just written. */
  drop(teamId: string | null): void {
    const key = recordKey(teamId);
    this.#known.delete(key);
    this.#unknown.delete(key);
    this.#loading.delete(key);
  }

  /** Has a team's record read again before its snapshot is used. */
  expire(teamId: string | null): void {
    this.#expire(recordKey(teamId));
  }

  /** Takes note of what others changed. */
  notice(event: StorageEvent): void {
    const keys =
      'key' in event
        ? [event.key]
        : [...this.#known.keys(), ...this.#unknown.keys(), ...this.#loading.keys()];
    for (const key of keys) this.#expire(key);
  }

  #expire(key: string): void {
    const entry = this.#known.peek(key) ?? this.#unknown.peek(key);
    if (entry !== undefined) entry.expired = true;
    this.#loading.delete(key);
  }

  async #fresh(
    teamId: string | null,
    key: string,
    entry: Entry | undefined,
  ): Promise<TeamSnapshot | undefined> {
    const load = this.#load(teamId, key, entry);
    try {
      // Only the first calls of an outage wait for the deadline to learn of it.
      const impatient = this.#outOfReach && this.#mayServe(teamId, entry);
      return (await (impatient ? boundedWait(outageWaitMs, undefined, () => load) : load)).snapshot;
    } catch (error) {
      if (isUnavailable(error) && this.#mayServe(teamId, entry)) return entry?.snapshot;
      throw error;
    }
  }

  /** Whether the last read failed: what was made since the one before is not known. */
  get outOfReach(): boolean {
    return this.#outOfReach;
  }

  /** Whether an entry is young enough to serve while the storage cannot be reached. */
  #mayServe(teamId: string | null, entry: Entry | undefined): boolean {
    // That there are no shared deployments must not keep a team from its own; an unknown team may be a new one.
    if (entry === undefined || (entry.snapshot === undefined && teamId !== null)) return false;
    const limit = Math.max(this.#options.serveStaleMs, this.#options.maxStalenessMs);
    return this.#options.now() - entry.readAt < limit;
  }

  #load(teamId: string | null, key: string, entry: Entry | undefined): Promise<Entry> {
    const running = this.#loading.get(key);
    if (running !== undefined) return running;
    const load = this.#read(teamId, key, entry).then((fresh) => {
      // A write or an event meanwhile took this load out of the map: what it read may be too old to keep.
      if (this.#loading.get(key) === load) this.#keep(key, fresh);
      return fresh;
    });
    this.#loading.set(key, load);
    const settle = () => {
      if (this.#loading.get(key) === load) this.#loading.delete(key);
    };
    load.then(settle, settle);
    return load;
  }

  async #read(teamId: string | null, key: string, entry: Entry | undefined): Promise<Entry> {
    const readAt = this.#options.now();
    const unless = entry?.version;
    const stored = await this.#reach(() => this.#storage.get(key, unless === undefined ? {} : { unless }));
    if (stored === 'unchanged') return { snapshot: entry?.snapshot, version: unless, readAt, expired: false };
    if (stored === undefined) return { snapshot: undefined, version: undefined, readAt, expired: false };
    const snapshot = compile(this.#ring, decode(stored.value, teamId));
    return { snapshot, version: stored.version, readAt, expired: false };
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

  #keep(key: string, entry: Entry): void {
    const [cache, other] = entry.snapshot ? [this.#known, this.#unknown] : [this.#unknown, this.#known];
    cache.set(key, entry);
    other.delete(key);
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
    keys: new Map(record.keys),
  };
}
