import type { StorageEvent } from '../storage.ts';
import { boundedWait } from './bounded-wait.ts';

/** One connection that receives changes. */
export interface Subscription {
  /** Settles when the connection is subscribed, or has failed. */
  readonly ready: Promise<void>;
  /** Rejects if the connection is lost, even if no event reported that. */
  ping(): Promise<unknown>;
  /** May be called at any time, including before `ready`. */
  close(): void;
}

export interface SubscriptionEvents {
  onChange(event: StorageEvent): void;
  onLost(): void;
}

export interface ChangeSubscriptionOptions {
  /** Milliseconds that a connection attempt, or the response to a ping, may take. */
  timeoutMs: number;
  /** Milliseconds between pings. */
  heartbeatMs: number;
}

const maxPauseMs = 5_000;

/**
 * Keeps one subscription alive while it has listeners. Each listener receives a `reset` after every (re)connection,
 * because events may have been lost before it.
 */
export class ChangeSubscription {
  readonly #subscribe: (events: SubscriptionEvents) => Subscription;
  readonly #options: ChangeSubscriptionOptions;
  readonly #listeners = new Set<{ listener: (event: StorageEvent) => void }>();
  /** Ends the current subscription, or the pause before the next one. */
  #wake: () => void = () => {};
  #running: { firstAttempt: Promise<void>; ended: Promise<void> } | undefined;

  constructor(subscribe: (events: SubscriptionEvents) => Subscription, options: ChangeSubscriptionOptions) {
    this.#subscribe = subscribe;
    this.#options = options;
  }

  /** Resolves after the first attempt to subscribe, successful or not. Later attempts run in the background. */
  async watch(listener: (event: StorageEvent) => void): Promise<() => Promise<void>> {
    const entry = { listener };
    this.#listeners.add(entry);
    this.#running ??= this.#start();
    await this.#running.firstAttempt;
    return async () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size === 0) await this.stop();
    };
  }

  async stop(): Promise<void> {
    this.#listeners.clear();
    this.#wake();
    await this.#running?.ended;
  }

  #start() {
    let attempted = (): void => {};
    const firstAttempt = new Promise<void>((resolve) => {
      attempted = resolve;
    });
    const ended = this.#run(attempted).finally(() => {
      this.#running = undefined;
    });
    return { firstAttempt, ended };
  }

  async #run(attempted: () => void): Promise<void> {
    let failures = 0;
    while (this.#listeners.size > 0) {
      // A driver may throw synchronously. No caller awaits this loop, so the rejection would end the process.
      const held = await this.#hold(attempted).catch(() => false);
      attempted();
      failures = held ? 0 : failures + 1;
      if (this.#listeners.size > 0) await this.#pause(failures);
    }
  }

  /** Subscribes and waits until the subscription is lost. Returns whether it was established. */
  async #hold(subscribed: () => void): Promise<boolean> {
    const { timeoutMs } = this.#options;
    let heartbeat: NodeJS.Timeout | undefined;
    let end = (): void => {};
    const lost = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#wake = end;
    const subscription = this.#subscribe({ onChange: (event) => this.#emit(event), onLost: end });
    try {
      const connected = subscription.ready.then(() => true);
      const established = await boundedWait(timeoutMs, undefined, () =>
        Promise.race([connected, lost.then(() => false)]),
      ).catch(() => false);
      if (!established) return false;
      this.#emit({ reset: true });
      subscribed();
      heartbeat = setInterval(() => {
        boundedWait(timeoutMs, undefined, () => subscription.ping()).catch(end);
      }, this.#options.heartbeatMs).unref();
      await lost;
      return true;
    } finally {
      clearInterval(heartbeat);
      subscription.close();
    }
  }

  async #pause(failures: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const maxMs = Math.min(50 * 2 ** failures, maxPauseMs);
      const timer = setTimeout(resolve, maxMs / 2 + Math.random() * (maxMs / 2)).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #emit(event: StorageEvent): void {
    for (const { listener } of this.#listeners) listener(event);
  }
}
