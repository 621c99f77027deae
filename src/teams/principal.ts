import type { KeyType } from '../schemas/body-types.ts';

/**
 * A team as an authenticated request speaks for it, by an API key or by an application's session.
 *
 * @example
 * ```ts
 * const principal: TeamPrincipal = await router.verifyKey(key);
 * const openai = router.forTeam(principal.teamId);
 * ```
 */
export interface TeamPrincipal {
  master?: false;
  teamId: string;
  keyType: KeyType;
  /** The public names that it may call. Absent: all of the team's. `[]`: none. */
  models?: readonly string[];
  userId?: string;
  /**
   * The SHA-256 in hex that the key is stored under, if a key authenticated the request. It is the hash of the key's newest
   * secret, also where an older one was sent.
   */
  token?: string;
}

/**
 * An authenticated requester: the operator, or one team.
 *
 * @example
 * ```ts
 * const principal: Principal = { teamId: 'acme', keyType: 'llm_api', userId: 'alice' };
 * ```
 */
export type Principal = { master: true; userId?: string } | TeamPrincipal;
