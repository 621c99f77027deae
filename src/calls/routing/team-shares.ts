/** What one team uses of a shared deployment's limits. */
export interface TeamShare {
  /** Attempts in this window. */
  requests: number;
  inFlight: number;
  /** Windows since the team last asked. */
  idle: number;
}

/** Teams that are told apart. The teams beyond them count as one. */
const maxTeams = 1_000;
const others = Symbol('others');

/**
 * Divides a shared deployment's limit among the teams that asked for it in this or the previous window. Half of the limit is
 * anyone's. Of the other half a team gets no more than makes up its equal share, so that one team cannot take all.
 */
export class TeamShares {
  readonly #teams = new Map<string | null | typeof others, TeamShare>();

  /** Returns a team's share, which counts as asking for it. */
  ask(teamId: string | null): TeamShare {
    const key = this.#teams.has(teamId) || this.#teams.size < maxTeams ? teamId : others;
    let share = this.#teams.get(key);
    if (share === undefined) {
      share = { requests: 0, inFlight: 0, idle: 0 };
      this.#teams.set(key, share);
    }
    share.idle = 0;
    return share;
  }

  /**
   * Returns whether a team has to leave the rest of a limit to the other teams.
   *
   * @param used what all teams use of the limit
   * @param own what the team itself uses
   */
  isOver(limit: number, used: number, own: number): boolean {
    return used >= limit / 2 && own >= Math.ceil(limit / this.#teams.size);
  }

  nextWindow(): void {
    for (const [key, share] of this.#teams) {
      share.requests = 0;
      share.idle += 1;
      if (share.idle > 1 && share.inFlight === 0) this.#teams.delete(key);
    }
  }
}
