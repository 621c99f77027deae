import type { ResponseBody } from '../../egress/response-body.ts';
import { tickFor } from '../../tick-batch.ts';
import { sizeOf } from './head.ts';

/** What a body does with the chunks, and with their end. */
export interface BodyTransform {
  /** Puts into `out` what may be passed on now. What it throws breaks the body off. */
  transform(chunk: Uint8Array, out: Uint8Array[]): void;
  /** The provider has sent all; what it puts into `out` comes last. Returns the error that the reader gets behind that. */
  flush(out: Uint8Array[]): unknown;
  /** It broke off: returns the error that the reader gets behind `out`; `undefined` if all had come that matters. */
  onError(error: unknown, out: Uint8Array[]): unknown;
  /** Bytes that are held back, and that the next chunk may complete. */
  readonly held: number;
  /** Whether the reader has been given all that matters. */
  finished(): boolean;
  /** The reader left. Returns whether it has read all that matters, so that the rest is only read off. */
  onCancel(): boolean;
}

/** Bytes that are looked through for a caller who has left, so that the provider's connection can be used again. */
const shortRest = 4_096;

/**
 * Streams a response body at the reader's pace. Not a generator, because a generator that never started would
 * not be notified when its reader stops, and the provider would continue.
 */
export class RelayedBody implements AsyncIterableIterator<Uint8Array> {
  readonly #source: ResponseBody;
  readonly #transform: BodyTransform;
  readonly #teamId: string | null;
  readonly #ready: Uint8Array[] = [];
  readonly #head: Uint8Array[];
  #ended = false;
  #failure: { error: unknown } | undefined;

  /**
   * @param teamId the caller's
   * @param head what has been taken of the source already
   */
  constructor(
    source: ResponseBody,
    transform: BodyTransform,
    teamId: string | null,
    head: readonly Uint8Array[] = [],
  ) {
    this.#teamId = teamId;
    this.#source = source;
    this.#transform = transform;
    this.#head = [...head];
    source.whenBroken(() => {
      // No caller awaits it, and an unhandled rejection would end the process.
      this.#breakOff().catch((error: unknown) => {
        this.#ended = true;
        this.#fail(error);
      });
    });
    source.whenLeft(() => this.#guarded(() => this.#leave()));
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
      const turn = this.#turn();
      if (turn !== undefined) await turn;
      if (!this.#advance()) await this.#source.changed();
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#ready.length = 0;
    if (!this.#ended) {
      this.#ended = true;
      if (this.#guarded(() => this.#transform.onCancel())) this.#source.readOff();
      else this.#source.destroy();
    }
    return { done: true, value: undefined };
  }

  /** `false` if the provider has to send more first. */
  #advance(): boolean {
    const source = this.#source;
    const chunk = this.#head.shift() ?? source.take();
    if (chunk !== undefined) {
      try {
        this.#transform.transform(chunk, this.#ready);
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
        this.#fail(this.#transform.flush(this.#ready));
      } catch (error) {
        this.#break(error);
      }
    }
    return true;
  }

  /** A caller that has left does not come for the failure, and the call would never end. */
  async #breakOff(): Promise<void> {
    do {
      const turn = this.#turn();
      if (turn !== undefined) await turn;
    } while (!this.#ended && this.#advance());
  }

  /** Waits until the next chunk may be scanned; `undefined` without a wait. */
  #turn(): Promise<void> | undefined {
    if (this.#ended) return undefined;
    const [head] = this.#head;
    const bytes = head?.length ?? this.#source.waiting;
    return bytes === 0 && !this.#source.over
      ? undefined
      : tickFor(this.#teamId, bytes + this.#transform.held);
  }

  /** Its caller leaves. Returns whether that changes nothing, because all that matters has come. */
  #leave(): boolean {
    const unread = sizeOf(this.#head) + this.#source.waiting + this.#transform.held;
    if (unread <= shortRest) while (!this.#ended && this.#advance());
    if (this.#ended) return true;
    if (!this.#transform.finished()) return false;
    this.#ended = true;
    return this.#transform.onCancel();
  }

  #break(cause: unknown): void {
    this.#ended = true;
    try {
      this.#fail(this.#transform.onError(cause, this.#ready));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Runs a step that no caller waits for, because its error would end the process. Returns false if it throws. */
  #guarded(step: () => boolean): boolean {
    try {
      return step();
    } catch {
      return false;
    }
  }

  /** The reader gets it behind what is ready, so that a stream that failed never looks complete. */
  #fail(error: unknown): void {
    if (error !== undefined) this.#failure = { error };
  }
}
