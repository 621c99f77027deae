import { RouterError } from './errors.ts';

export interface MemoryBudgetOptions {
  /** Maximum number of bytes that the calls of all teams hold. */
  maxBytesInFlight: number;
  /** Maximum number of bytes that the calls of one team hold. */
  maxTeamBytesInFlight: number;
}

/** Seconds after which a rejected caller may retry. */
const retryAfter = 1;

/** The bytes that one team's calls hold. */
interface Account {
  bytes: number;
  reservations: number;
}

/** Counts the bytes of requests and responses in memory, per team and in total. */
export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  readonly #accounts = new Map<string | null, Account>();
  #total = 0;

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
  }

  /** Number of bytes currently held. */
  get bytes(): number {
    return this.#total;
  }

  /** Size of the largest body that could be held if no other call held bytes. */
  get maxBytes(): number {
    return Math.min(this.#options.maxBytesInFlight, this.#options.maxTeamBytesInFlight);
  }

  /** Creates an empty reservation for a team (`null`: the operator). The caller must release it. */
  open(teamId: string | null): MemoryReservation {
    let account = this.#accounts.get(teamId);
    if (account === undefined) {
      account = { bytes: 0, reservations: 0 };
      this.#accounts.set(teamId, account);
    }
    account.reservations += 1;
    return new Reservation(this, teamId, account);
  }

  /** @internal Adds to one account and to the total. A negative number subtracts. */
  add(account: Account, teamBytes: number, bytes: number): void {
    account.bytes += teamBytes;
    this.#total += bytes;
  }

  /** @internal */
  close(teamId: string | null, account: Account): void {
    account.reservations -= 1;
    if (account.reservations === 0) this.#accounts.delete(teamId);
  }

  /** @internal Returns the bytes that the team may still hold. */
  freeOf(account: Account): number {
    return this.#options.maxTeamBytesInFlight - account.bytes;
  }

  /** @internal Bytes that all teams together may still hold. */
  get free(): number {
    return this.#options.maxBytesInFlight - this.#total;
  }
}

/**
 * The bytes that one call holds.
 *
 * @example
 * ```ts
 * const readBody: Call['readBody'] = async (limit, reservation: MemoryReservation) => {
 *   const bytes = new TextEncoder().encode('{}');
 *   reservation.hold(bytes.byteLength);
 *   return bytes;
 * };
 * ```
 */
export interface MemoryReservation {
  /**
   * Announces expected bytes. They count against the team's limit immediately, and against the limit of all teams as
   * they arrive, so an announcement does not block other teams.
   *
   * @throws RouterError `rate_limit_exceeded` if the team's limit is reached
   */
  announce(bytes: number): void;
  /**
   * Counts bytes that are held from now on.
   *
   * @throws RouterError `rate_limit_exceeded` if the team's limit is reached, `overloaded` if the limit of all teams
   * is reached
   */
  hold(bytes: number): void;
  /** Counts as many of `wanted` bytes as the limits allow. Returns that number. */
  take(wanted: number): number;
  /** Subtracts bytes that are no longer held. */
  give(bytes: number): void;
  /** Subtracts all bytes of the reservation. Later changes of the reservation have no effect. */
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
    if (bytes > this.#budget.freeOf(this.#account)) throw teamLimitReached();
    this.#announced += bytes;
    this.#budget.add(this.#account, bytes, 0);
  }

  hold(bytes: number): void {
    if (this.#released) return;
    if (this.#additionalTeamBytes(bytes) > this.#budget.freeOf(this.#account)) throw teamLimitReached();
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
    const teamBytes = this.#additionalTeamBytes(bytes);
    this.#held += bytes;
    this.#budget.add(this.#account, teamBytes, bytes);
  }

  /**
   * Returns the number of bytes to add to the team's account for `bytes` more held bytes. Announced bytes are already
   * in it.
   */
  #additionalTeamBytes(bytes: number): number {
    return Math.max(this.#announced, this.#held + bytes) - Math.max(this.#announced, this.#held);
  }
}

function teamLimitReached(): RouterError {
  const message = "This team's calls have reached their memory limit. Retry after some of them have ended.";
  return new RouterError('rate_limit_exceeded', message, { retryAfter });
}

function overloaded(): RouterError {
  const message = 'The router has reached its memory limit for calls. Retry shortly.';
  return new RouterError('overloaded', message, { retryAfter });
}
