import type { Readable } from 'node:stream';

/** What a passage does with the chunks, and with their end. */
export interface Course {
  /** Puts into `out` what may be passed on now. What it throws breaks the passage off. */
  push(chunk: Uint8Array, out: Uint8Array[]): void;
  /** The provider has sent all; what it puts into `out` comes last. */
  end(out: Uint8Array[]): void;
  /** It broke off: the error that the reader gets, unless `out` tells it. */
  broken(error: unknown, out: Uint8Array[]): unknown;
  /** The reader left. */
  left(): void;
}

/**
 * An answer's body on its way to the reader, at the reader's pace. Not a generator: one that was never begun would not
 * hear that its reader left, and the provider would go on.
 */
export class Passage implements AsyncIterableIterator<Uint8Array> {
  readonly #source: Readable;
  readonly #course: Course;
  readonly #ready: Uint8Array[] = [];
  #ended = false;
  #failure: { error: unknown } | undefined;
  #wake: (() => void)[] = [];

  constructor(source: Readable, course: Course, head: readonly Uint8Array[] = []) {
    this.#source = source;
    this.#course = course;
    this.#ready.push(...head);
    const wake = () => {
      for (const resolve of this.#wake.splice(0)) resolve();
    };
    const closed = () => {
      // A caller that has left does not come for the failure, and the call would never end.
      if (!this.#ended && !source.readableEnded) this.#break(source.errored ?? new Error('closed'));
      wake();
    };
    source.on('readable', wake).on('end', wake).on('error', wake).on('close', closed);
    if (source.closed) process.nextTick(closed);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      const value = this.#ready.shift();
      if (value !== undefined) return { done: false, value };
      if (this.#failure !== undefined) {
        const { error } = this.#failure;
        this.#failure = undefined;
        throw error;
      }
      if (this.#ended) return { done: true, value: undefined };
      if (!this.#advance()) await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#ready.length = 0;
    if (!this.#ended) {
      this.#ended = true;
      this.#source.on('error', () => {}).destroy();
      this.#course.left();
    }
    return { done: true, value: undefined };
  }

  /** `false` if the provider has to send more first. */
  #advance(): boolean {
    const source = this.#source;
    const chunk: Uint8Array | null = source.destroyed ? null : source.read();
    if (chunk !== null) {
      try {
        this.#course.push(chunk, this.#ready);
      } catch (error) {
        source.on('error', () => {}).destroy();
        this.#break(error);
      }
      return true;
    }
    if (source.readableEnded) {
      this.#ended = true;
      this.#course.end(this.#ready);
      return true;
    }
    if (!source.destroyed && source.errored === null) return false;
    this.#break(source.errored ?? new Error('closed'));
    return true;
  }

  #break(cause: unknown): void {
    this.#ended = true;
    const before = this.#ready.length;
    const error = this.#course.broken(cause, this.#ready);
    if (this.#ready.length === before) this.#failure = { error };
  }
}
