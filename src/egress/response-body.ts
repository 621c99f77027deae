import { JoinedChunks } from './joined-chunks.ts';

/** Pauses, resumes and aborts the source of a body. */
export interface FlowControl {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** The beginning of a body. */
export interface BufferedPrefix {
  chunks: Buffer[];
  size: number;
  /** Whether the chunks are the whole body. */
  complete: boolean;
}

/** Buffered bytes above which the source is paused. */
const highWaterMark = 65_536;

/** Limits in bytes and milliseconds on reading the rest of a body that is no longer needed. */
const maxDrainBytes = 65_536;
const maxDrainMs = 1_000;

/** Buffers the body of a provider's response and applies back-pressure to the provider. */
export class ResponseBody implements AsyncIterable<Buffer> {
  readonly #source: FlowControl;
  readonly #chunks = new JoinedChunks();
  #size = 0;
  /** Buffered bytes above which the source is paused. */
  #mark = highWaterMark;
  #paused = false;
  #finished = false;
  #error: unknown;
  #changed: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #onBroken: (() => void) | undefined;
  #onLeft: (() => boolean) | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  /** Remaining bytes that are read and dropped; `undefined` if the body is not being drained. */
  #drainBytesLeft: number | undefined;

  constructor(source: FlowControl) {
    this.#source = source;
  }

  /** Whether the body has ended and all of its bytes were taken. */
  get over(): boolean {
    return this.#finished && this.#chunks.length === 0;
  }

  /** Number of buffered bytes. */
  get waiting(): number {
    return this.#size;
  }

  /** The error that ended the body; `undefined` if the body is complete. */
  get error(): unknown {
    return this.#error;
  }

  /** Removes and returns the next buffered bytes. */
  take(): Buffer | undefined {
    const chunk = this.#chunks.take();
    if (chunk !== undefined && this.#chunks.length === 0) this.#emptied();
    return chunk;
  }

  /** Resolves when more bytes are buffered or the body has ended. */
  changed(): Promise<void> {
    this.#changed ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    const changed = this.#changed;
    if (this.#chunks.length === 0) this.#emptied();
    return changed;
  }

  /** Sets a listener that is called when the body fails, even without a reader. */
  whenBroken(listener: () => void): void {
    this.#onBroken = listener;
    if (this.#error !== undefined) setImmediate(listener);
  }

  /** Sets a function that decides, at a client disconnect, whether all relevant bytes have arrived. */
  whenLeft(listener: () => boolean): void {
    this.#onLeft = listener;
  }

  /**
   * Handles a client disconnect. Returns whether the rest is drained, so that the provider's connection can be
   * reused.
   */
  leave(reason: unknown): boolean {
    if (!this.#finished && this.#onLeft?.() === true) {
      this.readOff();
      this.#notify();
      return true;
    }
    this.fail(reason);
    return false;
  }

  /**
   * Returns the whole body if it has at most `limit` bytes. Otherwise returns the bytes received so far, and the rest
   * can still be read. Returns synchronously if the body has already ended, which is usual for small responses.
   *
   * @throws the error that ended the body
   */
  upTo(limit: number): BufferedPrefix | Promise<BufferedPrefix> {
    if (!this.#finished || this.#error !== undefined) return this.#upTo(limit);
    return this.#takeAll(this.#size <= limit);
  }

  async #upTo(limit: number): Promise<BufferedPrefix> {
    this.#mark = Math.max(limit + 1, highWaterMark);
    while (!this.#finished && this.#size <= limit) {
      // Subscribes first, because the rest may arrive while the source resumes.
      const changed = this.changed();
      if (this.#size < this.#mark) this.#resume();
      await changed;
    }
    this.#mark = highWaterMark;
    if (this.#error !== undefined && this.#size <= limit) throw this.#error;
    return this.#takeAll(this.#finished && this.#size <= limit);
  }

  /** @param complete whether the chunks are the whole body */
  #takeAll(complete: boolean): BufferedPrefix {
    const prefix = { chunks: this.#chunks.takeAll(), size: this.#size, complete };
    this.#emptied();
    return prefix;
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

  /** Drops the buffered bytes, and closes the provider's connection unless the body has ended. */
  destroy(): void {
    this.#chunks.takeAll();
    this.#size = 0;
    if (this.#finished) return;
    const error = new Error('The response is no longer read.');
    this.fail(error);
    this.#source.abort(error);
  }

  /**
   * Closes the provider's connection if the body does not end within `maxDrainMs`. Bytes that arrive earlier can be
   * taken.
   */
  endSoon(): void {
    if (this.#finished || this.#drainTimer !== undefined) return;
    this.#drainTimer = setTimeout(() => this.destroy(), maxDrainMs);
    this.#drainTimer.unref();
  }

  /** Drops the rest of the body. If the rest is short, the provider's connection can be reused. */
  readOff(): void {
    this.#chunks.takeAll();
    this.#drainBytesLeft = maxDrainBytes;
    this.endSoon();
    this.#emptied();
  }

  push(chunk: Buffer): void {
    if (this.#finished || chunk.length === 0) return;
    if (this.#drainBytesLeft !== undefined) {
      this.#drainBytesLeft -= chunk.length;
      if (this.#drainBytesLeft < 0) this.destroy();
      return;
    }
    this.#size += chunk.length;
    this.#chunks.push(chunk);
    if (this.#size >= this.#mark && !this.#paused) {
      this.#paused = true;
      this.#source.pause();
    }
    this.#notify();
  }

  end(): void {
    this.#finished = true;
    clearTimeout(this.#drainTimer);
    this.#notify();
  }

  /** Ends the body with an error. Bytes that are already buffered can still be taken. */
  fail(error: unknown): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#error = error ?? new Error('closed');
    clearTimeout(this.#drainTimer);
    this.#onBroken?.();
    this.#notify();
  }

  /** Resumes the source after all buffered bytes were taken. */
  #emptied(): void {
    this.#size = 0;
    this.#resume();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#source.resume();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    this.#changed = undefined;
    wake?.();
  }
}
