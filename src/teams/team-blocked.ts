import { RouterError } from '../errors.ts';

/** Returns the error of every request for a blocked team. */
export function teamBlocked(): RouterError {
  return new RouterError('team_blocked', 'This team is blocked.');
}
