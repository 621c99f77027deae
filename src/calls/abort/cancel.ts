import type { QueueListener } from '../../egress/transport.ts';
import { type CallSignal, LightSignal } from './call-signal.ts';

/** How long an attempt may take until the first byte. */
export interface AttemptLimit {
  milliseconds: number;
  /** What is left of the whole call's time. */
  left: number;
  /** The time is the caller's own, so its end says nothing of the deployment. */
  callers: boolean;
}

/**
 * Ends one attempt: when the caller leaves, or when its time is over. While the request waits for a connection, only the time of the whole
 * call runs; the provider's time begins when the request has one.
 */
export class Cancel extends LightSignal implements QueueListener {
  readonly #signal: CallSignal | undefined;
  #limit: (() => AttemptLimit) | undefined;
  #late: (queued: boolean) => unknown = () => undefined;
  #queuedAt: number | undefined;
  #queuedMs = 0;
  #callers = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(signal: CallSignal | undefined) {
    super();
    this.#signal = signal;
    signal?.addEventListener('abort', this.#leave);
  }

  /** Whether the time that runs, or is over, is the caller's own. */
  get callers(): boolean {
    return this.#callers;
  }

  /** Whether the attempt ended while it waited for a connection, before the provider was asked. */
  abortedInQueue = false;

  /** Milliseconds that the request has waited for a connection. */
  get queuedMs(): number {
    const waiting = this.#queuedAt === undefined ? 0 : performance.now() - this.#queuedAt;
    return this.#queuedMs + waiting;
  }

  /** Aborts when the time is over, unless `inTime` comes first. @param limit is asked again when a wait is over */
  within(limit: () => AttemptLimit, late: (queued: boolean) => unknown): void {
    this.#limit = limit;
    this.#late = late;
    const { milliseconds, callers } = limit();
    this.#callers = callers;
    this.#timer = setTimeout(this.#end, milliseconds);
  }

  queued(): void {
    this.#queuedAt = performance.now();
    if (this.#limit === undefined) return;
    clearTimeout(this.#timer);
    this.#callers = true;
    this.#timer = setTimeout(this.#end, this.#limit().left);
  }

  dequeued(): void {
    this.#queuedMs = this.queuedMs;
    this.#queuedAt = undefined;
    if (this.#limit === undefined || this.aborted) return;
    clearTimeout(this.#timer);
    this.within(this.#limit, this.#late);
  }

  inTime(): void {
    clearTimeout(this.#timer);
  }

  /** The attempt is over: nothing aborts it any more. */
  release(): void {
    this.inTime();
    this.#signal?.removeEventListener('abort', this.#leave);
  }

  readonly #end = (): void => this.#abort(this.#late(this.#queuedAt !== undefined));

  readonly #leave = (): void => this.#abort(this.#signal?.reason);

  #abort(reason: unknown): void {
    this.abortedInQueue = this.#queuedAt !== undefined;
    this.abort(reason);
  }
}
