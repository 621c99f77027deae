/** When a deployment cools down, and for how long. */
export interface CooldownPolicy {
  /** The failure in a row that cools it. */
  allowedFails: number;
  cooldownMs: number;
}

/** How a deployment failed. */
export interface Failure {
  /** `rate_limited`, `failed`, `rejected`, or the error's code. */
  reason: string;
  /** The provider throttles its account: the circuit opens at the first such failure. */
  throttled: boolean;
  /** The provider has no capacity. A lone deployment does not cool down for this or for throttling. */
  overloaded?: boolean;
  /** An earlier attempt of the same call failed at the deployment. The attempts of a call count as one failure. */
  repeated?: boolean;
  /** The answer judges the request, so it is no evidence for other teams. */
  ofRequest?: boolean;
  /** Milliseconds that the provider asks to wait. */
  retryAfterMs?: number | undefined;
  /** The deployment is the only one of its pool. */
  alone: boolean;
  /** No request causes this failure, such as a refused connection, so it counts for every team. */
  unprovoked: boolean;
}

/** A provider's `retry-after` extends a cooldown up to this many milliseconds. */
const maxCooldownMs = 60_000;
/**
 * Milliseconds after which a probe no longer holds other probes off. The caller of a probe controls how long it takes, for
 * example by sending its body slowly.
 */
const probeLeaseMs = 5_000;

/** Returns whether a provider answered that it takes no more for now. */
export function isBusy({ throttled, overloaded = false }: Failure): boolean {
  return throttled || overloaded;
}

/** Circuit breaker: counts failures in a row, opens for a cooldown, and then admits one probe at a time. */
export class Circuit {
  failures = 0;
  lastError = '';
  /** Milliseconds since 1970 at which the circuit came into its state. */
  since: number = Date.now();
  /** On the monotonic clock. Absent while the circuit is closed. */
  openUntil: number | undefined;
  #busy = false;
  #probeUntil = 0;

  /**
   * Returns whether a request may be sent now.
   *
   * @param tried the call has already tried this deployment, so its retry may probe before the cooldown ends
   * @param alone the call has no other deployment to go to. A circuit that opened because the provider takes no more for now admits it, because
   * the provider's own answer tells the caller more than a refusal by the router.
   */
  canRequest(now: number, tried: boolean, alone: boolean): boolean {
    if (this.openUntil === undefined || (alone && this.#busy)) return true;
    return !this.isProbing(now) && (tried || now >= this.openUntil);
  }

  isProbing(now: number): boolean {
    return now < this.#probeUntil;
  }

  startProbe(now: number): void {
    this.#probeUntil = now + probeLeaseMs;
  }

  endProbe(): void {
    this.#probeUntil = 0;
  }

  /** The deployment answers. The failures in a row are kept until an answer came whole. */
  close(): void {
    if (this.openUntil !== undefined) this.since = Date.now();
    this.openUntil = undefined;
    this.#busy = false;
    this.endProbe();
  }

  /** Records a failure. Returns the cooldown in milliseconds if the circuit opens with it. */
  fail(failure: Failure, policy: CooldownPolicy, now: number): number | undefined {
    const { reason, throttled, repeated = false, retryAfterMs = 0 } = failure;
    const wasOpen = this.openUntil !== undefined;
    if (!repeated) this.failures += 1;
    this.lastError = reason;
    this.endProbe();
    if (!throttled && !wasOpen && this.failures < policy.allowedFails) return undefined;
    const cooldownMs = Math.max(policy.cooldownMs, Math.min(retryAfterMs, maxCooldownMs));
    this.openUntil = now + cooldownMs;
    this.#busy = isBusy(failure);
    if (wasOpen) return undefined;
    this.since = Date.now();
    return cooldownMs;
  }

  /** Returns the milliseconds until a probe may be sent; 0 if a request may be sent now. */
  waitFor(now: number): number {
    if (this.openUntil === undefined) return 0;
    return Math.max(this.openUntil - now, this.isProbing(now) ? 1 : 0);
  }
}
