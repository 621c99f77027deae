import { type Caller, resolve, type VisibleModels } from '../calls/routing/resolve.ts';
import { RouterError } from '../errors.ts';
import { invalidKey } from '../teams/key-verifier.ts';
import type { Deployment } from '../teams/records/deployment.ts';
import type { TeamSnapshot } from '../teams/records/snapshot-cache.ts';
import { teamBlocked } from '../teams/team-blocked.ts';

/** The key that opened a session. */
export interface SessionKey {
  token: string;
  /** Milliseconds since 1970 at which it ends by itself; `undefined`: never. */
  expiresAt: number | undefined;
}

/** Returns the key of a session, as its team's record has it now. */
export function keyOf(team: TeamSnapshot | undefined, token: string | undefined): SessionKey | undefined {
  if (token === undefined) return undefined;
  const expires = team?.keys.get(token)?.expires ?? null;
  return { token, expiresAt: expires === null ? undefined : Date.parse(expires) };
}

/**
 * Checks that an open session may continue: its team, its key and its deployment are still there and not blocked. A key that
 * ends by its own duration does not end a session that it opened; a key that is revoked or blocked does.
 *
 * @returns the caller with what the key may use now
 * @throws RouterError `team_blocked`, `invalid_api_key`, `key_blocked`, `model_not_found`
 */
export function checkAccess(
  models: VisibleModels,
  given: Caller,
  deployment: Deployment,
  key: SessionKey | undefined,
): Caller {
  if (models.team?.blocked) throw teamBlocked();
  const caller = key === undefined ? given : callerOf(given, models.team, key);
  const { deployments } = resolve(models, caller, deployment.publicName);
  if (deployments.some(({ id }) => id === deployment.id)) return caller;
  throw new RouterError('model_not_found', 'The model of this session was removed.', { param: 'model' });
}

function callerOf(caller: Caller, team: TeamSnapshot | undefined, key: SessionKey): Caller {
  const found = team?.keys.get(key.token);
  if (found === undefined) {
    // An ended key is removed from the record with the next change.
    if (key.expiresAt !== undefined && Date.now() >= key.expiresAt) return caller;
    throw invalidKey();
  }
  if (found.blocked) throw new RouterError('key_blocked', 'This key is blocked.');
  return found.models === null ? caller : { ...caller, models: found.models };
}
