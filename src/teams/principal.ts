import type { KeyType } from '../schemas/body-types.ts';

/**
 * An authenticated team, by an API key or by an application's session.
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
  /** Public names that the team may call. Absent: all of the team's. `[]`: none. */
  models?: readonly string[];
  userId?: string;
  /**
   * SHA-256 in hex under which the key is stored, if a key authenticated the request. Always the hash of the
   * key's newest secret, even if an older secret was sent.
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
