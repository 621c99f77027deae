import type { CancelSignal } from '../../egress/response-handler.ts';
import { RouterError, type RouterErrorCode } from '../../errors.ts';

/** What is used of a caller's `AbortSignal`: a real one is one. */
export interface CallSignal extends CancelSignal {
  throwIfAborted(): void;
}

/**
 * Returns how a call ends whose signal has aborted: as one that its caller left, unless the reason is an error of the router,
 * such as `draining`.
 */
export function endOf({ reason }: Pick<CancelSignal, 'reason'>): {
  status: number;
  code: RouterErrorCode | 'aborted';
} {
  return RouterError.isInstance(reason) ? reason : { status: 499, code: 'aborted' };
}

/** Creates a call's signal at low cost: an `AbortController` costs 4 us on Node 20. */
export class LightSignal implements CallSignal {
  aborted = false;
  reason: unknown;
  #listeners: (() => void)[] = [];

  /** Whether a listener still waits for an abort. */
  get watched(): boolean {
    return this.#listeners.length > 0;
  }

  /** Tells each listener once. */
  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.#listeners.indexOf(listener);
    if (at !== -1) this.#listeners.splice(at, 1);
  }
}
