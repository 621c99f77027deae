import { createLruCache } from '../../lru-cache.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { TeamShares } from './team-shares.ts';

interface Usage {
  windowStart: number;
  /** Attempts in this window. */
  requests: number;
  inFlight: number;
  /** Of a shared deployment. */
  teams?: TeamShares;
}

const windowMs = 60_000;
const maxDeployments = 100_000;

/** `rpm` and `max_parallel_requests` of the deployments, counted in this process alone. */
export class RateLimiter {
  readonly #now: () => number;
  readonly #usages = createLruCache<string, Usage>(maxDeployments);

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Milliseconds until a deployment may take one more call; 0 if it may now.
   *
   * @param caller the caller's team; `null` for the operator
   */
  retryAfterMs({ id, teamId, params }: Deployment, caller: string | null): number {
    const { rpm, max_parallel_requests: parallel } = params;
    if (rpm === undefined && parallel === undefined) return 0;
    const usage = this.#current(id, teamId);
    const share = usage.teams?.ask(caller);
    const toNextWindow = () => usage.windowStart + windowMs - this.#now();
    if (parallel !== undefined) {
      if (usage.inFlight >= parallel) return 1_000;
      if (usage.teams?.isOver(parallel, usage.inFlight, share?.inFlight ?? 0)) return 1_000;
    }
    if (rpm !== undefined) {
      if (usage.requests >= rpm) return toNextWindow();
      if (usage.teams?.isOver(rpm, usage.requests, share?.requests ?? 0)) return toNextWindow();
    }
    return 0;
  }

  /** Counts one attempt; what it returns ends it, once. */
  acquire({ id, teamId, params }: Deployment, caller: string | null): () => void {
    if (params.rpm === undefined && params.max_parallel_requests === undefined) return nothing;
    const usage = this.#current(id, teamId);
    const share = usage.teams?.ask(caller);
    usage.requests += 1;
    usage.inFlight += 1;
    if (share !== undefined) {
      share.requests += 1;
      share.inFlight += 1;
    }
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      usage.inFlight -= 1;
      if (share !== undefined) share.inFlight -= 1;
    };
  }

  #current(id: string, teamId: string | null): Usage {
    const now = this.#now();
    let usage = this.#usages.get(id);
    if (usage === undefined) {
      usage = { windowStart: now, requests: 0, inFlight: 0 };
      if (teamId === null) usage.teams = new TeamShares();
      this.#usages.set(id, usage);
    } else if (now - usage.windowStart >= windowMs) {
      usage.windowStart = now;
      usage.requests = 0;
      usage.teams?.nextWindow();
    }
    return usage;
  }
}

function nothing(): void {}
