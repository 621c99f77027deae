/** What holds the flow of a body back, and what ends it. */
export interface Valve {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** What a body begins with. */
export interface Beginning {
  chunks: Buffer[];
  size: number;
  /** Whether that is all of it. */
  complete: boolean;
}

/**
 * What Node takes from its pool of small buffers. Longer ones have memory of their own, which the allocator may give back to
 * the system each time: that makes a stream cost twice as much.
 */
const longestJoined = Buffer.poolSize / 2 - 1;
/** Bytes that may lie here before the provider is held back. */
const highWaterMark = 65_536;

/**
 * The body of a provider's answer as it comes in: whoever does not take it holds the provider back. It stands where a
 * stream of Node's could, and costs less.
 */
export class ResponseBody implements AsyncIterable<Buffer> {
  readonly #valve: Valve;
  #chunks: Buffer[] = [];
  #size = 0;
  #paused = false;
  #finished = false;
  #error: unknown;
  #changed: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #broken: (() => void) | undefined;

  constructor(valve: Valve) {
    this.#valve = valve;
  }

  /** Whether nothing is left to take, and nothing more will come. */
  get over(): boolean {
    return this.#finished && this.#chunks.length === 0;
  }

  /** What broke it off; `undefined` once it is over: it came whole. */
  get error(): unknown {
    return this.#error;
  }

  /** The next bytes that are here: many small pieces cost whoever passes them on more than to join some of them. */
  take(): Buffer | undefined {
    const [first] = this.#chunks;
    if (first === undefined) return undefined;
    let size = first.length;
    let count = 1;
    for (; count < this.#chunks.length; count++) {
      const joined = size + (this.#chunks[count]?.length ?? 0);
      if (joined > longestJoined) break;
      size = joined;
    }
    const taken = this.#chunks.splice(0, count);
    if (this.#chunks.length === 0) this.#flow();
    return count === 1 ? first : Buffer.concat(taken, size);
  }

  /** Until there is more to take, or it is over. */
  changed(): Promise<void> {
    this.#changed ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    const changed = this.#changed;
    this.#flow();
    return changed;
  }

  /** Has the one who passes it on told at once when it breaks off, even if nobody reads. */
  whenBroken(listener: () => void): void {
    this.#broken = listener;
    if (this.#error !== undefined) setImmediate(listener);
  }

  /**
   * All of it, unless that is more than `limit` bytes: then what has come so far, and the rest is still to come. At once
   * if all is here, as it nearly always is of a small answer.
   *
   * @throws what broke it off
   */
  upTo(limit: number): Beginning | Promise<Beginning> {
    if (!this.#finished || this.#error !== undefined || this.#size > limit) return this.#upTo(limit);
    const chunks = this.#chunks;
    const size = this.#size;
    this.#chunks = [];
    this.#flow();
    return { chunks, size, complete: true };
  }

  async #upTo(limit: number): Promise<Beginning> {
    const chunks: Buffer[] = [];
    let size = 0;
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        chunks.push(chunk);
        size += chunk.length;
        if (size > limit) return { chunks, size, complete: false };
      } else if (!this.over) await this.changed();
      else if (this.#error === undefined) return { chunks, size, complete: true };
      else throw this.#error;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const chunk = this.take();
        if (chunk !== undefined) yield chunk;
        else if (!this.over) await this.changed();
        else if (this.#error === undefined) return;
        else throw this.#error;
      }
    } finally {
      this.destroy();
    }
  }

  /** Nobody reads on: the provider's connection is closed, unless it has sent all. */
  destroy(): void {
    this.#chunks.length = 0;
    this.#size = 0;
    if (this.#finished) return;
    const error = new Error('Nobody reads this answer any more.');
    this.fail(error);
    this.#valve.abort(error);
  }

  push(chunk: Buffer): void {
    if (this.#finished) return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size >= highWaterMark && !this.#paused) {
      this.#paused = true;
      this.#valve.pause();
    }
    this.#tell();
  }

  end(): void {
    this.#finished = true;
    this.#tell();
  }

  /** What has come before can still be taken. */
  fail(error: unknown): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#error = error ?? new Error('closed');
    this.#broken?.();
    this.#tell();
  }

  /** Nothing lies here any more. */
  #flow(): void {
    this.#size = 0;
    if (!this.#paused) return;
    this.#paused = false;
    this.#valve.resume();
  }

  #tell(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    this.#changed = undefined;
    wake?.();
  }
}
