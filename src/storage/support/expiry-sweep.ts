/** Number of puts with an expiry between two steps. */
const putsPerStep = 64;

/** Number of rows that one step checks. */
export const rowsPerStep = 200;

/**
 * Removes expired rows gradually. Every 64th put with an expiry checks the next 200 rows, so the storage does not
 * grow and each put does only bounded work.
 */
export class ExpirySweep {
  readonly #step: (after: string | undefined) => Promise<string | undefined>;
  #puts = 0;
  #after: string | undefined;
  #running = false;

  /** @param step checks the rows after a key; resolves to the last key, or to `undefined` at the end */
  constructor(step: (after: string | undefined) => Promise<string | undefined>) {
    this.#step = step;
  }

  /** Counts a put. Never fails, because every reader treats an expired row as absent. */
  async afterPut(expiresAt: number | undefined): Promise<void> {
    if (expiresAt === undefined || ++this.#puts % putsPerStep !== 0 || this.#running) return;
    this.#running = true;
    try {
      this.#after = await this.#step(this.#after);
    } catch {
      // The next step begins at the same key.
    } finally {
      this.#running = false;
    }
  }
}
