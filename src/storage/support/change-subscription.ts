import type { StorageEvent } from '../storage.ts';
import { boundedWait } from './bounded-wait.ts';

/** One connection that is told of changes. */
export interface Subscription {
  /** Settles when the connection is established and subscribed, or failed to be. */
  readonly ready: Promise<void>;
  /** Rejects if the connection is gone, even if nobody said so. */
  ping(): Promise<unknown>;
  /** May be called at any time, also while it is not ready. */
  close(): void;
}

export interface SubscriptionEvents {
  onChange(event: StorageEvent): void;
  onLost(): void;
}

export interface ChangeSubscriptionOptions {
  /** Milliseconds that connecting, and the answer to a ping, may take. */
  timeoutMs: number;
  /** Milliseconds between pings. */
  heartbeatMs: number;
}

const maxPauseMs = 5_000;

/**
 * Keeps one subscription alive as long as somebody listens. Whatever happened while it was not, nobody was told: so
 * every listener gets a `reset` each time that it is there (again).
 */
export class ChangeSubscription {
  readonly #subscribe: (events: SubscriptionEvents) => Subscription;
  readonly #options: ChangeSubscriptionOptions;
  readonly #listeners = new Set<{ listener: (event: StorageEvent) => void }>();
  /** Ends the current subscription, or the pause before the next. */
  #wake: () => void = () => {};
  #running: { firstAttempt: Promise<void>; ended: Promise<void> } | undefined;

  constructor(subscribe: (events: SubscriptionEvents) => Subscription, options: ChangeSubscriptionOptions) {
    this.#subscribe = subscribe;
    this.#options = options;
  }

  /** Resolves after the first attempt to subscribe, whatever came of it: further ones follow by themselves. */
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
      // A driver that throws at once: nobody waits for this loop, so its rejection would end the process.
      const held = await this.#hold(attempted).catch(() => false);
      attempted();
      failures = held ? 0 : failures + 1;
      if (this.#listeners.size > 0) await this.#pause(failures);
    }
  }

  /** Subscribes and waits until the subscription is lost; whether there was one. */
  async #hold(subscribed: () => void): Promise<boolean> {
    const { timeoutMs } = this.#options;
    let heartbeat: NodeJS.Timeout | undefined;
    let end = (): void => {};
    const lost = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#wake = end;
    const subscription = this.#subscribe({ onChange: (event) => this.#tell(event), onLost: end });
    try {
      const connected = subscription.ready.then(() => true);
      const established = await boundedWait(timeoutMs, undefined, () =>
        Promise.race([connected, lost.then(() => false)]),
      ).catch(() => false);
      if (!established) return false;
      this.#tell({ reset: true });
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
      const most = Math.min(50 * 2 ** failures, maxPauseMs);
      const timer = setTimeout(resolve, most / 2 + Math.random() * (most / 2)).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #tell(event: StorageEvent): void {
    for (const { listener } of this.#listeners) listener(event);
  }
}
