import type { LRUCache } from 'lru-cache';
import { createLruCache } from '../../lru-cache.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { Circuit, type CooldownPolicy, type Failure, isBusy } from './circuit.ts';
import { SharedCircuit } from './shared-circuit.ts';

/**
 * State of a deployment's circuit: `open` while it cools down, `half-open` when one call at a time may probe
 * it.
 *
 * @example
 * ```ts
 * const { deployments } = await router.health('acme');
 * const isOpen = ({ state }: DeploymentHealth) => state === 'open';
 * console.log(deployments.filter(isOpen));
 * ```
 */
export interface DeploymentHealth {
  state: 'closed' | 'open' | 'half-open';
  /** Failures in a row, 0 after an answer that came whole. */
  failures: number;
  /** What the last failure was: `rate_limited`, `failed`, `rejected`, or the error's code. */
  lastError?: string;
  /** Milliseconds since 1970: when it came into this state. Absent for one that has not failed. */
  since?: number;
}

export interface Cooldown {
  deploymentId: string;
  /** The only team that is held off. Absent: every team. `null`: the operator. */
  teamId?: string | null;
  /** What the last failure was. */
  reason: string;
  /** In a row. */
  failures: number;
  cooldownMs: number;
}

/** What is read of a deployment. */
export type HealthSubject = Pick<Deployment, 'id' | 'teamId'>;

/** Only deployments that fail are remembered. */
const maxCircuits = 10_000;
/** Milliseconds after its last failure from which a success forgets a shared deployment: no team's cooldown is longer. */
const forgetAfterMs = 60_000;

/**
 * Circuit breakers by deployment, in this process. A team's own deployment has one. A shared deployment has one for each team
 * that failed there, which holds off this team alone, and one for every team.
 */
export class CircuitBreaker {
  readonly #now: () => number;
  readonly #own = createLruCache<string, Circuit>(maxCircuits);
  readonly #shared = createLruCache<string, SharedCircuit>(maxCircuits);
  /** By shared deployment and team. */
  readonly #ofTeam = createLruCache<string, Circuit>(maxCircuits);
  readonly #onCooldown: (cooldown: Cooldown) => void;

  /** @param onCooldown is told when a deployment begins to cool down */
  constructor(now: () => number, onCooldown: (cooldown: Cooldown) => void = () => {}) {
    this.#now = now;
    this.#onCooldown = onCooldown;
  }

  /**
   * Returns whether a call may go to a deployment now.
   *
   * @param teamId the caller's team; `null` for the operator
   * @param tried the call has been there: it may be its probe before the cooldown is over
   * @param alone the call has nowhere else to go
   */
  canRequest(subject: HealthSubject, teamId: string | null, tried: boolean, alone: boolean): boolean {
    const { id } = subject;
    if (subject.teamId !== null) {
      const circuit = this.#own.get(id);
      return circuit === undefined || circuit.canRequest(this.#now(), tried, alone);
    }
    const shared = this.#shared.get(id);
    if (shared === undefined) return true;
    const now = this.#now();
    const circuit = this.#ofTeam.get(keyOf(id, teamId));
    if (circuit !== undefined && !circuit.canRequest(now, tried, alone)) return false;
    if (shared.openUntil === undefined) return true;
    // Each team has a separate probe, so that no team can occupy the only one.
    return !(circuit?.isProbing(now) ?? false) && (tried || now >= shared.openUntil);
  }

  /** A call goes there: if the circuit is open this is its probe, and the only one until it is settled or takes too long. */
  tryAcquire(subject: HealthSubject, teamId: string | null): void {
    const circuit = this.#circuit(subject, teamId);
    if (circuit?.openUntil !== undefined) circuit.startProbe(this.#now());
    if (subject.teamId !== null || this.#shared.get(subject.id)?.openUntil === undefined) return;
    const key = keyOf(subject.id, teamId);
    const probing = circuit ?? new Circuit();
    probing.startProbe(this.#now());
    this.#ofTeam.set(key, probing);
  }

  /** It answers, whatever it says: the circuit closes, and only a whole answer makes the failures forgotten. */
  recordResponse(subject: HealthSubject, teamId: string | null): void {
    this.#circuit(subject, teamId)?.close();
    if (subject.teamId === null) this.#shared.get(subject.id)?.close();
  }

  recordSuccess({ id, teamId: owner }: HealthSubject, teamId: string | null): void {
    if (owner !== null) {
      this.#own.delete(id);
      return;
    }
    const shared = this.#shared.get(id);
    if (shared === undefined) return;
    shared.succeed();
    this.#ofTeam.delete(keyOf(id, teamId));
    if (this.#now() - shared.lastFailureAt > forgetAfterMs) this.#shared.delete(id);
  }

  /** Neither a failure nor a success, such as the caller's own abort. */
  release(subject: HealthSubject, teamId: string | null): void {
    this.#circuit(subject, teamId)?.endProbe();
  }

  recordFailure(
    subject: HealthSubject,
    teamId: string | null,
    failure: Failure,
    policy: CooldownPolicy,
  ): void {
    const now = this.#now();
    const { id } = subject;
    if (subject.teamId !== null) this.#failedFor(this.#own, id, {}, subject, teamId, failure, policy);
    else {
      this.#failedFor(this.#ofTeam, keyOf(id, teamId), { teamId }, subject, teamId, failure, policy);
      const shared = this.#shared.get(id) ?? new SharedCircuit();
      this.#shared.set(id, shared);
      if (failure.ofRequest || (isBusy(failure) && failure.alone)) return;
      const cooldownMs = shared.fail(teamId, failure, policy, now);
      if (cooldownMs !== undefined) this.#tell(id, {}, failure, shared.failures, cooldownMs);
    }
  }

  #failedFor(
    circuits: LRUCache<string, Circuit>,
    key: string,
    only: { teamId?: string | null },
    subject: HealthSubject,
    teamId: string | null,
    failure: Failure,
    policy: CooldownPolicy,
  ): void {
    if (isBusy(failure) && failure.alone) {
      // Its answers say more than a refusal by the router, and there is no other deployment to go to.
      this.#circuit(subject, teamId)?.close();
      return;
    }
    const circuit = circuits.get(key) ?? new Circuit();
    circuits.set(key, circuit);
    const cooldownMs = circuit.fail(failure, policy, this.#now());
    if (cooldownMs !== undefined) this.#tell(subject.id, only, failure, circuit.failures, cooldownMs);
  }

  #tell(
    deploymentId: string,
    only: { teamId?: string | null },
    { reason }: Failure,
    failures: number,
    cooldownMs: number,
  ): void {
    this.#onCooldown({ deploymentId, ...only, reason, failures, cooldownMs });
  }

  /** Milliseconds until the deployment may be probed; 0 if it may be called now. */
  retryAfterMs(subject: HealthSubject, teamId: string | null): number {
    const now = this.#now();
    const own = this.#circuit(subject, teamId)?.waitFor(now) ?? 0;
    if (subject.teamId !== null) return own;
    return Math.max(own, this.#shared.peek(subject.id)?.waitFor(now) ?? 0);
  }

  /** The state of a team's own deployment. */
  stateOf(id: string): DeploymentHealth {
    const circuit = this.#own.peek(id);
    if (circuit === undefined) return { state: 'closed', failures: 0 };
    const { failures, lastError, since, openUntil } = circuit;
    const open = openUntil !== undefined && this.#now() < openUntil;
    return {
      state: openUntil === undefined ? 'closed' : open ? 'open' : 'half-open',
      failures,
      lastError,
      since,
    };
  }

  /** The circuit that holds off this caller alone, or every caller of a team's own deployment. */
  #circuit({ id, teamId: owner }: HealthSubject, teamId: string | null): Circuit | undefined {
    if (owner !== null) return this.#own.get(id);
    return this.#shared.has(id) ? this.#ofTeam.get(keyOf(id, teamId)) : undefined;
  }
}

/** No id and no team's id holds a control character. */
function keyOf(id: string, teamId: string | null): string {
  return teamId === null ? id : `${id}\n${teamId}`;
}
