/** Puts with an expiry between two steps. */
const putsPerStep = 64;

/** Rows that one step looks at. */
export const rowsPerStep = 200;

/**
 * Removes expired rows bit by bit: every 64th put that has an expiry looks at the next 200 rows, so that a storage does not
 * grow with what has ended, and no put waits for more than that.
 */
export class ExpirySweep {
  readonly #step: (after: string | undefined) => Promise<string | undefined>;
  #puts = 0;
  #after: string | undefined;
  #running = false;

  /** @param step looks at the rows behind a key; resolves to the last one, or to `undefined` at the end */
  constructor(step: (after: string | undefined) => Promise<string | undefined>) {
    this.#step = step;
  }

  /** Counts a put. It never fails: a row that stays is absent to every reader. */
  async afterPut(expiresAt: number | undefined): Promise<void> {
    if (expiresAt === undefined || ++this.#puts % putsPerStep !== 0 || this.#running) return;
    this.#running = true;
    try {
      this.#after = await this.#step(this.#after);
    } catch {
      // The next step begins where this one did.
    } finally {
      this.#running = false;
    }
  }
}
