import { LRUCache } from 'lru-cache';
import type { Deployment } from '../teams/deployment.ts';

interface Usage {
  windowStart: number;
  /** Attempts in this window. */
  requests: number;
  inFlight: number;
}

const windowMs = 60_000;
const rememberedDeployments = 100_000;

/** `rpm` and `max_parallel_requests` of the deployments, counted in this process alone. */
export class Limits {
  readonly #now: () => number;
  readonly #usages = new LRUCache<string, Usage>({ max: rememberedDeployments });

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Milliseconds until a deployment may take one more call; 0 if it may now. */
  waitFor({ id, params }: Deployment): number {
    const { rpm, max_parallel_requests: parallel } = params;
    if (rpm === undefined && parallel === undefined) return 0;
    const usage = this.#current(id);
    if (parallel !== undefined && usage.inFlight >= parallel) return 1_000;
    if (rpm !== undefined && usage.requests >= rpm) return usage.windowStart + windowMs - this.#now();
    return 0;
  }

  /** Counts one attempt; what it returns ends it, once. */
  take({ id, params }: Deployment): () => void {
    if (params.rpm === undefined && params.max_parallel_requests === undefined) return nothing;
    const usage = this.#current(id);
    usage.requests += 1;
    usage.inFlight += 1;
    let ended = false;
    return () => {
      if (!ended) usage.inFlight -= 1;
      ended = true;
    };
  }

  #current(id: string): Usage {
    const now = this.#now();
    let usage = this.#usages.get(id);
    if (usage === undefined) {
      usage = { windowStart: now, requests: 0, inFlight: 0 };
      this.#usages.set(id, usage);
    } else if (now - usage.windowStart >= windowMs) {
      usage.windowStart = now;
      usage.requests = 0;
    }
    return usage;
  }
}

function nothing(): void {}
