import { RouterError } from './errors.ts';

/** Counts open calls and changes. While closing, rejects new work and waits for open work. */
export class OpenWork {
  #count = 0;
  /** Callbacks that end waits at the deadline. */
  readonly #waits = new Set<() => void>();
  #closing = false;
  #drained: Promise<void> | undefined;
  #finish: () => void = () => {};

  get isClosing(): boolean {
    return this.#closing;
  }

  /** @throws RouterError `draining` while the router is closing */
  check(): void {
    if (this.#closing) throw closed();
  }

  /**
   * Counts the start of work. Each call needs one call of `leave`.
   *
   * @throws RouterError `draining` while the router is closing
   */
  enter(): void {
    this.check();
    this.#count += 1;
  }

  leave(): void {
    this.#count -= 1;
    if (this.#closing && this.#count === 0) this.#finish();
  }

  /**
   * Runs work and counts it until it has ended.
   *
   * @throws RouterError `draining` while the router is closing
   */
  async run<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    this.enter();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  /** Returns a proxy whose methods run as counted work. All methods must return promises. */
  guard<Service extends object>(service: Service): Service {
    return new Proxy(service, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => this.run(() => member.apply(target, args));
      },
    });
  }

  /** Returns the result of `promise`, or rejects with `draining` at the deadline. */
  async untilDeadline<Value>(promise: Promise<Value>): Promise<Value> {
    let stop = () => {};
    const over = new Promise<never>((_, reject) => {
      stop = () => reject(closed());
      this.#waits.add(stop);
    });
    try {
      return await Promise.race([promise, over]);
    } finally {
      this.#waits.delete(stop);
    }
  }

  /** Rejects new work and waits for open work, at most `timeoutMs`. A second call can only shorten the wait. */
  async drain(timeoutMs: number): Promise<void> {
    this.#closing = true;
    this.#drained ??= new Promise((resolve) => {
      this.#finish = () => {
        for (const stop of this.#waits) stop();
        resolve();
      };
    });
    if (this.#count === 0 || timeoutMs === 0) this.#finish();
    const timer = setTimeout(this.#finish, timeoutMs);
    await this.#drained;
    clearTimeout(timer);
  }
}

/** Creates the error for work that is rejected or ended because the router is closed. */
export function closed(): RouterError {
  return new RouterError('draining', 'The router is closed.');
}
