import { RouterError } from '../../errors.ts';
import { allows, allSharedNames } from '../../schemas/names.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { TeamSnapshot } from '../../teams/records/snapshot-cache.ts';
import type { Endpoint } from '../endpoints/match.ts';
import { unknownId } from '../endpoints/unknown.ts';

/**
 * Who calls.
 *
 * @example
 * ```ts
 * const caller: Caller = { teamId: 'acme', models: ['assistant'] };
 * ```
 */
export interface Caller {
  /** `null`: the operator, who has only the shared deployments. */
  teamId: string | null;
  /** The public names that the caller may use; absent: all of the team's; `[]`: none. */
  models?: readonly string[];
  /** The SHA-256 of the team key in hex, if a key authenticated the call. */
  keyId?: string;
  /** The member of the team, if one is known. */
  userId?: string;
  /** `false` if the caller cannot change models, so that no message tells it to. */
  mayManage?: boolean;
}

/** The deployments that answer to one public name, for one caller. */
export interface Pool {
  publicName: string;
  deployments: readonly Deployment[];
  /** Set where the call means this deployment and no sibling of it. */
  pinned?: true;
}

/** What a caller's names are looked up in: its own team's snapshot, if it has one, and the shared deployments'. */
export interface VisibleModels {
  team: TeamSnapshot | undefined;
  shared: TeamSnapshot | undefined;
  /** Why the shared deployments cannot be read. Only calls that need them fail with it. */
  sharedError?: RouterError;
}

const listedNames = 20;

/**
 * Resolves a name to deployments. No other function does. Returns only deployments of the caller's own team, or
 * shared ones that the team may use. Searches the team's public names first, then its deployments' ids, then
 * shared public names. Applies `models` of the caller to the resolved public name, because an id would
 * otherwise bypass it.
 *
 * @throws RouterError `model_not_found`, the same for an unknown name and for another team's name
 */
export function resolve(models: VisibleModels, caller: Caller, name: string): Pool {
  const pool = find(models, caller, name);
  if (pool === undefined || !mayUse(caller, pool.publicName)) throw modelNotFound(models, caller, name);
  return pool;
}

/**
 * The pool of a call that names no model: the caller's only deployment.
 *
 * @param lateModel the error if the body may still name a model
 * @throws RouterError `invalid_request` that lists the caller's names if it has more than one, or none
 */
export function resolveOnly(
  models: VisibleModels,
  caller: Caller,
  refusalOf: (deployment: Deployment) => RouterError | undefined = () => undefined,
  lateModel?: RouterError,
): Pool {
  const all = namesOf(models, caller);
  const refusals = all.map((name) => sharedRefusal(models, name, refusalOf));
  // A shared model that cannot serve the call is no choice.
  const names = all.filter((_, index) => refusals[index] === undefined);
  const [refused] = refusals;
  if (names.length === 0 && models.sharedError !== undefined) throw models.sharedError;
  if (names.length === 0 && refused !== undefined) throw refused;
  const [only] = names;
  if (names.length === 1 && only !== undefined) {
    const pool = resolve(models, caller, only);
    if (pool.deployments.length === 1) return pool;
  }
  if (lateModel !== undefined) throw lateModel;
  throw new RouterError(
    'invalid_request',
    `This call needs a model: name one with ?model= or in the header x-team-model. ${listing(caller, names)}`,
    { param: 'model' },
  );
}

/** Why no deployment of a shared name can serve; `undefined` for a team's own name. */
function sharedRefusal(
  { team, shared }: VisibleModels,
  name: string,
  refusalOf: (deployment: Deployment) => RouterError | undefined,
): RouterError | undefined {
  if (team?.pools.has(name)) return undefined;
  const deployments = shared?.pools.get(name) ?? [];
  return deployments.every((deployment) => refusalOf(deployment) !== undefined) &&
    deployments[0] !== undefined
    ? refusalOf(deployments[0])
    : undefined;
}

/** Returns whether the name is a model of the caller's. It is for every caller that may use certain models only. */
export function isNamed(models: VisibleModels, caller: Caller, name: string): boolean {
  return caller.models !== undefined || find(models, caller, name) !== undefined;
}

/**
 * Checks that a caller which may use certain models only does not make a call that the endpoint table does not have. Its
 * path or body may name a model in a way that is not known.
 *
 * @throws RouterError `permission_denied`
 */
export function checkUnrestricted({ models }: Caller, { id, method, path }: Endpoint): void {
  if (id !== unknownId || models === undefined) return;
  const message = `${method} /v1${path.slice(0, 256)} may use any model of the account. Use a key that is not restricted to models.`;
  throw new RouterError('permission_denied', message);
}

/** The public names that the caller may use, its own team's first. */
export function namesOf(models: VisibleModels, caller: Caller): string[] {
  const names = new Set(models.team?.pools.keys());
  for (const name of models.shared?.pools.keys() ?? []) {
    if (isShared(models.team, caller, name)) names.add(name);
  }
  return [...names].filter((name) => mayUse(caller, name));
}

/** Whether there is any model that the caller may call. */
export function mayCallAny(models: VisibleModels, caller: Caller): boolean {
  const { team, shared, sharedError } = models;
  if (sharedError !== undefined) return true;
  if (caller.models !== undefined)
    return caller.models.some((name) => find(models, caller, name)?.publicName === name);
  if (team !== undefined && team.pools.size > 0) return true;
  for (const name of shared?.pools.keys() ?? []) if (isShared(team, caller, name)) return true;
  return false;
}

function find({ team, shared, sharedError }: VisibleModels, caller: Caller, name: string): Pool | undefined {
  const own = team?.pools.get(name);
  if (own !== undefined) return { publicName: name, deployments: own };
  const deployment = team?.deployments.get(name);
  if (deployment !== undefined) return pinnedPool(team, deployment);
  if (sharedError !== undefined && isShared(team, caller, name)) throw sharedError;
  const common = isShared(team, caller, name) ? shared?.pools.get(name) : undefined;
  return common === undefined ? undefined : { publicName: name, deployments: common };
}

/** The pool of one deployment that may have siblings. */
export function pinnedPool(team: TeamSnapshot | undefined, deployment: Deployment): Pool {
  const { publicName } = deployment;
  const siblings = team?.pools.get(publicName)?.length ?? 0;
  return { publicName, deployments: [deployment], ...(siblings > 1 && { pinned: true as const }) };
}

function isShared(team: TeamSnapshot | undefined, caller: Caller, name: string): boolean {
  if (caller.teamId === null) return true;
  return team !== undefined && (team.allowedShared.has(name) || team.allowedShared.has(allSharedNames));
}

function mayUse(caller: Caller, publicName: string): boolean {
  return allows(caller.models, publicName);
}

function modelNotFound(models: VisibleModels, caller: Caller, name: string): RouterError {
  const shown = JSON.stringify(name.slice(0, 256));
  const names = listing(caller, namesOf(models, caller));
  // A team may have the model that its restricted key may not call.
  const owner = caller.models === undefined ? 'team' : 'key';
  const message =
    caller.teamId === null
      ? `Shared model ${shown} not found; a team's own are called with a key of that team. ${names}`
      : `Model ${shown} not found for this ${owner}. ${names}`;
  return new RouterError('model_not_found', message, { param: 'model' });
}

/** What the caller may use instead; a caller that may not use what there is is not told that there is nothing. */
function listing(caller: Caller, names: readonly string[]): string {
  if (names.length === 0)
    return caller.models === undefined ? 'No models exist yet.' : 'This key may not call any model.';
  const shown = names.slice(0, listedNames).map((name) => JSON.stringify(name));
  const more = names.length > listedNames ? `, and ${names.length - listedNames} more` : '';
  const list = `${shown.join(', ')}${more}`;
  return caller.models === undefined ? `Available models: ${list}.` : `This key may call: ${list}.`;
}
