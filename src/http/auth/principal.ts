import type { Caller } from '../../calls/routing/resolve.ts';
import { RouterError } from '../../errors.ts';
import type { Actor } from '../../teams/management/actor.ts';
import { teamNotFound } from '../../teams/management/team-service.ts';
import type { Principal, TeamPrincipal } from '../../teams/principal.ts';
import { mayManage } from './permissions.ts';

/** Returns the caller on whose behalf the principal's calls are dispatched. */
export function toCaller(principal: Principal): Caller {
  const { userId } = principal;
  if (principal.master) return userId === undefined ? { teamId: null } : { teamId: null, userId };
  const { teamId, models, token } = principal;
  const caller: Caller = { teamId };
  if (models !== undefined) caller.models = models;
  if (token !== undefined) caller.keyId = token;
  if (userId !== undefined) caller.userId = userId;
  if (!mayManage(principal)) caller.mayManage = false;
  return caller;
}

/**
 * Returns the actor of the principal's changes, for `created_by` and `updated_by`, with the models that it may
 * change.
 */
export function toActor(principal: Principal): Actor {
  const { userId } = principal;
  return {
    ...(userId === undefined ? {} : { userId }),
    ...(principal.master ? { operator: true } : {}),
    ...(!principal.master && principal.models !== undefined ? { models: principal.models } : {}),
  };
}

/**
 * Returns the team of a team's principal. A team id in the request must be the id of that team.
 *
 * @throws RouterError `team_not_found` for any other id, whether or not that team exists
 */
export function teamOf(principal: TeamPrincipal, requested?: string): string {
  if (requested !== undefined && requested !== principal.teamId) throw teamNotFound(requested);
  return principal.teamId;
}

/**
 * Returns the team that a request names.
 *
 * @throws RouterError `invalid_request` if the operator names no team; `team_not_found` like `teamOf`
 */
export function namedTeam(principal: Principal, requested: string | undefined): string {
  if (!principal.master) return teamOf(principal, requested);
  if (requested !== undefined) return requested;
  throw new RouterError('invalid_request', 'team_id: is required with the master key', { param: 'team_id' });
}
