import { LRUCache } from 'lru-cache';

/** How a deployment stands: `open` while it cools down, `half-open` when one call at a time may probe it. */
export interface DeploymentHealth {
  state: 'closed' | 'open' | 'half-open';
  /** Failures in a row, 0 after an answer that came whole. */
  failures: number;
  /** What the last failure was: `rate_limited`, `failed`, `rejected`, or the error's code. */
  lastError?: string;
  /** Milliseconds since 1970: when it came into this state. Absent for one that has not failed. */
  since?: number;
}

/** When a deployment cools down, and for how long. */
export interface CooldownPolicy {
  /** The failure in a row that cools it. */
  allowedFails: number;
  cooldownMs: number;
}

export interface Cooldown {
  deploymentId: string;
  /** What the last failure was. */
  reason: string;
  /** In a row. */
  failures: number;
  cooldownMs: number;
}

interface State {
  failures: number;
  lastError: string;
  since: number;
  /** On the monotonic clock; absent while it is closed. */
  openUntil?: number;
  probing: boolean;
}

/** A provider's own `retry-after` cools its deployment for longer than the settings say, but not for hours. */
const longestCooldownMs = 60_000;
/** Only deployments that fail are remembered. */
const rememberedDeployments = 10_000;

/** Cooldowns, by deployment, in this process. */
export class Health {
  readonly #now: () => number;
  readonly #states = new LRUCache<string, State>({ max: rememberedDeployments });
  readonly #onCooldown: (cooldown: Cooldown) => void;

  /** @param onCooldown is told when a deployment begins to cool down */
  constructor(now: () => number, onCooldown: (cooldown: Cooldown) => void = () => {}) {
    this.#now = now;
    this.#onCooldown = onCooldown;
  }

  /**
   * Whether a call may go to a deployment now.
   *
   * @param tried the call has been there: it may be its probe before the cooldown is over
   */
  admits(id: string, tried = false): boolean {
    const state = this.#states.get(id);
    if (state?.openUntil === undefined) return true;
    return !state.probing && (tried || this.#now() >= state.openUntil);
  }

  /** A call goes there: if the deployment is open this is its probe, and the only one until it is settled. */
  begin(id: string): void {
    const state = this.#states.get(id);
    if (state?.openUntil !== undefined) state.probing = true;
  }

  /** It answers, whatever it says: the circuit closes, and only a whole answer makes the failures forgotten. */
  alive(id: string): void {
    const state = this.#states.get(id);
    if (state === undefined) return;
    if (state.openUntil !== undefined) state.since = Date.now();
    delete state.openUntil;
    state.probing = false;
  }

  succeeded(id: string): void {
    this.#states.delete(id);
  }

  /** Neither a failure nor a success, such as the caller's own abort. */
  released(id: string): void {
    const state = this.#states.get(id);
    if (state !== undefined) state.probing = false;
  }

  /** @param retryAfterMs what the provider asked for; with it, and after a 429, the cooldown begins at once */
  failed(id: string, error: string, policy: CooldownPolicy, atOnce: boolean, retryAfterMs = 0): void {
    const state = this.#states.get(id) ?? {
      failures: 0,
      lastError: error,
      since: Date.now(),
      probing: false,
    };
    const wasOpen = state.openUntil !== undefined;
    state.failures += 1;
    state.lastError = error;
    state.probing = false;
    if (atOnce || wasOpen || state.failures >= policy.allowedFails) {
      const cooldownMs = Math.max(policy.cooldownMs, Math.min(retryAfterMs, longestCooldownMs));
      state.openUntil = this.#now() + cooldownMs;
      if (!wasOpen) {
        state.since = Date.now();
        this.#onCooldown({ deploymentId: id, reason: error, failures: state.failures, cooldownMs });
      }
    }
    this.#states.set(id, state);
  }

  /** Milliseconds until the deployment may be probed; 0 if it may be called now. */
  waitFor(id: string): number {
    const state = this.#states.peek(id);
    if (state?.openUntil === undefined) return 0;
    return Math.max(state.openUntil - this.#now(), state.probing ? 1 : 0);
  }

  of(id: string): DeploymentHealth {
    const state = this.#states.peek(id);
    if (state === undefined) return { state: 'closed', failures: 0 };
    const { failures, lastError, since, openUntil } = state;
    const open = openUntil !== undefined && this.#now() < openUntil;
    return {
      state: openUntil === undefined ? 'closed' : open ? 'open' : 'half-open',
      failures,
      lastError,
      since,
    };
  }
}
