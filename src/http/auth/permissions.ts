import { RouterError } from '../../errors.ts';
import type { KeyType } from '../../schemas/bodies.ts';
import { teamNotFound } from '../../teams/management/team-service.ts';

/** Whom a request speaks for: the operator, or one team. */
export type Credential =
  | { master: true; userId?: string }
  | {
      master?: false;
      teamId: string;
      keyType: KeyType;
      /** The public names that it may call; absent: all of the team's; `[]`: none. */
      models?: readonly string[];
      userId?: string;
      /** The hash of the key that asks, if a key does. */
      token?: string;
    };

/**
 * What a route asks for. `open`: nothing; `names`: to see which model names there are; `calls`: to make them;
 * `models`: to add, change, remove and test them; `info`: to read models, team and key; `master`: the master key.
 */
export type Permission = 'open' | 'names' | 'calls' | 'models' | 'info' | 'master';

/** What each type of team key may do; the master key may everything. */
const granted: Record<KeyType, readonly Permission[]> = {
  default: ['names', 'calls', 'models', 'info'],
  llm_api: ['names', 'calls'],
  management: ['names', 'models', 'info'],
  read_only: ['names', 'info'],
};

/** Returns whether a credential may add, change and remove models. */
export function mayManage(credential: Credential): boolean {
  return credential.master === true || granted[credential.keyType].includes('models');
}

/** The same credential, if it may do this. @throws RouterError `permission_denied` */
export function permitted(credential: Credential, permission: Permission): Credential {
  if (permission === 'open' || credential.master || granted[credential.keyType].includes(permission))
    return credential;
  throw new RouterError(
    'permission_denied',
    permission === 'master'
      ? 'This needs the master key.'
      : `A key of type ${credential.keyType} may not do this.`,
  );
}

/**
 * The team that a team's credential speaks for; a team's id that was sent along must be its own.
 *
 * @throws RouterError `team_not_found` for another's, the same as for one that is not there
 */
export function teamOf(credential: Credential & { master?: false }, given?: string): string {
  if (given !== undefined && given !== credential.teamId) throw teamNotFound(given);
  return credential.teamId;
}

/**
 * The team that a request is about.
 *
 * @throws RouterError `invalid_request` if the master key names none, `team_not_found` as `teamOf`
 */
export function namedTeam(credential: Credential, given: string | undefined): string {
  if (!credential.master) return teamOf(credential, given);
  if (given !== undefined) return given;
  throw new RouterError('invalid_request', 'team_id: is needed with the master key', { param: 'team_id' });
}
