import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { hasMethods, parseOptions } from '../../schemas/parse.ts';
import { keyIdOf } from '../../secrets/envelope.ts';
import type { KeyRing } from '../../secrets/keyring.ts';
import type { Storage } from '../../storage/storage.ts';
import { nextTick } from '../../tick-batch.ts';
import type { RecordStore } from './record-store.ts';
import { reseal } from './sealed-secrets.ts';
import { Slices } from './slices.ts';
import { type DeploymentRecord, sharedKey, type TeamRecord, teamPrefix } from './team-record.ts';

/**
 * How far `rotateEncryption` is, and what it has found.
 *
 * @example
 * ```ts
 * const { resealed, unreadable }: RotationProgress = await router.rotateEncryption();
 * ```
 */
export interface RotationProgress {
  /** Records (a team's, and that of the shared deployments) that it has been through. */
  records: number;
  /** Secrets that it has sealed anew, under the primary key. */
  resealed: number;
  /** Secrets that do not open, and stay as they are: lists mark their deployments `needs_reentry`. */
  unreadable: number;
  /** Records that cannot be read, and stay as they are. */
  failed: number;
}

/**
 * Options of `rotateEncryption`.
 *
 * @example
 * ```ts
 * const options: RotationOptions = { onProgress: ({ records }) => console.log(records) };
 * await router.rotateEncryption(options);
 * ```
 */
export interface RotationOptions {
  /** Ends it between two writes; what is written stays, and the next rotation goes on from there. */
  signal?: AbortSignal;
  /** Is told after each record. */
  onProgress?: (progress: RotationProgress) => void;
}

const signal = z
  .custom<AbortSignal>(
    (value) => hasMethods(value, ['addEventListener', 'throwIfAborted']),
    'must be an AbortSignal',
  )
  .optional();
const usageOptions = z.strictObject({ signal });
const onProgress = z.custom<(progress: RotationProgress) => void>(
  (value) => typeof value === 'function',
  'must be a function',
);
const rotationOptions = z.strictObject({ signal, onProgress: onProgress.optional() });

/** Secrets sealed again in one write. */
const secretsPerWrite = 256;
/** More than the fullest record needs; a writer that still seals under an older key must not keep us for ever. */
const maxWrites = 200;
const pageSize = 100;

/** What no key's id can be: stands for secrets and records whose key cannot be told. */
const unknownKey = '?';

/** Moves all that is stored under the primary key, record by record, while others read and write. */
export class Rotation {
  readonly #records: RecordStore;
  readonly #storage: Storage;
  readonly #ring: KeyRing;

  readonly #check: () => void;

  /** @param check is called before each step; what it throws ends the rotation there */
  constructor(records: RecordStore, storage: Storage, ring: KeyRing, check: () => void = () => {}) {
    this.#check = check;
    this.#records = records;
    this.#storage = storage;
    this.#ring = ring;
  }

  async rotate(options?: RotationOptions): Promise<RotationProgress> {
    const { signal, onProgress } = parseOptions(rotationOptions, options);
    const progress = { records: 0, resealed: 0, unreadable: 0, failed: 0 };
    for await (const key of this.#keys(signal)) {
      try {
        await this.#rotateRecord(teamOf(key), progress, signal);
      } catch (error) {
        if (!isCorrupt(error)) throw error;
        progress.failed += 1;
      }
      progress.records += 1;
      onProgress?.({ ...progress });
      // A storage in memory would not let anybody else run meanwhile.
      await nextTick(null);
    }
    return progress;
  }

  /** How many stored secrets each key has sealed; `?` counts what cannot be told. */
  async usage(options?: { signal?: AbortSignal }): Promise<Record<string, number>> {
    const { signal } = parseOptions(usageOptions, options);
    const counts = new Map<string, number>();
    const count = (id: string) => counts.set(id, (counts.get(id) ?? 0) + 1);
    for await (const key of this.#keys(signal)) {
      try {
        const record = await this.#records.read(teamOf(key));
        for (const token of tokensOf(record)) count(keyIdOf(token) ?? unknownKey);
      } catch (error) {
        if (!isCorrupt(error)) throw error;
        count(unknownKey);
      }
    }
    return Object.fromEntries(counts);
  }

  async #rotateRecord(
    teamId: string | null,
    progress: RotationProgress,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    /** Not opened again before the next write. */
    const unreadable = new Set<string>();
    for (let write = 0; write < maxWrites; write++) {
      this.#goOn(signal);
      const record = await this.#records.read(teamId);
      const renewed = record === undefined ? none : await this.#renew(record, unreadable, signal);
      if (renewed.size === 0) break;
      progress.resealed += await this.#records.change(teamId, (stored) => {
        const result = stored === undefined ? 0 : replaceTokens(stored, renewed);
        return { record: stored, result };
      });
    }
    progress.unreadable += unreadable.size;
  }

  /**
   * Seals up to `secretsPerWrite` secrets of a record that another key has sealed, in slices, because one that does not open costs as much
   * as one that does. Adds those that do not open to `unreadable`.
   */
  async #renew(
    record: TeamRecord,
    unreadable: Set<string>,
    signal: AbortSignal | undefined,
  ): Promise<Map<string, string>> {
    const renewed = new Map<string, string>();
    const slices = new Slices(null);
    for (const [, pool] of record.pools) {
      for (const deployment of pool.deployments) {
        for (const [field, token] of deployment.sealed) {
          const name = nameOf(deployment, field, token);
          if (keyIdOf(token) === this.#ring.primaryId || unreadable.has(name)) continue;
          if (renewed.size >= secretsPerWrite) return renewed;
          if (slices.spent) {
            await slices.pass();
            this.#goOn(signal);
          }
          const next = reseal(this.#ring, record.team_id, deployment, field, token);
          if (next === undefined) unreadable.add(name);
          else renewed.set(name, next);
        }
      }
    }
    return renewed;
  }

  /** @throws what ends the rotation between two steps */
  #goOn(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    this.#check();
  }

  /** The keys of all records, by pages: one that is there throughout comes once. */
  async *#keys(signal: AbortSignal | undefined): AsyncGenerator<string> {
    this.#goOn(signal);
    yield sharedKey;
    let cursor: string | undefined;
    // A walk may repeat itself, and a count must not.
    const seen = new Set<string>();
    do {
      const page = await this.#storage.list(teamPrefix, {
        limit: pageSize,
        keysOnly: true,
        ...(cursor === undefined ? {} : { cursor }),
      });
      for (const { key } of page.entries) {
        this.#goOn(signal);
        if (seen.has(key)) continue;
        seen.add(key);
        yield key;
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
}

const none: ReadonlyMap<string, string> = new Map();

/** A token in its place: it opens in no other. */
function nameOf({ id }: DeploymentRecord, field: string, token: string): string {
  return JSON.stringify([id, field, token]);
}

/** Replaces the tokens that are still where they were, in place. Returns how many. */
function replaceTokens(record: TeamRecord, renewed: ReadonlyMap<string, string>): number {
  let count = 0;
  for (const [, pool] of record.pools) {
    for (const deployment of pool.deployments) {
      deployment.sealed = deployment.sealed.map(([field, token]) => {
        const next = renewed.get(nameOf(deployment, field, token));
        if (next !== undefined) count += 1;
        return [field, next ?? token];
      });
    }
  }
  return count;
}

function tokensOf(record: TeamRecord | undefined): string[] {
  return (record?.pools ?? []).flatMap(([, pool]) =>
    pool.deployments.flatMap(({ sealed }) => sealed.map(([, token]) => token)),
  );
}

function teamOf(key: string): string | null {
  return key === sharedKey ? null : decodeURIComponent(key.slice(teamPrefix.length));
}

function isCorrupt(error: unknown): boolean {
  return error instanceof URIError || (RouterError.isInstance(error) && error.code === 'corrupt_record');
}
