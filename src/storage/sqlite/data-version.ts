import type { StorageEvent } from '../storage.ts';
import type { SqliteFile } from './file.ts';

type Listener = (event: StorageEvent) => void;

/**
 * Watches a SQLite file for commits by other connections, with SQLite's `data_version`. It does not identify the
 * keys, so every change is a `reset`.
 */
export class DataVersionWatch {
  readonly #file: SqliteFile;
  readonly #intervalMs: number;
  readonly #listeners = new Set<{ listener: Listener }>();
  #timer: NodeJS.Timeout | undefined;
  #poll: Promise<void> = Promise.resolve();
  #seen: unknown;

  constructor(file: SqliteFile, intervalMs: number) {
    this.#file = file;
    this.#intervalMs = intervalMs;
  }

  async watch(listener: Listener): Promise<() => Promise<void>> {
    if (!this.#timer) this.#seen = await this.#read();
    const entry = { listener };
    this.#listeners.add(entry);
    this.#schedule();
    return async () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size === 0) await this.stop();
    };
  }

  async stop(): Promise<void> {
    this.#listeners.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#poll;
  }

  #schedule(): void {
    if (this.#timer || this.#listeners.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#poll = this.#check().then(() => {
        this.#timer = undefined;
        this.#schedule();
      });
    }, this.#intervalMs);
    this.#timer.unref();
  }

  async #check(): Promise<void> {
    // A failed read is ignored, because the next read still sees a different version.
    const current = await this.#read().catch(() => this.#seen);
    if (current === this.#seen) return;
    this.#seen = current;
    for (const { listener } of this.#listeners) listener({ reset: true });
  }

  async #read(): Promise<unknown> {
    const [row] = await this.#file.read('PRAGMA data_version', []);
    return row?.data_version;
  }
}
