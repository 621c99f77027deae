import { RouterError } from './errors.ts';

/** Counts the calls and changes that are open. Once it is closing, it refuses new ones and waits for the open ones. */
export class OpenWork {
  #count = 0;
  /** What ends at the deadline. */
  readonly #waits = new Set<() => void>();
  #closing = false;
  #drained: Promise<void> | undefined;
  #finish: () => void = () => {};

  /** @throws RouterError `draining` once the router is closing */
  check(): void {
    if (this.#closing) throw closed();
  }

  /** Counts work that begins. Each call needs one of `leave`. @throws RouterError `draining` once the router is closing */
  enter(): void {
    this.check();
    this.#count += 1;
  }

  leave(): void {
    this.#count -= 1;
    if (this.#closing && this.#count === 0) this.#finish();
  }

  /** Runs work and counts it until it has ended. @throws RouterError `draining` once the router is closing */
  async run<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    this.enter();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  /** Returns an object with the same methods, each of which runs as counted work. All of them must return promises. */
  guard<Room extends object>(room: Room): Room {
    return new Proxy(room, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return (...given: unknown[]) => this.run(() => member.apply(target, given));
      },
    });
  }

  /** Returns what `promise` settles to, or rejects with `draining` when the time of the open work is over. */
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

  /** Refuses new work and waits for the open work, `timeoutMs` at most. A second call can only shorten the time. */
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

/** The error of everything that a router refuses, or ends, because it is closed. */
export function closed(): RouterError {
  return new RouterError('draining', 'The router is closed.');
}
