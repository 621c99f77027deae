import type { UsageEvent } from '../usage-event.ts';

export interface UsageSinkOptions {
  /** Takes a batch. The events are delivered again if it throws or rejects. */
  deliver: (events: readonly UsageEvent[]) => unknown;
  /** Runs at the first failure after a success. */
  onFailed: (error: unknown) => void;
  /** Runs with the number of events that were dropped since the last time. */
  onDropped: (dropped: number) => void;
  random: () => number;
}

/** Events that wait at most; later ones are dropped. */
export const maxWaiting = 10_000;
/** Events of one batch. */
export const maxBatch = 100;
/** Milliseconds that a first event waits for others. */
const collectMs = 1_000;
const firstBackoffMs = 1_000;
const maxBackoffMs = 300_000;
/** Billing services promise to recognise a repeated id for about as long. */
const maxAgeMs = 86_400_000;
/** Milliseconds after which a delivery counts as failed. */
const deliveryMs = 60_000;
/** Milliseconds that `close` spends on the events that wait. */
const closeMs = 5_000;

/** Delivers usage events in batches, at least once while the process lives. One delivery runs at a time. */
export class UsageSink {
  readonly #options: UsageSinkOptions;
  #waiting: UsageEvent[] = [];
  #timer: NodeJS.Timeout | undefined;
  #delivery: Promise<void> | undefined;
  #failures = 0;
  #dropped = 0;
  #closed = false;

  constructor(options: UsageSinkOptions) {
    this.#options = options;
  }

  push(event: UsageEvent): void {
    if (this.#waiting.length >= maxWaiting || this.#closed) this.#dropped += 1;
    else this.#waiting.push(event);
    if (this.#closed) this.#reportDropped();
    else if (this.#waiting.length >= maxBatch && this.#failures === 0) this.#start();
    else this.#startIn(collectMs);
  }

  /** Delivers what waits, for a bounded time. What is left is dropped. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), closeMs);
    });
    const rest = async (): Promise<boolean> => {
      await this.#delivery;
      while (this.#waiting.length > 0) if (!(await this.#deliverOne())) return false;
      return true;
    };
    await Promise.race([rest(), over]);
    clearTimeout(timer);
    this.#dropped += this.#waiting.length;
    this.#waiting = [];
    this.#reportDropped();
  }

  #startIn(milliseconds: number): void {
    if (this.#timer !== undefined || this.#delivery !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => this.#start(), milliseconds);
    this.#timer.unref();
  }

  #start(): void {
    if (this.#delivery !== undefined || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#delivery = this.#deliverAll().then(() => {
      this.#delivery = undefined;
      if (this.#waiting.length > 0) this.#startIn(this.#failures === 0 ? collectMs : this.#backoffMs());
    });
  }

  async #deliverAll(): Promise<void> {
    do {
      if (!(await this.#deliverOne())) return;
    } while (this.#waiting.length >= maxBatch && !this.#closed);
  }

  /** Returns whether the batch was taken. */
  async #deliverOne(): Promise<boolean> {
    const { deliver, onFailed } = this.#options;
    const batch = this.#waiting.slice(0, maxBatch);
    let taken = true;
    try {
      await within(deliveryMs, async () => deliver(batch));
      this.#waiting.splice(0, batch.length);
      this.#failures = 0;
    } catch (error) {
      taken = false;
      if (this.#failures === 0) onFailed(error);
      this.#failures += 1;
      this.#dropOld();
    }
    this.#reportDropped();
    return taken;
  }

  #dropOld(): void {
    const oldest = Date.now() - maxAgeMs;
    const kept = this.#waiting.filter(({ at }) => Date.parse(at) > oldest);
    this.#dropped += this.#waiting.length - kept.length;
    this.#waiting = kept;
  }

  #reportDropped(): void {
    if (this.#dropped === 0) return;
    this.#options.onDropped(this.#dropped);
    this.#dropped = 0;
  }

  #backoffMs(): number {
    const most = Math.min(firstBackoffMs * 2 ** Math.min(this.#failures - 1, 20), maxBackoffMs);
    return most * (0.5 + this.#options.random() / 2);
  }
}

async function within<Result>(milliseconds: number, run: () => Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('The events were not taken in time.')), milliseconds);
    timer.unref();
  });
  try {
    return await Promise.race([run(), late]);
  } finally {
    clearTimeout(timer);
  }
}
