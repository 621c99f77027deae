import { RouterError } from '../../errors.ts';
import type { KeyType } from '../../schemas/body-types.ts';
import type { Principal } from '../../teams/principal.ts';

/**
 * Permission that a route requires. `open`: none; `names`: list model names; `calls`: call models; `models`:
 * add, change, remove and test models; `info`: read models, team and key; `master`: the master key.
 */
export type Permission = 'open' | 'names' | 'calls' | 'models' | 'info' | 'master';

/** Permissions of each type of team key. The master key has all permissions. */
const granted: Record<KeyType, readonly Permission[]> = {
  default: ['names', 'calls', 'models', 'info'],
  llm_api: ['names', 'calls'],
  management: ['names', 'models', 'info'],
  read_only: ['names', 'info'],
};

/** Returns whether a principal may add, change and remove models. */
export function mayManage(principal: Principal): boolean {
  return principal.master === true || granted[principal.keyType].includes('models');
}

/**
 * Returns the principal if it has the permission.
 *
 * @throws RouterError `permission_denied`
 */
export function permitted(principal: Principal, permission: Permission): Principal {
  if (permission === 'open' || principal.master || granted[principal.keyType].includes(permission))
    return principal;
  throw new RouterError(
    'permission_denied',
    permission === 'master'
      ? 'This needs the master key.'
      : `A key of type ${principal.keyType} may not do this.`,
  );
}
