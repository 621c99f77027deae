import { RouterError } from '../../errors.ts';
import { storedModel } from '../../schemas/bodies.ts';
import type { ModelBody, ModelPatch } from '../../schemas/body-types.ts';
import { isText } from '../../schemas/fields.ts';
import { allows } from '../../schemas/names.ts';
import { parse, throwAll } from '../../schemas/parse.ts';
import type { KeyRing } from '../../secrets/keyring.ts';
import type { Storage } from '../../storage/storage.ts';
import { readIdEntry, removeIdEntry, writeIdEntry } from '../records/id-index.ts';
import { Readability } from '../records/readability.ts';
import type { RecordStore } from '../records/record-store.ts';
import {
  type DeploymentRecord,
  findDeployment,
  modelPointerKey,
  newRecord,
  type TeamRecord,
} from '../records/team-record.ts';
import { type Actor, checkActor, type ModelOptions, readModelOptions, stampOf } from './actor.ts';
import {
  checkUnused,
  idTaken,
  insertDeployment,
  makeDeployment,
  modelNotFound,
  patchDeployment,
  removeDeployment,
} from './edit-model.ts';
import { type ModelGroupList, modelGroups } from './model-groups.ts';
import { ownerProblems, paramProblems, parseModel, parseModelPatch } from './model-problems.ts';
import { checkTeamId, teamNotFound } from './team-service.ts';
import { type ModelList, type ModelView, modelList, modelView } from './views.ts';

export interface ModelServiceOptions {
  /** Whether the first model of an unknown team creates its record, or is rejected. */
  teams: 'implicit' | 'explicit';
  /** Throws `api_base_not_allowed` for an address that calls may not reach. */
  checkBase: (base: string, shared: boolean) => void;
}

/** A deployment's record with its current or future public name. */
export interface PreparedDeployment {
  name: string;
  deployment: DeploymentRecord;
}

const maxIdLength = 256;

/**
 * Creates, changes, lists and deletes the deployments in a team's record. `teamId: null` is the record of the
 * shared deployments.
 */
export class ModelService {
  readonly #records: RecordStore;
  readonly #storage: Storage;
  readonly #ring: KeyRing;
  readonly #readability: Readability;
  readonly #options: ModelServiceOptions;

  constructor(records: RecordStore, storage: Storage, ring: KeyRing, options: ModelServiceOptions) {
    this.#records = records;
    this.#storage = storage;
    this.#ring = ring;
    this.#readability = new Readability(ring);
    this.#options = options;
  }

  async add(teamId: string | null, given: ModelBody, options?: ModelOptions): Promise<ModelView> {
    const { actor, unique } = readModelOptions(options);
    const { name, deployment, imported } = this.#prepare(teamId, given, actor);
    if (imported) await this.#claim(deployment.id, actor);
    // Writes the pointer before the record. A process that dies between the two writes leaves a pointer to
    // nothing, and loses no model.
    await writeIdEntry(this.#storage, modelPointerKey(deployment.id), teamId);
    try {
      return await this.#records.change(teamId, (existing) => {
        const record = existing ?? this.#implicitRecord(teamId, actor);
        if (unique) checkUnused(record, name);
        insertDeployment(record, name, deployment);
        return { record, result: this.#view(record, deployment.id) };
      });
    } catch (error) {
      if (isCertain(error)) await removeIdEntry(this.#storage, modelPointerKey(deployment.id));
      throw error;
    }
  }

  /** Runs each step of `add` before the write: checks the body and the address, and seals the secrets. */
  #prepare(
    teamId: string | null,
    given: ModelBody,
    actor?: Actor,
  ): PreparedDeployment & { imported: boolean } {
    if (teamId !== null) checkTeamId(teamId);
    const body = parseModel(given, { teamId });
    const { model_name: name, litellm_params: params, model_info: info } = body;
    if (!mayTouch(actor, name)) throw notAllowed(name);
    const checkBase = (base: string) => this.#options.checkBase(base, teamId === null);
    throwAll([...ownerProblems(teamId, body), ...paramProblems(params, checkBase)]);
    const deployment = makeDeployment(this.#ring, teamId, { params, info }, stampOf(actor));
    return { name, deployment, imported: info?.id !== undefined };
  }

  /**
   * Returns the target of a test call: a stored deployment, or one that is not stored. Returns `undefined` if
   * its address is not allowed.
   */
  async prepareTest(
    teamId: string | null,
    given: ModelBody | { id: string },
    actor?: Actor,
  ): Promise<PreparedDeployment | undefined> {
    checkActor(actor);
    if (!isWhole(given)) {
      const { id } = parse(storedModel, given);
      return touchable(await this.#records.read(teamId), id, actor);
    }
    try {
      return this.#prepare(teamId, given, actor);
    } catch (error) {
      if (RouterError.isInstance(error) && error.code === 'api_base_not_allowed') return undefined;
      throw error;
    }
  }

  async update(
    teamId: string | null,
    id: string,
    patch: ModelPatch,
    options?: ModelOptions,
  ): Promise<ModelView> {
    const { actor, unique } = readModelOptions(options);
    if (teamId !== null) checkTeamId(teamId);
    const body = parseModelPatch(patch);
    throwAll(ownerProblems(teamId, body));
    if (body.model_info?.id !== undefined && body.model_info.id !== id) {
      throw new RouterError('invalid_request', 'model_info.id: must be the id of the changed model', {
        param: 'model_info.id',
      });
    }
    return this.#records.change(teamId, (existing) => {
      const { record, name: before } = touchable(existing, id, actor);
      const name = body.model_name;
      if (name !== undefined && !mayTouch(actor, name)) throw notAllowed(name);
      if (unique && name !== undefined && name !== before) checkUnused(record, name);
      const check = (base: string) => this.#options.checkBase(base, teamId === null);
      patchDeployment(this.#ring, record, id, body, stampOf(actor), check);
      return { record, result: this.#view(record, id) };
    });
  }

  async delete(teamId: string | null, id: string, actor?: Actor): Promise<{ message: string }> {
    checkActor(actor);
    if (teamId !== null) checkTeamId(teamId);
    await this.#records.change(teamId, (existing) => {
      const { record } = touchable(existing, id, actor);
      removeDeployment(record, id);
      return { record, result: undefined };
    });
    await removeIdEntry(this.#storage, modelPointerKey(id));
    return { message: `Model: ${id} deleted successfully` };
  }

  async get(teamId: string | null, id: string): Promise<ModelView> {
    if (teamId !== null) checkTeamId(teamId);
    const { record } = touchable(await this.#records.read(teamId), id, undefined);
    return this.#view(record, id);
  }

  /** Returns a team's models. A team without a record has no models; with `teams: 'explicit'` it is unknown. */
  async list(teamId: string | null): Promise<ModelList> {
    if (teamId !== null) checkTeamId(teamId);
    const record = await this.#records.read(teamId);
    if (record === undefined && teamId !== null && this.#options.teams === 'explicit')
      throw teamNotFound(teamId);
    if (record === undefined) return { data: [], total_count: 0 };
    const unreadable = await this.#readability.unreadableOf(record);
    return modelList(record, (deployment) => !unreadable.has(deployment));
  }

  /**
   * Returns the public names that a caller may use. `teamId: null` is the operator, who sees the shared names.
   */
  async listGroups({
    teamId,
    models,
  }: {
    teamId: string | null;
    models?: readonly string[];
  }): Promise<ModelGroupList> {
    if (teamId !== null) checkTeamId(teamId);
    const team = teamId === null ? undefined : await this.#records.read(teamId);
    if (team === undefined && teamId !== null && this.#options.teams === 'explicit')
      throw teamNotFound(teamId);
    const needed = teamId === null || (team !== undefined && team.models.length > 0);
    const shared = needed ? await this.#readShared(teamId) : undefined;
    const mayUse = (name: string) => allows(models, name);
    return modelGroups(team, shared, { everyShared: teamId === null, mayUse });
  }

  /** Reads the shared models. If their record is damaged, a team's own models are still listed. */
  async #readShared(teamId: string | null): Promise<TeamRecord | undefined> {
    try {
      return await this.#records.read(null);
    } catch (error) {
      if (teamId === null || !RouterError.isInstance(error) || error.code !== 'corrupt_record') throw error;
      return undefined;
    }
  }

  /** Returns the team (`null`: shared) of a deployment, or `undefined` if no team has it. */
  async findTeam(id: string): Promise<{ team_id: string | null } | undefined> {
    // Other ids cannot be encoded in a storage key.
    if (!isText(id) || id.length > maxIdLength) return undefined;
    const teamId = await readIdEntry(this.#storage, modelPointerKey(id));
    if (teamId === undefined) return undefined;
    const record = await this.#records.read(teamId);
    return record !== undefined && findDeployment(record, id) !== undefined ? { team_id: teamId } : undefined;
  }

  /** Checks that no deployment has an id that the operator chose. Removes a pointer that a deleted model left. */
  async #claim(id: string, actor: Actor | undefined): Promise<void> {
    if (actor?.operator !== true) {
      const message = 'model_info.id: may be set by an operator only';
      throw new RouterError('invalid_request', message, { param: 'model_info.id' });
    }
    if ((await this.findTeam(id)) !== undefined) throw idTaken(id);
    await removeIdEntry(this.#storage, modelPointerKey(id));
  }

  #implicitRecord(teamId: string | null, actor: Actor | undefined): TeamRecord {
    if (teamId !== null && this.#options.teams === 'explicit') throw teamNotFound(teamId);
    const stamp = stampOf(actor);
    return newRecord(teamId, stamp.at, stamp.by);
  }

  #view(record: TeamRecord, id: string): ModelView {
    return modelView(record, id, this.#readable(record.team_id));
  }

  #readable(teamId: string | null): (deployment: DeploymentRecord) => boolean {
    return (deployment) => this.#readability.of(teamId, deployment);
  }
}

/** Returns whether a body describes a whole model, and does not name a stored one. */
export function isWhole(given: unknown): given is ModelBody {
  const { litellm_params, model_name } = (given ?? {}) as { [Field in keyof ModelBody]?: unknown };
  return (litellm_params ?? model_name ?? null) !== null;
}

function mayTouch(actor: Actor | undefined, name: string): boolean {
  return allows(actor?.models, name);
}

/**
 * Finds a deployment that the actor may change. For any other deployment the error is the same as for an
 * unknown one.
 */
function touchable(record: TeamRecord | undefined, id: string, actor: Actor | undefined) {
  const found = record === undefined ? undefined : findDeployment(record, id);
  if (record === undefined || found === undefined || !mayTouch(actor, found.name)) throw modelNotFound(id);
  return { record, ...found };
}

function notAllowed(name: string): RouterError {
  const message = `model_name: ${JSON.stringify(name)} must be a name that this key may use`;
  return new RouterError('permission_denied', message, { param: 'model_name' });
}

/** Returns whether the write certainly did not happen. */
function isCertain(error: unknown): boolean {
  return RouterError.isInstance(error) && error.code !== 'storage_unavailable';
}
