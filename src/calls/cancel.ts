import { type CallSignal, LightSignal } from './call-signal.ts';

/** Ends one attempt: when the caller leaves, or when its time is over. */
export class Cancel extends LightSignal {
  readonly #signal: CallSignal | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(signal: CallSignal | undefined) {
    super();
    this.#signal = signal;
    signal?.addEventListener('abort', this.#leave);
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

  readonly #leave = (): void => this.abort(this.#signal?.reason);
}
