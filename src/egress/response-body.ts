import { JoinedChunks } from './joined-chunks.ts';

/** What holds the flow of a body back, and what ends it. */
export interface FlowControl {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** What a body begins with. */
export interface BufferedPrefix {
  chunks: Buffer[];
  size: number;
  /** Whether that is all of it. */
  complete: boolean;
}

/** Bytes that may lie here before the provider is held back. */
const highWaterMark = 65_536;

/** Bytes and milliseconds that the rest of a body may take that nobody needs any more. */
const restBytes = 65_536;
const restMs = 1_000;

/** Buffers the body of a provider's answer. A consumer that does not take it holds the provider back. */
export class ResponseBody implements AsyncIterable<Buffer> {
  readonly #valve: FlowControl;
  readonly #chunks = new JoinedChunks();
  #size = 0;
  /** Bytes above which the provider is held back. */
  #mark = highWaterMark;
  #paused = false;
  #finished = false;
  #error: unknown;
  #changed: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #broken: (() => void) | undefined;
  #left: (() => boolean) | undefined;
  #restTimer: NodeJS.Timeout | undefined;
  /** Bytes that are still read only to be dropped. */
  #restLeft: number | undefined;

  constructor(valve: FlowControl) {
    this.#valve = valve;
  }

  /** Whether nothing is left to take, and nothing more will come. */
  get over(): boolean {
    return this.#finished && this.#chunks.length === 0;
  }

  /** Bytes that lie here. */
  get waiting(): number {
    return this.#size;
  }

  /** What broke it off; `undefined` once it is over: it came whole. */
  get error(): unknown {
    return this.#error;
  }

  /** Returns the next bytes that are here. */
  take(): Buffer | undefined {
    const chunk = this.#chunks.take();
    if (chunk !== undefined && this.#chunks.length === 0) this.#flow();
    return chunk;
  }

  /** Until there is more to take, or it is over. */
  changed(): Promise<void> {
    this.#changed ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    const changed = this.#changed;
    if (this.#chunks.length === 0) this.#flow();
    return changed;
  }

  /** Has the one who passes it on told at once when it breaks off, even if nobody reads. */
  whenBroken(listener: () => void): void {
    this.#broken = listener;
    if (this.#error !== undefined) setImmediate(listener);
  }

  /** Asks the one who passes it on, when its caller leaves, whether all that matters has come. */
  whenLeft(listener: () => boolean): void {
    this.#left = listener;
  }

  /** The caller leaves. Returns whether the rest is only read off, so that the provider's connection stays. */
  leave(reason: unknown): boolean {
    if (!this.#finished && this.#left?.() === true) {
      this.readOff();
      this.#tell();
      return true;
    }
    this.fail(reason);
    return false;
  }

  /**
   * All of it, unless that is more than `limit` bytes: then what has come so far, and the rest is still to come. At once
   * if all is here, as it nearly always is of a small answer.
   *
   * @throws what broke it off
   */
  upTo(limit: number): BufferedPrefix | Promise<BufferedPrefix> {
    if (!this.#finished || this.#error !== undefined) return this.#upTo(limit);
    return this.#takeAll(this.#size <= limit);
  }

  async #upTo(limit: number): Promise<BufferedPrefix> {
    this.#mark = Math.max(limit + 1, highWaterMark);
    while (!this.#finished && this.#size <= limit) {
      // Asked for before, because the rest may arrive while the provider is let go on.
      const changed = this.changed();
      if (this.#size < this.#mark) this.#open();
      await changed;
    }
    this.#mark = highWaterMark;
    if (this.#error !== undefined && this.#size <= limit) throw this.#error;
    return this.#takeAll(this.#finished && this.#size <= limit);
  }

  /** @param complete whether that is all of the body */
  #takeAll(complete: boolean): BufferedPrefix {
    const beginning = { chunks: this.#chunks.takeAll(), size: this.#size, complete };
    this.#flow();
    return beginning;
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
    this.#chunks.takeAll();
    this.#size = 0;
    if (this.#finished) return;
    const error = new Error('Nobody reads this answer any more.');
    this.fail(error);
    this.#valve.abort(error);
  }

  /** Closes the provider's connection unless the body ends within a moment. What comes until then can be taken. */
  endSoon(): void {
    if (this.#finished || this.#restTimer !== undefined) return;
    this.#restTimer = setTimeout(() => this.destroy(), restMs);
    this.#restTimer.unref();
  }

  /** Drops what is still to come, if it is little, so that the provider's connection can be used again. */
  readOff(): void {
    this.#chunks.takeAll();
    this.#restLeft = restBytes;
    this.endSoon();
    this.#flow();
  }

  push(chunk: Buffer): void {
    if (this.#finished || chunk.length === 0) return;
    if (this.#restLeft !== undefined) {
      this.#restLeft -= chunk.length;
      if (this.#restLeft < 0) this.destroy();
      return;
    }
    this.#size += chunk.length;
    this.#chunks.push(chunk);
    if (this.#size >= this.#mark && !this.#paused) {
      this.#paused = true;
      this.#valve.pause();
    }
    this.#tell();
  }

  end(): void {
    this.#finished = true;
    clearTimeout(this.#restTimer);
    this.#tell();
  }

  /** What has come before can still be taken. */
  fail(error: unknown): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#error = error ?? new Error('closed');
    clearTimeout(this.#restTimer);
    this.#broken?.();
    this.#tell();
  }

  /** Nothing lies here any more. */
  #flow(): void {
    this.#size = 0;
    this.#open();
  }

  #open(): void {
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
