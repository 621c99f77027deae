import { RouterError } from '../../errors.ts';
import type { CallSignal } from '../abort/call-signal.ts';
import type { AffinityStore } from '../affinity/affinity-store.ts';
import { type ModelRequest, referencesOf } from '../call.ts';
import {
  type Caller,
  isNamed,
  type Pool,
  pinnedPool,
  resolve,
  resolveOnly,
  type VisibleModels,
} from './resolve.ts';

/**
 * The pool of a call: what its name resolves to, and of that only the deployment whose account has the objects that the
 * call speaks of. A call that names no model itself goes to where its objects live. The storage is not
 * asked if there is only one deployment to choose from.
 */
export async function resolvePinned(
  affinity: AffinityStore,
  models: VisibleModels,
  caller: Caller,
  given: ModelRequest,
  signal: CallSignal | undefined,
): Promise<Pool> {
  const { otherwise, model = '' } = given;
  const isOwn = otherwise === undefined || isNamed(models, caller, model);
  const request = isOwn ? given : { ...given, ...otherwise };
  const { model: name, body } = request;
  const unpinned = () =>
    name === undefined
      ? resolveOnly(models, caller, (deployment) => body.statefulError(deployment), body.lateModel)
      : resolve(models, caller, name);
  const named = request.explicitModel ? unpinned() : undefined;
  const choices = named?.deployments.length ?? models.team?.deployments.size ?? 0;
  if (choices < 2 || caller.teamId === null || named?.deployments[0]?.teamId === null)
    return named ?? unpinned();
  const objects = referencesOf(request);
  if (objects.length === 0) return named ?? unpinned();
  const deploymentId = await affinity.lookup(caller.teamId, objects, signal);
  const own = deploymentId === undefined ? undefined : ownPool(models, caller, deploymentId);
  const deployment = own?.deployments[0];
  if (own === undefined || deployment === undefined) return named ?? unpinned();
  return named === undefined || named.deployments.includes(deployment) ? own : named;
}

/** The one deployment, if it is still there and the caller may use it: a record is no more than a hint. */
function ownPool(models: VisibleModels, caller: Caller, deploymentId: string): Pool | undefined {
  const deployment = models.team?.deployments.get(deploymentId);
  if (deployment === undefined) return undefined;
  try {
    const { deployments } = resolve(models, caller, deployment.publicName);
    return deployments.includes(deployment) ? pinnedPool(models.team, deployment) : undefined;
  } catch (error) {
    if (RouterError.isInstance(error) && error.code === 'model_not_found') return undefined;
    throw error;
  }
}
