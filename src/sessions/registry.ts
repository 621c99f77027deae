import { RouterError } from '../errors.ts';
import { closed } from '../open-work.ts';
import type { SessionLimits } from './options.ts';
import type { Session } from './session.ts';

/** Counts the open sessions of each team, and checks each of them again and again. */
export class SessionRegistry {
  readonly #limits: SessionLimits;
  readonly #checkEveryMs: number;
  readonly #sessions = new Set<Session>();
  readonly #counts = new Map<string | null, number>();
  #total = 0;
  #timer: NodeJS.Timeout | undefined;
  #checking: Promise<unknown> | undefined;

  /** @param maxStalenessMs milliseconds within which a change has to end the sessions that it concerns */
  constructor(limits: SessionLimits, maxStalenessMs: number) {
    this.#limits = limits;
    const { idleTimeoutMs, maxDurationMs, pingIntervalMs } = limits;
    const shortest = Math.min(maxStalenessMs, idleTimeoutMs, maxDurationMs, pingIntervalMs);
    // A snapshot is read again behind the caller's back from half its age on, so the next look sees the change.
    this.#checkEveryMs = Math.max(10, Math.min(1_000, shortest / 4));
  }

  get size(): number {
    return this.#total;
  }

  /**
   * Counts a session.
   *
   * @returns uncounts it, once
   * @throws RouterError `rate_limit_exceeded`, `overloaded`
   */
  enter(teamId: string | null): () => void {
    const count = this.#counts.get(teamId) ?? 0;
    const { maxSessions, maxSessionsPerTeam } = this.#limits;
    if (count >= maxSessionsPerTeam) {
      const message = `The team has reached its limit of ${maxSessionsPerTeam} open sessions. Retry after one of them has ended.`;
      throw new RouterError('rate_limit_exceeded', message, { retryAfter: 1 });
    }
    if (this.#total >= maxSessions) {
      const message = 'The router has reached its limit of open sessions. Retry.';
      throw new RouterError('overloaded', message, { retryAfter: 1 });
    }
    this.#counts.set(teamId, count + 1);
    this.#total += 1;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#total -= 1;
      const now = (this.#counts.get(teamId) ?? 1) - 1;
      if (now === 0) this.#counts.delete(teamId);
      else this.#counts.set(teamId, now);
    };
  }

  add(session: Session): void {
    this.#sessions.add(session);
    this.#timer ??= setInterval(this.#check, this.#checkEveryMs).unref();
  }

  delete(session: Session): void {
    this.#sessions.delete(session);
    if (this.#sessions.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Ends every session with `draining`. */
  endAll(): void {
    for (const session of [...this.#sessions]) session.end(closed());
  }

  readonly #check = (): void => {
    this.#checking ??= Promise.all([...this.#sessions].map((session) => session.check())).finally(() => {
      this.#checking = undefined;
    });
  };
}
