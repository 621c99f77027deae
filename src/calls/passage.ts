import type { ResponseBody } from '../egress/response-body.ts';

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
  readonly #source: ResponseBody;
  readonly #course: Course;
  readonly #ready: Uint8Array[];
  #ended = false;
  #failure: { error: unknown } | undefined;

  constructor(source: ResponseBody, course: Course, head: readonly Uint8Array[] = []) {
    this.#source = source;
    this.#course = course;
    this.#ready = [...head];
    source.whenBroken(() => this.#breakOff());
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
      if (!this.#advance()) await this.#source.changed();
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#ready.length = 0;
    if (!this.#ended) {
      this.#ended = true;
      this.#source.destroy();
      this.#course.left();
    }
    return { done: true, value: undefined };
  }

  /** `false` if the provider has to send more first. */
  #advance(): boolean {
    const source = this.#source;
    const chunk = source.take();
    if (chunk !== undefined) {
      try {
        this.#course.push(chunk, this.#ready);
      } catch (error) {
        this.#break(error);
        source.destroy();
      }
      return true;
    }
    if (!source.over) return false;
    if (source.error !== undefined) this.#break(source.error);
    else {
      this.#ended = true;
      try {
        this.#course.end(this.#ready);
      } catch (error) {
        this.#break(error);
      }
    }
    return true;
  }

  /** A caller that has left does not come for the failure, and the call would never end. */
  #breakOff(): void {
    while (!this.#ended && this.#advance());
  }

  #break(cause: unknown): void {
    this.#ended = true;
    const before = this.#ready.length;
    const error = this.#course.broken(cause, this.#ready);
    if (this.#ready.length === before) this.#failure = { error };
  }
}
