import type { RouterError } from '../errors.ts';

/** Limits on concurrent work. */
export interface SlotLimits {
  /** Slots of all teams together. */
  total: number;
  /** Slots of one team. */
  perTeam: number;
  /** Maximum number of requests of one team that wait for a slot. */
  queuedPerTeam: number;
  /** Milliseconds that a request waits for a slot. */
  queueTimeoutMs: number;
  /** Creates the error of a request that gets no slot. */
  refusal(perTeamReached: boolean): RouterError;
}

/** The team of a request; `null`: the operator. */
export type TeamKey = string | null;

/** A request that waits for a slot. */
export interface SlotWaiter {
  /** Called when the request gets a slot. Must not throw. */
  granted(): void;
  /** Called when the request gets no slot. Must not throw. */
  refused(error: RouterError): void;
}

/** The slots and the queue of one team. */
interface Share {
  readonly team: TeamKey;
  held: number;
  /** Created when the first request has to wait. */
  waiting: Map<SlotWaiter, NodeJS.Timeout> | undefined;
  /** Whether the share is queued in `#round`. */
  inRound: boolean;
}

/**
 * Limits concurrent requests per team and in total, and queues the excess.
 *
 * Each team has a separate queue. A free slot is offered to the teams in turn, so one team's long queue does not
 * delay the others.
 */
export class TeamSlots {
  readonly #limits: SlotLimits;
  readonly #shares = new Map<TeamKey, Share>();
  /** Teams with waiting requests and free capacity, in the order of service. */
  #round: Share[] = [];
  #held = 0;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  /** The limit for all teams together. */
  get total(): number {
    return this.#limits.total;
  }

  /** Number of slots in use, of all teams together. */
  get held(): number {
    return this.#held;
  }

  /** Number of teams that hold a slot or wait for one. */
  get teams(): number {
    return this.#shares.size;
  }

  /** Acquires a slot if one is free for this team. Each `true` needs one `release`. */
  tryTake(team: TeamKey): boolean {
    const share = this.#share(team);
    // If a slot is free and the team is below its limit, the team's queue is empty, because `#serve` has run.
    if (share.held >= this.#limits.perTeam || this.#held >= this.#limits.total) return false;
    share.held += 1;
    this.#held += 1;
    return true;
  }

  /** Queues a request after `tryTake` returned `false`. Refuses it immediately if the queue is full. */
  wait(team: TeamKey, waiter: SlotWaiter): void {
    const share = this.#share(team);
    share.waiting ??= new Map();
    if (share.waiting.size >= this.#limits.queuedPerTeam) this.#refuse(share, waiter);
    else {
      const timer = setTimeout(() => this.#refuse(share, waiter), this.#limits.queueTimeoutMs);
      share.waiting.set(waiter, timer);
      this.#enterRound(share);
    }
  }

  /** Removes a request from the queue after its caller disconnected. */
  leave(team: TeamKey, waiter: SlotWaiter): void {
    const share = this.#shares.get(team);
    clearTimeout(share?.waiting?.get(waiter));
    if (share?.waiting?.delete(waiter)) this.#forgetIdle(share);
  }

  /** Releases a slot and offers it to the next team in turn. */
  release(team: TeamKey): void {
    const share = this.#shares.get(team);
    if (share === undefined || share.held === 0) return;
    share.held -= 1;
    this.#held -= 1;
    this.#enterRound(share);
    this.#serve();
    this.#forgetIdle(share);
  }

  /** Refuses every waiting request. */
  refuseAll(error: RouterError): void {
    this.#round = [];
    for (const share of [...this.#shares.values()]) {
      share.inRound = false;
      for (const [waiter, timer] of [...(share.waiting ?? [])]) {
        clearTimeout(timer);
        share.waiting?.delete(waiter);
        waiter.refused(error);
      }
      this.#forgetIdle(share);
    }
  }

  #refuse(share: Share, waiter: SlotWaiter): void {
    share.waiting?.delete(waiter);
    const error = this.#refusal(share);
    this.#forgetIdle(share);
    waiter.refused(error);
  }

  #serve(): void {
    while (this.#held < this.#limits.total) {
      const share = this.#round.shift();
      if (share === undefined) return;
      share.inRound = false;
      const [next] = share.waiting ?? [];
      if (next === undefined) {
        this.#forgetIdle(share);
        continue;
      }
      const [waiter, timer] = next;
      clearTimeout(timer);
      share.waiting?.delete(waiter);
      share.held += 1;
      this.#held += 1;
      this.#enterRound(share);
      waiter.granted();
    }
  }

  #enterRound(share: Share): void {
    if (share.inRound || !share.waiting?.size || share.held >= this.#limits.perTeam) return;
    share.inRound = true;
    this.#round.push(share);
  }

  #share(team: TeamKey): Share {
    let share = this.#shares.get(team);
    if (share === undefined) {
      share = { team, held: 0, waiting: undefined, inRound: false };
      this.#shares.set(team, share);
    }
    return share;
  }

  /** Removes an idle share. A share in the round is removed at its turn. */
  #forgetIdle(share: Share): void {
    if (share.held > 0 || share.waiting?.size || share.inRound) return;
    if (this.#shares.get(share.team) === share) this.#shares.delete(share.team);
  }

  #refusal({ held }: Share): RouterError {
    return this.#limits.refusal(held >= this.#limits.perTeam);
  }
}
