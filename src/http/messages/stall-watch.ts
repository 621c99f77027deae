/** Number of checks per idle time. */
const looks = 4;

/**
 * Calls back when something makes no progress for a time. One timer serves all watched bodies, because every
 * call would otherwise set and clear a timer.
 */
export class StallWatch {
  /** Number of checks so far. */
  tick = 0;
  readonly #idleMs: number;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  /** @param idleMs milliseconds without progress; the callback follows within a quarter of that */
  constructor(idleMs: number) {
    this.#idleMs = idleMs;
  }

  /** Watches until `stop` is called. */
  watch(stalled: () => void): Watched {
    const watched = new Watched(this, stalled);
    this.#watched.add(watched);
    this.#timer ??= setInterval(this.#look, Math.ceil(this.#idleMs / looks)).unref();
    return watched;
  }

  stop(watched: Watched): void {
    this.#watched.delete(watched);
  }

  /**
   * Returns the result of `promise`.
   *
   * @throws the result of `error` if the promise does not settle in time
   */
  async within<Value>(promise: Promise<Value>, error: () => unknown): Promise<Value> {
    let watched: Watched | undefined;
    const late = new Promise<never>((_, reject) => {
      watched = this.watch(() => reject(error()));
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      watched?.stop();
    }
  }

  readonly #look = (): void => {
    this.tick += 1;
    if (this.#watched.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    for (const watched of this.#watched) {
      if (this.tick - watched.tick > looks) watched.stall();
    }
  };
}

class Watched {
  tick: number;
  readonly #watch: StallWatch;
  readonly #stalled: () => void;

  constructor(watch: StallWatch, stalled: () => void) {
    this.#watch = watch;
    this.#stalled = stalled;
    this.tick = watch.tick;
  }

  /** Records progress. */
  touch(): void {
    this.tick = this.#watch.tick;
  }

  stop(): void {
    this.#watch.stop(this);
  }

  stall(): void {
    this.stop();
    this.#stalled();
  }
}
