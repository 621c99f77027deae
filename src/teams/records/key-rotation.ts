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
 * Progress and findings of `rotateEncryption`.
 *
 * @example
 * ```ts
 * const { resealed, unreadable }: RotationProgress = await router.rotateEncryption();
 * ```
 */
export interface RotationProgress {
  /** Number of processed records, including the record of the shared deployments. */
  records: number;
  /** Number of secrets sealed again, under the primary key. */
  resealed: number;
  /**
   * Number of secrets that cannot be decrypted. They stay unchanged, and lists mark their deployments
   * `needs_reentry`.
   */
  unreadable: number;
  /** Number of records that cannot be read. They stay unchanged. */
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
  /** Stops the rotation between two writes. Finished writes remain, and the next rotation continues from them. */
  signal?: AbortSignal;
  /** Called after each record. */
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

/** Number of secrets sealed again in one write. */
const secretsPerWrite = 256;
/**
 * Maximum writes for one record. The fullest record needs fewer. The bound ends a race with a writer that still
 * seals under an older key.
 */
const maxWrites = 200;
const pageSize = 100;

/** Counts secrets and records with an unknown key. Never a valid key id. */
const unknownKey = '?';

/** Seals everything again under the primary key, record by record, while other processes read and write. */
export class Rotation {
  readonly #records: RecordStore;
  readonly #storage: Storage;
  readonly #ring: KeyRing;

  readonly #check: () => void;

  /** @param check runs before each step; an error of it ends the rotation */
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
      // Yields to the event loop, because a storage in memory never does.
      await nextTick(null);
    }
    return progress;
  }

  /** Counts the stored secrets of each key; `?` counts secrets with an unknown key. */
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
    /** Secrets that are not tried again before the next write. */
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
   * Seals up to `secretsPerWrite` secrets of a record that another key has sealed. Works in slices, because a
   * failed decryption costs as much as a successful one. Adds secrets that cannot be decrypted to `unreadable`.
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

  /**
   * Throws if the rotation has to end between two steps.
   *
   * @throws the reason of the signal, and errors of `check`
   */
  #goOn(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    this.#check();
  }

  /** Yields the keys of all records, page by page. A key that exists throughout is yielded once. */
  async *#keys(signal: AbortSignal | undefined): AsyncGenerator<string> {
    this.#goOn(signal);
    yield sharedKey;
    let cursor: string | undefined;
    // A storage may list a key twice, but the count must include it once.
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

/** Returns the place of a token. A token can be decrypted only in its place. */
function nameOf({ id }: DeploymentRecord, field: string, token: string): string {
  return JSON.stringify([id, field, token]);
}

/** Replaces, in place, the tokens that have not changed meanwhile. Returns their number. */
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
