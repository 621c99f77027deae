import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { SnapshotCache } from '../../teams/records/snapshot-cache.ts';
import { teamBlocked } from '../../teams/team-blocked.ts';
import type { CallSignal } from '../abort/call-signal.ts';
import type { AffinityStore } from '../affinity/affinity-store.ts';
import type { Call, ModelRequest } from '../call.ts';
import type { UnknownCalls } from '../endpoints/unknown.ts';
import { resolvePinned } from './pin.ts';
import { type Caller, type Pool, resolve, type VisibleModels } from './resolve.ts';
import { refuseUnread } from './unread-body.ts';

/** Resolves the requested model, and checks that the caller may use it. */
export class ModelResolver {
  readonly #snapshots: SnapshotCache;
  readonly #affinity: AffinityStore;

  constructor(snapshots: SnapshotCache, affinity: AffinityStore) {
    this.#snapshots = snapshots;
    this.#affinity = affinity;
  }

  /**
   * Returns the snapshots that the caller's names are resolved in. The shared deployments are read only if the team may use
   * some, so that an outage of theirs does not fail the calls of other teams.
   */
  async visibleModels({ teamId }: Caller): Promise<VisibleModels> {
    const team = teamId === null ? undefined : await this.#snapshots.get(teamId);
    if (teamId !== null && (team === undefined || team.allowedShared.size === 0))
      return { team, shared: undefined };
    try {
      return { team, shared: await this.#snapshots.get(null) };
    } catch (error) {
      if (team === undefined || !RouterError.isInstance(error) || error.code !== 'corrupt_record')
        throw error;
      return { team, shared: undefined, sharedError: error };
    }
  }

  /**
   * Refuses a call before its body is read, as `refuseUnread` does.
   *
   * @throws RouterError also `storage_unavailable`
   */
  refuseUnread(
    models: VisibleModels,
    caller: Caller,
    call: Call,
    unknownCalls: UnknownCalls = 'forward',
  ): void {
    try {
      refuseUnread(models, caller, call, unknownCalls);
    } catch (error) {
      this.#unlessOutOfReach(error);
    }
  }

  /**
   * The pool of the call's own name, or of a fallback's.
   *
   * @throws RouterError `team_blocked`, `model_not_found`, `stateful_on_shared`, `storage_unavailable`; the signal's reason if it
   * aborts
   */
  async pool(
    models: VisibleModels,
    caller: Caller,
    request: ModelRequest,
    { fallback, signal }: { fallback: string | undefined; signal: CallSignal | undefined },
  ): Promise<Pool> {
    if (models.team?.blocked) throw teamBlocked();
    if (fallback !== undefined) return admitted(caller, resolve(models, caller, fallback), request);
    let pool: Pool;
    try {
      pool = await resolvePinned(this.#affinity, models, caller, request, signal);
    } catch (error) {
      this.#unlessOutOfReach(error);
    }
    return admitted(caller, pool, request);
  }

  #unlessOutOfReach(error: unknown): never {
    const unknown = RouterError.isInstance(error) && error.code === 'model_not_found';
    if (!unknown || !this.#snapshots.storageUnreachable) throw error;
    // It may have been added since, where the storage can be reached.
    const message = 'The storage cannot be reached, and this model is not known yet.';
    throw new RouterError('storage_unavailable', message);
  }
}

/** Of the deployments only those that may serve the call. */
function admitted({ mayManage }: Caller, pool: Pool, { body: content }: ModelRequest): Pool {
  const { deployments } = pool;
  const [first] = deployments;
  if (first === undefined || (first.teamId !== null && content.controls === undefined)) return pool;
  const refusalOf = (deployment: Deployment) =>
    content.controls?.refusal(deployment, mayManage) ??
    (deployment.teamId === null ? content.statefulError(deployment) : undefined);
  const serving = deployments.filter((deployment) => refusalOf(deployment) === undefined);
  if (serving.length === deployments.length) return pool;
  const refused = serving.length === 0 ? refusalOf(first) : undefined;
  if (refused !== undefined) throw refused;
  return { ...pool, deployments: serving };
}
