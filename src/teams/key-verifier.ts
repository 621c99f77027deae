import { RouterError } from '../errors.ts';
import { createLruCache } from '../lru-cache.ts';
import type { Storage, StorageEvent } from '../storage/storage.ts';
import { hashKey, isExpired, isKey } from './management/edit-key.ts';
import type { TeamPrincipal } from './principal.ts';
import { readIdEntry } from './records/id-index.ts';
import type { SnapshotCache, TeamSnapshot } from './records/snapshot-cache.ts';
import { keyPointerKey } from './records/team-record.ts';
import { teamBlocked } from './team-blocked.ts';

export interface KeyVerifierOptions {
  /** Milliseconds for which an unknown key is cached. Another process may have created it meanwhile. */
  maxStalenessMs: number;
  /** Returns milliseconds of a monotonic clock. */
  now: () => number;
}

const maxKeys = 100_000;
const maxUnknownKeys = 10_000;

/**
 * Verifies team keys. Caches only the team of each key and asks the team's snapshot for the rest, so a
 * revocation takes effect as soon as the snapshot is updated.
 */
export class KeyVerifier {
  readonly #storage: Storage;
  readonly #snapshots: SnapshotCache;
  readonly #options: KeyVerifierOptions;
  /** Team by the key's hash. A key never changes its team. */
  readonly #teams = createLruCache<string, string>(maxKeys);
  /** Hashes that no team has, with the time of the read. */
  readonly #unknown = createLruCache<string, number>(maxUnknownKeys);
  readonly #loading = new Map<string, Promise<string | undefined>>();

  constructor(storage: Storage, snapshots: SnapshotCache, options: KeyVerifierOptions) {
    this.#storage = storage;
    this.#snapshots = snapshots;
    this.#options = options;
  }

  /**
   * Returns the team and the permissions of a key. Reads no storage if the team's snapshot is cached.
   *
   * @throws RouterError `invalid_api_key` for a key that is malformed, unknown, expired or revoked;
   * `key_blocked`, `team_blocked`, `storage_unavailable`
   */
  async verify(key: string): Promise<TeamPrincipal> {
    if (typeof key !== 'string' || !isKey(key)) throw invalidKey();
    const token = hashKey(key);
    const teamId = this.#teams.get(token);
    if (teamId === undefined) return this.#find(token);
    return this.#judge(token, teamId, await this.#snapshots.get(teamId));
  }

  /** Invalidates what another process has changed. */
  onStorageEvent(event: StorageEvent): void {
    if (!('key' in event)) this.#unknown.clear();
    else if (event.key.startsWith(keyPointerKey(''))) {
      this.#unknown.delete(event.key.slice(keyPointerKey('').length));
    }
  }

  async #find(token: string): Promise<TeamPrincipal> {
    const readAt = this.#unknown.get(token);
    if (readAt !== undefined && this.#options.now() - readAt < this.#options.maxStalenessMs)
      throw invalidKey();
    const teamId = await this.#lookUp(token);
    if (teamId === undefined) throw invalidKey();
    const snapshot = await this.#snapshots.get(teamId);
    this.#teams.set(token, teamId);
    if (snapshot?.keys.has(token)) return this.#judge(token, teamId, snapshot);
    // Another process may have created the key a moment ago, so the snapshot may be older than the pointer.
    this.#snapshots.markStale(teamId);
    return this.#judge(token, teamId, await this.#snapshots.get(teamId));
  }

  #lookUp(token: string): Promise<string | undefined> {
    const running = this.#loading.get(token);
    if (running !== undefined) return running;
    const readAt = this.#options.now();
    const load = readIdEntry(this.#storage, keyPointerKey(token))
      .then((teamId) => {
        if (typeof teamId === 'string') return teamId;
        this.#unknown.set(token, readAt);
        return undefined;
      })
      .finally(() => this.#loading.delete(token));
    this.#loading.set(token, load);
    return load;
  }

  #judge(token: string, teamId: string, snapshot: TeamSnapshot | undefined): TeamPrincipal {
    const key = snapshot?.keys.get(token);
    if (snapshot === undefined || key === undefined) {
      // The pointer may be newer than the record, so the next request reads it again.
      this.#teams.delete(token);
      throw invalidKey();
    }
    if (isExpired(key, Date.now())) throw invalidKey();
    if (snapshot.blocked) throw teamBlocked();
    if (key.blocked) throw new RouterError('key_blocked', 'This key is blocked.');
    const verified = { teamId, token: key.token, keyType: key.key_type };
    return key.models === null ? verified : { ...verified, models: key.models };
  }
}

export function invalidKey(): RouterError {
  return new RouterError('invalid_api_key', 'The API key is missing, unknown, expired or revoked.');
}
