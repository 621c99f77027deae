import { randomUUID } from 'node:crypto';
import { RouterError } from '../errors.ts';
import type { Storage, Version } from './storage.ts';

/** Prefix of the rows that a probe writes. */
export const probePrefix = 'probe:';

/** Milliseconds for which the result of a successful or a failed probe is cached. */
const acceptedMs = 5_000;
const refusedMs = 1_000;
/** Milliseconds after which a probe's row expires, for a process that did not delete it. */
const lifetimeMs = 60_000;

/**
 * Tests whether a storage accepts writes, with one conditional write of a small row per process. Caches the result
 * for 5 seconds, or for 1 second after a failure.
 */
export class WriteProbe {
  readonly #storage: Storage;
  readonly #key = probePrefix + randomUUID();
  #version: Version | null = null;
  #last: { written: Promise<void>; endsAt: number; isAccepted: boolean; acceptedMs: number } | undefined;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /**
   * Writes the probe's row unless a cached result exists.
   *
   * @throws RouterError `storage_unavailable` if the storage accepts no writes
   */
  check(): Promise<void> {
    if (this.#last !== undefined && performance.now() < this.#last.endsAt) return this.#last.written;
    const written = this.#write();
    const last = { written, endsAt: Number.POSITIVE_INFINITY, isAccepted: false, acceptedMs };
    this.#last = last;
    written.then(
      () => {
        last.isAccepted = true;
        last.endsAt = performance.now() + last.acceptedMs;
      },
      () => {
        last.endsAt = performance.now() + refusedMs;
      },
    );
    return written;
  }

  /** Discards an accepted write, because another write has failed since. The next check writes again. */
  recordFailure(): void {
    if (this.#last === undefined) return;
    // A write that is under way was perhaps sent before the failure.
    this.#last.acceptedMs = 0;
    if (this.#last.isAccepted) this.#last = undefined;
  }

  async #write(): Promise<void> {
    const put = (expected: Version | null) =>
      this.#storage.put(this.#key, '', expected, { expiresAt: Date.now() + lifetimeMs });
    const expected = this.#version;
    // A failed write may still have been applied.
    this.#version = null;
    let written = await put(expected);
    if (written === undefined) {
      // The row has expired, or a failed write was applied.
      const stored = await this.#storage.get(this.#key);
      written = await put(typeof stored === 'object' ? stored.version : null);
    }
    if (written === undefined) throw new RouterError('storage_unavailable', 'The storage refuses writes.');
    this.#version = written;
  }
}
