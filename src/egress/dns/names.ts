import type { LookupAddress } from 'node:dns';
import { RouterError } from '../../errors.ts';
import { createLruCache } from '../../lru-cache.ts';
import { isPublic } from '../address.ts';
import { type SlotWaiter, type TeamKey, TeamSlots } from '../team-slots.ts';

export type LookupCallback = (error: Error | null, addresses: LookupAddress[]) => void;

/** Resolves a name for a team. Returns a function that cancels the wait; `callback` is not called afterwards. */
export type LookupNames = (host: string, team: TeamKey, callback: LookupCallback) => () => void;

/** Resolves a name to all of its addresses and their TTL in seconds. Must call back exactly once. */
export type NameSource = (
  host: string,
  callback: (error: Error | null, addresses: LookupAddress[], seconds: number) => void,
) => void;

export interface NameLimits {
  /** Maximum number of concurrent lookups, of all teams together. */
  total: number;
  /** Maximum number of concurrent lookups of one team. */
  perTeam: number;
  /**
   * Milliseconds that a lookup waits for a slot. Shorter than the connect timeout, so the provider is not blamed for
   * the wait.
   */
  queueTimeoutMs: number;
  /** Whether answers are cached for their TTL. */
  cached: boolean;
}

/** A cached answer. */
interface Answer {
  error: Error | null;
  addresses: LookupAddress[];
  freshUntil: number;
  /** Until this time the answer may be served stale if the name servers fail. */
  staleUntil: number;
}

const maxNames = 10_000;
/** Maximum number of lookups of one team that wait for a slot. */
const maxQueued = 256;
/** Maximum number of addresses of one name. Providers have only a few. */
const maxAddresses = 256;
const minFreshMs = 5_000;
const maxFreshMs = 300_000;
const staleMs = 300_000;

/**
 * Resolves names with a cache, single flight and limits per team.
 *
 * Concurrent requests for one name share one lookup, and its answer is cached within its TTL. Each team has separate
 * slots, so names whose servers never answer delay only the team that uses them.
 */
export class Names {
  readonly #source: NameSource;
  readonly #cached: boolean;
  readonly #slots: TeamSlots;
  readonly #now: () => number;
  readonly #answers = createLruCache<string, Answer>(maxNames);
  /** Callbacks that wait for a running lookup. */
  readonly #running = new Map<string, Set<LookupCallback>>();

  /** @param now returns monotonic milliseconds */
  constructor(source: NameSource, limits: NameLimits, now: () => number = () => performance.now()) {
    this.#source = source;
    this.#cached = limits.cached;
    this.#slots = new TeamSlots({ ...limits, queuedPerTeam: maxQueued, refusal: tooManyLookups });
    this.#now = now;
  }

  readonly lookup: LookupNames = (host, team, callback) => {
    if (this.#answerFromCache(host, callback)) return () => {};
    const shared = this.#running.get(host);
    if (shared !== undefined) {
      shared.add(callback);
      return () => void shared.delete(callback);
    }
    if (this.#slots.tryTake(team)) return this.#start(host, team, callback);
    let stop = () => this.#slots.leave(team, waiter);
    const waiter: SlotWaiter = {
      granted: () => {
        // Another request may have resolved the same name during the wait.
        const joined = this.#answerFromCache(host, callback) ? undefined : this.#running.get(host);
        if (joined === undefined && !this.#fresh(host)) stop = this.#start(host, team, callback);
        else {
          joined?.add(callback);
          stop = () => void joined?.delete(callback);
          this.#slots.release(team);
        }
      },
      refused: (error) => callback(error, []),
    };
    this.#slots.wait(team, waiter);
    return () => stop();
  };

  #start(host: string, team: TeamKey, callback: LookupCallback): () => void {
    const waiting = new Set([callback]);
    if (this.#cached) this.#running.set(host, waiting);
    this.#source(host, (error, addresses, seconds) => {
      if (this.#running.get(host) === waiting) this.#running.delete(host);
      const answer = this.#store(host, error, addresses, seconds);
      for (const tell of waiting) tell(answer.error, answer.addresses);
      this.#slots.release(team);
    });
    return () => void waiting.delete(callback);
  }

  #fresh(host: string): Answer | undefined {
    const answer = this.#answers.get(host);
    return answer !== undefined && this.#now() < answer.freshUntil ? answer : undefined;
  }

  #answerFromCache(host: string, callback: LookupCallback): boolean {
    const answer = this.#fresh(host);
    if (answer !== undefined) callback(answer.error, answer.addresses);
    return answer !== undefined;
  }

  #store(
    host: string,
    error: Error | null,
    addresses: LookupAddress[],
    seconds: number,
  ): Pick<Answer, 'error' | 'addresses'> {
    if (addresses.length > maxAddresses) {
      const message = 'The host name of the model has too many addresses.';
      return { error: new RouterError('provider_unreachable', message), addresses: [] };
    }
    if (!this.#cached) return { error, addresses };
    const previous = this.#answers.get(host);
    const time = this.#now();
    if (error !== null && !isUnknown(error)) {
      if (previous === undefined || previous.error !== null || time >= previous.staleUntil)
        return { error, addresses };
      previous.freshUntil = time + minFreshMs;
      return previous;
    }
    // Answers with internal addresses are cached as briefly as unknown names, because the timing would tell them
    // apart.
    const isPublicAnswer = error === null && addresses.every(({ address }) => isPublic(address));
    const freshMs = isPublicAnswer ? Math.min(Math.max(seconds * 1_000, minFreshMs), maxFreshMs) : minFreshMs;
    const answer = { error, addresses, freshUntil: time + freshMs, staleUntil: time + freshMs + staleMs };
    this.#answers.set(host, answer);
    return answer;
  }
}

/** Returns whether the name servers report an unknown name or a name without addresses. */
function isUnknown(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ENOTFOUND' || code === 'ENODATA';
}

function tooManyLookups(perTeamReached: boolean): RouterError {
  return perTeamReached
    ? new RouterError(
        'rate_limit_exceeded',
        'The team has reached its limit of pending DNS lookups. Retry.',
        {
          retryAfter: 1,
        },
      )
    : new RouterError('overloaded', 'The router has reached its limit of pending DNS lookups. Retry.', {
        retryAfter: 1,
      });
}
