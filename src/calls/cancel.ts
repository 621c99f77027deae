import { EventEmitter } from 'node:events';
import type { CallSignal } from './call-signal.ts';

/**
 * Ends one attempt: when the caller leaves, or when its time is over. undici takes an emitter for a signal; an
 * AbortController for every attempt would cost several times as much.
 */
export class Cancel extends EventEmitter {
  aborted = false;
  reason: unknown;
  readonly #signal: CallSignal | undefined;
  readonly #leave: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(signal: CallSignal | undefined) {
    super();
    this.#signal = signal;
    this.#leave = () => this.abort(signal?.reason);
    signal?.addEventListener('abort', this.#leave);
  }

  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.emit('abort');
  }

  /** Aborts after so many milliseconds, unless `inTime` comes first. */
  within(milliseconds: number, reason: () => unknown): void {
    this.#timer = setTimeout(() => this.abort(reason()), milliseconds);
  }

  inTime(): void {
    clearTimeout(this.#timer);
  }

  /** The attempt is over: nothing aborts it any more. */
  release(): void {
    this.inTime();
    this.#signal?.removeEventListener('abort', this.#leave);
  }
}
