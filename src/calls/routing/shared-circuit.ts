import type { CooldownPolicy, Failure } from './circuit.ts';

/** Teams that must have failed before a shared deployment cools down for every team. */
const teamsToOpen = 2;
/** Milliseconds for which a team's failure counts as evidence against a shared deployment. */
const evidenceMs = 60_000;
/** A provider's `retry-after` extends a cooldown for every team up to this many milliseconds. */
const maxCooldownMs = 10_000;

/**
 * Circuit breaker of a shared deployment for every team. One team's requests can fail because of what the team sends, so the
 * circuit opens only on failures of several teams with no success of any team between them, or on faults that no request
 * causes, such as a refused connection.
 */
export class SharedCircuit {
  /** On the monotonic clock. Absent while the circuit is closed. */
  openUntil: number | undefined;
  lastFailureAt = 0;
  /** In a row, of all teams. */
  failures = 0;
  /** When each of the teams that failed did so last. Holds at most `teamsToOpen` teams. */
  readonly #failed = new Map<string | null, number>();

  /** The deployment answers some team. */
  close(): void {
    this.openUntil = undefined;
  }

  /** An answer came whole: failures before it are no evidence. */
  succeed(): void {
    this.close();
    this.failures = 0;
    this.#failed.clear();
  }

  /** Records a team's failure. Returns the cooldown in milliseconds if the circuit opens with it. */
  fail(
    teamId: string | null,
    { throttled, unprovoked, repeated = false, retryAfterMs = 0 }: Failure,
    policy: CooldownPolicy,
    now: number,
  ): number | undefined {
    if (now - this.lastFailureAt >= evidenceMs) this.failures = 0;
    for (const [team, at] of this.#failed) if (now - at >= evidenceMs) this.#failed.delete(team);
    this.lastFailureAt = now;
    if (!repeated) this.failures += 1;
    this.#failed.set(teamId, now);
    const enoughTeams = unprovoked || this.#failed.size >= teamsToOpen;
    if (!enoughTeams || !(throttled || this.failures >= policy.allowedFails)) return undefined;
    // A single team must not be able to keep the circuit open, so opening it again takes several teams again.
    this.#failed.clear();
    const wasOpen = this.openUntil !== undefined;
    const cooldownMs = Math.max(policy.cooldownMs, Math.min(retryAfterMs, maxCooldownMs));
    this.openUntil = now + cooldownMs;
    return wasOpen ? undefined : cooldownMs;
  }

  /** Returns the milliseconds until a team may probe; 0 if it may now. */
  waitFor(now: number): number {
    return this.openUntil === undefined ? 0 : Math.max(0, this.openUntil - now);
  }
}
