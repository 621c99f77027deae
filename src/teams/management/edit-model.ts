import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { checkCredentials } from '../../providers/entra.ts';
import { resolveTarget } from '../../providers/provider.ts';
import type { ModelInfo, ModelParams, modelPatch } from '../../schemas/bodies.ts';
import { internalPrefix } from '../../schemas/fields.ts';
import { throwAll } from '../../schemas/parse.ts';
import type { KeyRing } from '../../secrets/keyring.ts';
import { isHeaderField, sealAll, splitSecrets } from '../records/sealed-secrets.ts';
import {
  countDeployments,
  type DeploymentRecord,
  findDeployment,
  limits,
  type PoolRecord,
  type TeamRecord,
} from '../records/team-record.ts';
import { poolIsGone } from './edit-settings.ts';
import { targetProblems } from './model-problems.ts';

/** Time and author of a change to a record. */
export interface Stamp {
  at: string;
  by: string;
}

/** Creates a deployment for a record: resolves its address and seals its secrets. */
export function makeDeployment(
  ring: KeyRing,
  teamId: string | null,
  given: { params: ModelParams; info: ModelInfo },
  stamp: Stamp,
): DeploymentRecord {
  const { id = randomUUID(), team_id: _, ...info } = given.info ?? {};
  const { params, secrets } = splitSecrets(given.params);
  const target = { ...resolveTarget(params) };
  checkCredentials(target, params, new Set(secrets.keys()));
  return checkSize({
    id,
    params,
    target,
    ...sealAll(ring, { teamId, deploymentId: id, target, params }, secrets),
    info,
    created_at: stamp.at,
    created_by: stamp.by,
    updated_at: stamp.at,
    updated_by: stamp.by,
  });
}

/**
 * Checks the size of a stored deployment. A patch may keep or shrink a deployment that is too large already.
 *
 * @throws RouterError `invalid_request`
 */
function checkSize(deployment: DeploymentRecord, before?: DeploymentRecord): DeploymentRecord {
  const bytes = sizeOf(deployment);
  if (bytes <= limits.deploymentBytes || (before !== undefined && bytes <= sizeOf(before))) return deployment;
  const [field, size] = largestField(deployment);
  const message = `${field}: is too large. It takes ${size} of the ${bytes} bytes that this model takes when stored; a model may take ${limits.deploymentBytes}.`;
  throw new RouterError('invalid_request', message, { param: field });
}

function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? '');
}

/** Returns the field that takes the most bytes, for the error. */
function largestField({ params, info, sealed }: DeploymentRecord): [field: string, bytes: number] {
  const sizes = new Map<string, number>();
  const count = (field: string, value: unknown) => sizes.set(field, (sizes.get(field) ?? 0) + sizeOf(value));
  for (const [field, value] of Object.entries(params)) count(`litellm_params.${field}`, value);
  for (const [field, value] of Object.entries(info)) count(`model_info.${field}`, value);
  for (const [field, token] of sealed)
    count(`litellm_params.${isHeaderField(field) ? 'extra_headers' : field}`, token);
  const [first] = [...sizes].sort(([, left], [, right]) => right - left);
  return first ?? ['litellm_params', 0];
}

/**
 * Inserts a deployment into the pool of its public name. The first deployment creates the pool and its internal
 * name.
 */
export function insertDeployment(record: TeamRecord, name: string, deployment: DeploymentRecord): void {
  if (findDeployment(record, deployment.id) !== undefined) throw idTaken(deployment.id);
  if (countDeployments(record) >= limits.deployments) {
    throw new RouterError(
      'invalid_request',
      `The team's deployments must be at most ${limits.deployments}. Delete a deployment first.`,
    );
  }
  poolOf(record, name).deployments.push(deployment);
}

export function removeDeployment(record: TeamRecord, id: string): void {
  const found = existing(record, id);
  found.pool.deployments.splice(found.pool.deployments.indexOf(found.deployment), 1);
  dropIfEmpty(record, found.name);
}

/**
 * Applies a patch. Changes only the fields that are sent; `null` clears a field. A new `model_name` moves the
 * deployment to that pool.
 */
export function patchDeployment(
  ring: KeyRing,
  record: TeamRecord,
  id: string,
  patch: z.output<typeof modelPatch>,
  stamp: Stamp,
  checkBase: (base: string) => void,
): void {
  const { name, pool, deployment } = existing(record, id);
  const next: DeploymentRecord = {
    ...deployment,
    ...patchParams(ring, record.team_id, deployment, patch.litellm_params ?? {}),
    info: merge(deployment.info, withoutIds(patch.model_info ?? {})),
    updated_at: stamp.at,
    updated_by: stamp.by,
  };
  checkBase(next.target.base);
  checkSize(next, deployment);
  pool.deployments[pool.deployments.indexOf(deployment)] = next;
  if (patch.model_name !== undefined && patch.model_name !== name) {
    pool.deployments.splice(pool.deployments.indexOf(next), 1);
    // A key that may call only the old name must not gain access to the existing pool of the new name.
    const isNew = !record.pools.some(([known]) => known === patch.model_name);
    poolOf(record, patch.model_name).deployments.push(next);
    dropIfEmpty(record, name, isNew ? patch.model_name : undefined);
  }
}

type ParamsPatch = NonNullable<z.output<typeof modelPatch>['litellm_params']>;

function patchParams(
  ring: KeyRing,
  teamId: string | null,
  deployment: DeploymentRecord,
  patch: ParamsPatch,
): Pick<DeploymentRecord, 'params' | 'target' | 'sealed' | 'masks'> {
  const { params: changes, secrets } = splitSecrets(withoutNulls(patch) as ModelParams);
  const cleared = Object.entries(patch).flatMap(([field, value]) => (value === null ? [field] : []));
  const params = merge(deployment.params, {
    ...changes,
    ...Object.fromEntries(cleared.map((field) => [field, null])),
  }) as ModelParams;
  // Keeps the stored target unless a field that determines it was sent, so that a changed provider table
  // redirects no key.
  const moves = (['model', 'custom_llm_provider', 'api_base', 'api_version'] as const).some(
    (field) => field in patch,
  );
  if (moves) throwAll(targetProblems(params));
  const { apiVersions: _, ...stored } = deployment.target;
  const target = moves ? { ...stored, ...resolveTarget(params) } : deployment.target;
  const kept = ([field]: readonly [string, string]) =>
    !secrets.has(field) &&
    !cleared.includes(field) &&
    !(isHeaderField(field) && patch.extra_headers !== undefined);
  const sealed = deployment.sealed.filter(kept);
  if (sealed.length > 0 && !sameDestination(deployment, { target, params })) {
    const missing = sealed.map(([field]) => `litellm_params.${field}`);
    throw new RouterError(
      'api_key_required',
      `A change of provider, api_base, organization, project, tenant_id or client_id needs the secrets again: send ${missing.join(', ')} too.`,
      { param: missing[0] ?? 'litellm_params.api_key' },
    );
  }
  checkCredentials(target, params, new Set([...sealed.map(([field]) => field), ...secrets.keys()]));
  const fresh = sealAll(ring, { teamId, deploymentId: deployment.id, target, params }, secrets);
  return {
    params,
    target,
    sealed: [...sealed, ...fresh.sealed],
    masks: [...deployment.masks.filter(kept), ...fresh.masks],
  };
}

function sameDestination(
  before: DeploymentRecord,
  after: Pick<DeploymentRecord, 'target' | 'params'>,
): boolean {
  return (
    before.target.provider === after.target.provider &&
    before.target.base === after.target.base &&
    (['organization', 'project', 'tenant_id', 'client_id'] as const).every(
      (field) => (before.params[field] ?? null) === (after.params[field] ?? null),
    )
  );
}

function existing(record: TeamRecord, id: string) {
  const found = findDeployment(record, id);
  if (found === undefined) throw modelNotFound(id);
  return found;
}

/**
 * Returns the one error for a deployment id that the caller's team does not have, whether or not another team has it. Names no
 * team, because the operator has none.
 *
 * @param param the field that has the id
 */
export function modelNotFound(id: string, param = 'id'): RouterError {
  return new RouterError('model_not_found', `Model with id ${JSON.stringify(id)} not found.`, {
    param,
  });
}

/**
 * Checks that no model of the record has this public name.
 *
 * @throws RouterError `already_exists`
 */
export function checkUnused(record: TeamRecord, name: string): void {
  if (!record.pools.some(([known]) => known === name)) return;
  const whose = record.team_id === null ? 'among the shared models' : 'in this team';
  const message = `model_name: ${JSON.stringify(name)} already exists ${whose}. Update that model, or choose another name.`;
  throw new RouterError('already_exists', message, { param: 'model_name' });
}

/**
 * Returns the error for an id that is in use. Only an operator receives it, because only an operator may choose
 * an id.
 */
export function idTaken(id: string): RouterError {
  const message = `Model with id ${JSON.stringify(id)} already exists.`;
  return new RouterError('already_exists', message, { param: 'model_info.id' });
}

function poolOf(record: TeamRecord, name: string): PoolRecord {
  const entry = record.pools.find(([candidate]) => candidate === name);
  if (entry !== undefined) return entry[1];
  const owner = record.team_id ?? 'shared';
  const pool: PoolRecord = { internal_name: `${internalPrefix}${owner}_${randomUUID()}`, deployments: [] };
  record.pools.push([name, pool]);
  return pool;
}

/**
 * Removes a pool without members.
 *
 * @param renamed the new name of the last member, if the new pool has no other member
 */
function dropIfEmpty(record: TeamRecord, name: string, renamed?: string): void {
  if (record.pools.find(([known]) => known === name)?.[1].deployments.length !== 0) return;
  record.pools = record.pools.filter(([known]) => known !== name);
  poolIsGone(record, name, renamed);
}

function withoutIds({ id: _, team_id: __, ...info }: NonNullable<z.output<typeof modelPatch>['model_info']>) {
  return info;
}

function withoutNulls(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== null && value !== undefined),
  );
}

function merge<Stored extends Record<string, unknown>>(
  stored: Stored,
  changes: Record<string, unknown>,
): Stored {
  const next: Record<string, unknown> = { ...stored };
  for (const [field, value] of Object.entries(changes)) {
    if (value === null) delete next[field];
    else if (value !== undefined) next[field] = value;
  }
  return next as Stored;
}
