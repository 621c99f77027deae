import { RouterError } from './errors.ts';

export interface MemoryBudgetOptions {
  /** Bytes that the calls of all teams may hold at a time. */
  maxBytesInFlight: number;
  /** Bytes that the calls of one team may hold at a time. */
  maxTeamBytesInFlight: number;
}

/** Seconds after which a caller that was refused may try again. */
const retryAfter = 1;

/** The bytes that one team's calls hold. */
interface Account {
  bytes: number;
  reservations: number;
}

/** Counts the bytes of requests and answers that the router holds in memory, per team and in all. */
export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  readonly #accounts = new Map<string | null, Account>();
  #total = 0;

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
  }

  /** Bytes that are held at this moment. */
  get bytes(): number {
    return this.#total;
  }

  /** Largest body that could be held if nothing else were. */
  get maxBytes(): number {
    return Math.min(this.#options.maxBytesInFlight, this.#options.maxTeamBytesInFlight);
  }

  /** Opens an empty reservation for a team (`null`: the operator). Whoever opens it releases it. */
  open(teamId: string | null): MemoryReservation {
    let account = this.#accounts.get(teamId);
    if (account === undefined) {
      account = { bytes: 0, reservations: 0 };
      this.#accounts.set(teamId, account);
    }
    account.reservations += 1;
    return new Reservation(this, teamId, account);
  }

  /** @internal Adds to one account and to the total. A negative number gives back. */
  add(account: Account, teamBytes: number, bytes: number): void {
    account.bytes += teamBytes;
    this.#total += bytes;
  }

  /** @internal */
  close(teamId: string | null, account: Account): void {
    account.reservations -= 1;
    if (account.reservations === 0) this.#accounts.delete(teamId);
  }

  /** @internal Bytes that the team may still hold. */
  freeOf(account: Account): number {
    return this.#options.maxTeamBytesInFlight - account.bytes;
  }

  /** @internal Bytes that all teams together may still hold. */
  get free(): number {
    return this.#options.maxBytesInFlight - this.#total;
  }
}

/** The bytes that one call holds. */
export interface MemoryReservation {
  /**
   * Announces bytes that are to come. They count against the team's share at once, and against the bytes of all
   * teams as they arrive, so that an announcement alone keeps no other team out.
   *
   * @throws RouterError `rate_limit_exceeded` if the team's share is used up
   */
  announce(bytes: number): void;
  /**
   * Counts bytes that are held from now on.
   *
   * @throws RouterError `rate_limit_exceeded` if the team's share is used up, `overloaded` if that of all teams is
   */
  hold(bytes: number): void;
  /** Counts as many of `wanted` bytes as there is room for. Returns that number. */
  take(wanted: number): number;
  /** Gives back bytes that are not held any more. */
  give(bytes: number): void;
  /** Gives back everything, once. Bytes that are counted later are ignored. */
  release(): void;
}

class Reservation implements MemoryReservation {
  readonly #budget: MemoryBudget;
  readonly #teamId: string | null;
  readonly #account: Account;
  #announced = 0;
  #held = 0;
  #released = false;

  constructor(budget: MemoryBudget, teamId: string | null, account: Account) {
    this.#budget = budget;
    this.#teamId = teamId;
    this.#account = account;
  }

  announce(bytes: number): void {
    if (this.#released) return;
    if (bytes > this.#budget.freeOf(this.#account)) throw shareUsedUp();
    this.#announced += bytes;
    this.#budget.add(this.#account, bytes, 0);
  }

  hold(bytes: number): void {
    if (this.#released) return;
    if (this.#beyond(bytes) > this.#budget.freeOf(this.#account)) throw shareUsedUp();
    if (bytes > this.#budget.free) throw overloaded();
    this.#count(bytes);
  }

  take(wanted: number): number {
    if (this.#released) return wanted;
    const room = Math.min(wanted, this.#budget.freeOf(this.#account), this.#budget.free);
    if (room <= 0) return 0;
    this.#count(room);
    return room;
  }

  give(bytes: number): void {
    if (!this.#released) this.#count(-bytes);
  }

  release(): void {
    if (this.#released) return;
    this.#budget.add(this.#account, -Math.max(this.#announced, this.#held), -this.#held);
    this.#budget.close(this.#teamId, this.#account);
    this.#released = true;
  }

  #count(bytes: number): void {
    const teamBytes = this.#beyond(bytes);
    this.#held += bytes;
    this.#budget.add(this.#account, teamBytes, bytes);
  }

  /** How many more bytes the team's account has after `bytes` more are held: those announced are in it already. */
  #beyond(bytes: number): number {
    return Math.max(this.#announced, this.#held + bytes) - Math.max(this.#announced, this.#held);
  }
}

function shareUsedUp(): RouterError {
  const message = "This team's calls hold as much memory as they may. Retry when some of them have ended.";
  return new RouterError('rate_limit_exceeded', message, { retryAfter });
}

function overloaded(): RouterError {
  const message = 'The router holds as many bytes of calls as it may. Retry shortly.';
  return new RouterError('overloaded', message, { retryAfter });
}
