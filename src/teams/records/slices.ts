import { nextTick } from '../../tick-batch.ts';

/** Milliseconds that a slice of long work may take before it yields to the event loop. */
const sliceMs = 8;

/** Splits long work into slices, so that other teams' calls run between them. */
export class Slices {
  readonly #teamId: string | null;
  #startedAt = performance.now();

  /** @param teamId team of the work; `null`: the operator */
  constructor(teamId: string | null) {
    this.#teamId = teamId;
  }

  /** Whether the current slice has used its time, so that the caller has to await `pass`. */
  get spent(): boolean {
    return performance.now() - this.#startedAt >= sliceMs;
  }

  /** Yields to the event loop once and begins the next slice. */
  async pass(): Promise<void> {
    await nextTick(this.#teamId);
    this.#startedAt = performance.now();
  }
}
