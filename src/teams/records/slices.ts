import { nextTick } from '../../tick-batch.ts';

/** Milliseconds that one piece of long work may take before the event loop gets a turn. */
const sliceMs = 8;

/** Cuts long work into slices, so that other teams' calls run between them. */
export class Slices {
  readonly #teamId: string | null;
  #startedAt = performance.now();

  /** @param teamId whose work it is; `null`: the operator's */
  constructor(teamId: string | null) {
    this.#teamId = teamId;
  }

  /** Whether the current slice has taken its time, so that `pass` has to be awaited. */
  get spent(): boolean {
    return performance.now() - this.#startedAt >= sliceMs;
  }

  /** Lets the event loop turn once and begins the next slice. */
  async pass(): Promise<void> {
    await nextTick(this.#teamId);
    this.#startedAt = performance.now();
  }
}
