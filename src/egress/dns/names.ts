import type { LookupAddress } from 'node:dns';
import { LRUCache } from 'lru-cache';
import { RouterError } from '../../errors.ts';
import { isPublic } from '../address.ts';
import { type SlotWaiter, type TeamKey, TeamSlots } from '../team-slots.ts';

export type Found = (error: Error | null, addresses: LookupAddress[]) => void;

/** Looks a name up for a team. What it returns stops the wait; `callback` is not called then. */
export type LookupNames = (host: string, team: TeamKey, callback: Found) => () => void;

/** Answers with all addresses of a name, and for how many seconds they hold. Must call back once. */
export type NameSource = (
  host: string,
  callback: (error: Error | null, addresses: LookupAddress[], seconds: number) => void,
) => void;

export interface NameLimits {
  /** Look-ups at the same time, of all teams together. */
  total: number;
  /** Look-ups of one team at the same time. */
  perTeam: number;
  /** Milliseconds that a look-up waits for its turn. It is less than the time to connect, so the provider is not blamed for it. */
  queueTimeoutMs: number;
  /** Whether answers are kept for as long as they hold. */
  cached: boolean;
}

/** What is known of a name. */
interface Answer {
  error: Error | null;
  addresses: LookupAddress[];
  freshUntil: number;
  /** Until then it serves if the name servers fail. */
  staleUntil: number;
}

const maxNames = 10_000;
/** Look-ups of one team that wait for their turn. */
const maxQueued = 256;
/** Addresses of one name. A provider has a handful. */
const maxAddresses = 256;
const minFreshMs = 5_000;
const maxFreshMs = 300_000;
const staleMs = 300_000;

/**
 * Bounds and shares look-ups. A name that several requests ask for is looked up once, and its answer is kept within its TTL. Each team has
 * its own share of the look-ups, so names whose servers never answer delay the team that uses them, and no other.
 */
export class Names {
  readonly #source: NameSource;
  readonly #cached: boolean;
  readonly #slots: TeamSlots;
  readonly #now: () => number;
  readonly #answers = new LRUCache<string, Answer>({ max: maxNames });
  /** Who waits for the look-ups that have begun. */
  readonly #running = new Map<string, Set<Found>>();

  /** @param now milliseconds, monotonic */
  constructor(source: NameSource, limits: NameLimits, now: () => number = () => performance.now()) {
    this.#source = source;
    this.#cached = limits.cached;
    this.#slots = new TeamSlots({ ...limits, queuedPerTeam: maxQueued, refusal: tooManyLookups });
    this.#now = now;
  }

  readonly lookup: LookupNames = (host, team, found) => {
    if (this.#answerNow(host, found)) return () => {};
    const shared = this.#running.get(host);
    if (shared !== undefined) {
      shared.add(found);
      return () => void shared.delete(found);
    }
    if (this.#slots.tryTake(team)) return this.#start(host, team, found);
    let stop = () => this.#slots.leave(team, waiter);
    const waiter: SlotWaiter = {
      granted: () => {
        // Another request may have asked for the same name meanwhile.
        const joined = this.#answerNow(host, found) ? undefined : this.#running.get(host);
        if (joined === undefined && !this.#known(host)) stop = this.#start(host, team, found);
        else {
          joined?.add(found);
          stop = () => void joined?.delete(found);
          this.#slots.release(team);
        }
      },
      refused: (error) => found(error, []),
    };
    this.#slots.wait(team, waiter);
    return () => stop();
  };

  #start(host: string, team: TeamKey, found: Found): () => void {
    const waiting = new Set([found]);
    if (this.#cached) this.#running.set(host, waiting);
    this.#source(host, (error, addresses, seconds) => {
      if (this.#running.get(host) === waiting) this.#running.delete(host);
      const answer = this.#judged(host, error, addresses, seconds);
      for (const tell of waiting) tell(answer.error, answer.addresses);
      this.#slots.release(team);
    });
    return () => void waiting.delete(found);
  }

  #known(host: string): Answer | undefined {
    const answer = this.#answers.get(host);
    return answer !== undefined && this.#now() < answer.freshUntil ? answer : undefined;
  }

  #answerNow(host: string, found: Found): boolean {
    const answer = this.#known(host);
    if (answer !== undefined) found(answer.error, answer.addresses);
    return answer !== undefined;
  }

  #judged(
    host: string,
    error: Error | null,
    addresses: LookupAddress[],
    seconds: number,
  ): Pick<Answer, 'error' | 'addresses'> {
    if (addresses.length > maxAddresses) {
      const message = "The name of the model's host has too many addresses.";
      return { error: new RouterError('provider_unreachable', message), addresses: [] };
    }
    if (!this.#cached) return { error, addresses };
    const before = this.#answers.get(host);
    const time = this.#now();
    if (error !== null && !isUnknown(error)) {
      if (before === undefined || before.error !== null || time >= before.staleUntil)
        return { error, addresses };
      before.freshUntil = time + minFreshMs;
      return before;
    }
    // A name of an internal zone is kept no longer than one that does not exist, or the time would tell them apart.
    const lasts = error === null && addresses.every(({ address }) => isPublic(address));
    const freshMs = lasts ? Math.min(Math.max(seconds * 1_000, minFreshMs), maxFreshMs) : minFreshMs;
    const answer = { error, addresses, freshUntil: time + freshMs, staleUntil: time + freshMs + staleMs };
    this.#answers.set(host, answer);
    return answer;
  }
}

/** Whether the name servers say that there is no such name, or that it has no address. */
function isUnknown(error: Error): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ENOTFOUND' || code === 'ENODATA';
}

function tooManyLookups(perTeamReached: boolean): RouterError {
  return perTeamReached
    ? new RouterError(
        'rate_limit_exceeded',
        'The team is looking up too many host names that are not answered. Retry.',
        {
          retryAfter: 1,
        },
      )
    : new RouterError('overloaded', 'The router is looking up as many host names as it may. Retry.', {
        retryAfter: 1,
      });
}
