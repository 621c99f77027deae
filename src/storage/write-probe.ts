import { randomUUID } from 'node:crypto';
import { RouterError } from '../errors.ts';
import type { Storage, Version } from './storage.ts';

/** What the keys of the rows begin with that are written only to see whether they are taken. */
export const probePrefix = 'probe:';

/** Milliseconds for which a write that succeeded, or failed, is taken for the storage's state. */
const acceptedMs = 5_000;
const refusedMs = 1_000;
/** Milliseconds after which a row of the probe expires, for a process that has ended. */
const lifetimeMs = 60_000;

/**
 * Finds out whether a storage takes writes, by one conditional put of a few bytes under a key of its own. However often it is asked,
 * it writes at most every 5 seconds, or every second while writes fail.
 */
export class WriteProbe {
  readonly #storage: Storage;
  readonly #key = probePrefix + randomUUID();
  #version: Version | null = null;
  #last: { written: Promise<void>; endsAt: number; isAccepted: boolean; acceptedMs: number } | undefined;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** @throws RouterError `storage_unavailable` if the storage takes no writes */
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
    // A write that fails may have happened.
    this.#version = null;
    let written = await put(expected);
    if (written === undefined) {
      // The row has expired, or a write that failed had happened.
      const stored = await this.#storage.get(this.#key);
      written = await put(typeof stored === 'object' ? stored.version : null);
    }
    if (written === undefined)
      throw new RouterError('storage_unavailable', 'The storage does not take a row of its own.');
    this.#version = written;
  }
}
