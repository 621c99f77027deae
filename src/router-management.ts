import type { Caller } from './calls/routing/resolve.ts';
import type { KeyBody, KeyPatch, ModelBody, ModelPatch, TeamBody, TeamPatch } from './schemas/body-types.ts';
import type { RouterServices } from './services.ts';
import type { Actor, ModelOptions } from './teams/management/actor.ts';
import type { KeyView, NewKey } from './teams/management/edit-key.ts';
import type { KeyRegeneration } from './teams/management/key-regeneration.ts';
import type { KeyList, KeyPage } from './teams/management/key-service.ts';
import type { ModelGroupList } from './teams/management/model-groups.ts';
import { checkTeamId, type ListTeamsOptions, type TeamPage } from './teams/management/team-service.ts';
import type { ModelList, ModelView, TeamInfo, TeamView } from './teams/management/views.ts';
import type { TeamPrincipal } from './teams/principal.ts';

/** Manages teams, models and keys: the methods of a router that send no calls. */
export abstract class RouterManagement {
  readonly #services: RouterServices;

  protected constructor(services: RouterServices) {
    this.#services = services;
  }

  /**
   * Creates a team's record. Generates an id if `team_id` is absent.
   * @throws RouterError `already_exists`
   */
  createTeam(body: TeamBody, actor?: Actor): Promise<TeamView> {
    return this.#services.teams.create(body, actor);
  }

  /**
   * Changes the fields that are sent; `null` clears a field. `models` is the allow-list of shared names.
   * @throws RouterError `team_not_found`
   */
  updateTeam(teamId: string, patch: TeamPatch, actor?: Actor): Promise<TeamView> {
    return this.#services.teams.update(teamId, patch, actor);
  }

  /**
   * Deletes a team with its models, keys and aliases.
   * @throws RouterError `team_not_found`
   */
  deleteTeam(teamId: string): Promise<{ deleted_teams: string[] }> {
    return this.#services.teams.delete(teamId);
  }

  /**
   * Blocks a team: its calls fail with 403 `team_blocked` until it is unblocked.
   * @throws RouterError `team_not_found`
   */
  blockTeam(teamId: string, actor?: Actor): Promise<TeamView> {
    return this.#services.teams.update(teamId, { blocked: true }, actor);
  }

  /**
   * Unblocks a team.
   * @throws RouterError `team_not_found`
   */
  unblockTeam(teamId: string, actor?: Actor): Promise<TeamView> {
    return this.#services.teams.update(teamId, { blocked: false }, actor);
  }

  /**
   * Returns the stored text of a team's record (`null`: of the shared models), even if it cannot be read.
   * Secrets in it stay sealed. For operators.
   * @throws RouterError `team_not_found`
   */
  exportTeam<Id extends string | null>(teamId: Id): Promise<{ team_id: Id; record: string }> {
    return this.#services.teams.export(teamId);
  }

  /**
   * For an operator: deletes a record that `listTeams` lists in `unreadable`, by its `key`, and returns its text.
   * @throws RouterError `conflict` if the record can be read or was written meanwhile, `not_found`, `invalid_request`
   *
   * @example
   * const { unreadable = [] } = await router.listTeams();
   * for (const { key } of unreadable) console.log(await router.deleteUnreadable(key));
   */
  deleteUnreadable(key: string): Promise<{ key: string; record: string }> {
    return this.#services.teams.deleteUnreadable(key);
  }

  /**
   * Adds shared names to the team's allow-list.
   * @throws RouterError `team_not_found`
   */
  allowSharedModels(teamId: string, names: readonly string[], actor?: Actor): Promise<TeamView> {
    return this.#services.teams.changeAllowed(teamId, { add: names }, actor);
  }

  /**
   * Removes shared names from the team's allow-list.
   * @throws RouterError `team_not_found`
   */
  disallowSharedModels(teamId: string, names: readonly string[], actor?: Actor): Promise<TeamView> {
    return this.#services.teams.changeAllowed(teamId, { remove: names }, actor);
  }

  /**
   * Returns one page of all teams, in unspecified order. `cursor` of the result requests the next page, and is
   * absent on the last page.
   */
  listTeams(options?: ListTeamsOptions): Promise<TeamPage> {
    return this.#services.teams.list(options);
  }

  /**
   * Returns the team with its `model_aliases` (public name to internal name).
   * @throws RouterError `team_not_found`
   */
  getTeamInfo(teamId: string): Promise<TeamInfo> {
    return this.#services.teams.info(teamId);
  }

  /**
   * Adds a deployment under a public name of the team. A second deployment of the same name joins its pool;
   * with `unique` it is rejected.
   * @throws RouterError `invalid_request` with the path of the field, `api_base_not_allowed`, `team_not_found`
   * (with `teams: 'explicit'`), `already_exists` (with `unique`), `conflict`, `storage_unavailable`
   */
  async addModel(teamId: string, body: ModelBody, options?: ModelOptions): Promise<ModelView> {
    return this.#services.models.add(checkTeamId(teamId), body, options);
  }

  /**
   * Changes the fields that are sent; `null` clears a field; a new `model_name` renames. A new destination
   * requires the secrets again (`api_key_required`).
   * @throws RouterError `model_not_found`, and the errors of `addModel`
   */
  async updateModel(
    teamId: string,
    id: string,
    patch: ModelPatch,
    options?: ModelOptions,
  ): Promise<ModelView> {
    return this.#services.models.update(checkTeamId(teamId), id, patch, options);
  }

  /**
   * Deletes a deployment.
   * @throws RouterError `model_not_found`
   */
  async deleteModel(teamId: string, id: string, actor?: Actor): Promise<{ message: string }> {
    return this.#services.models.delete(checkTeamId(teamId), id, actor);
  }

  /**
   * Returns a deployment with masked secrets.
   * @throws RouterError `model_not_found`
   */
  async getModel(teamId: string, id: string): Promise<ModelView> {
    return this.#services.models.get(checkTeamId(teamId), id);
  }

  /**
   * Lists the team's own deployments with masked secrets. A deployment whose secrets cannot be decrypted has
   * `needs_reentry`.
   */
  async listModels(teamId: string): Promise<ModelList> {
    return this.#services.models.list(checkTeamId(teamId));
  }

  /**
   * Lists the public names that a caller may use, of the team and of shared deployments, with their details.
   * @param caller `teamId: null` for the operator, who uses the shared deployments; `models` restricts the
   * names, as in calls
   */
  listModelGroups(caller: Caller): Promise<ModelGroupList> {
    return this.#services.models.listGroups(caller);
  }

  /** Adds a shared deployment of the operator, for the teams with its name on their allow-list (`models`). */
  addSharedModel(body: ModelBody, options?: ModelOptions): Promise<ModelView> {
    return this.#services.models.add(null, body, options);
  }

  /** Changes a shared deployment, like `updateModel`. */
  updateSharedModel(id: string, patch: ModelPatch, options?: ModelOptions): Promise<ModelView> {
    return this.#services.models.update(null, id, patch, options);
  }

  /**
   * Deletes a shared deployment.
   * @throws RouterError `model_not_found`
   */
  deleteSharedModel(id: string): Promise<{ message: string }> {
    return this.#services.models.delete(null, id);
  }

  listSharedModels(): Promise<ModelList> {
    return this.#services.models.list(null);
  }

  /** Returns the team (`null`: shared) of a deployment, or `undefined`. For operators. */
  findModelTeam(id: string): Promise<{ team_id: string | null } | undefined> {
    return this.#services.models.findTeam(id);
  }

  /**
   * Creates an API key of the team, for the gateway and for `verifyKey`. Returns `key` only once, because the
   * storage contains only its SHA-256.
   * @throws RouterError `invalid_request`, `team_not_found` (with `teams: 'explicit'`)
   */
  createKey(teamId: string, body: KeyBody = {}, actor?: Actor): Promise<NewKey> {
    return this.#services.keys.create(teamId, body, actor);
  }

  /**
   * Creates a new secret for a key and returns it only once. Changes other fields only if they are sent.
   * @param key the key, or its hash
   * @param fields `grace_period`, such as `1d`: time for which the old secret stays valid. If absent, all older
   * secrets are revoked immediately.
   * @throws RouterError `key_not_found`, `invalid_request`
   */
  regenerateKey(teamId: string, key: string, fields: KeyRegeneration = {}, actor?: Actor): Promise<NewKey> {
    return this.#services.keys.regenerate(teamId, key, fields, actor);
  }

  /**
   * Changes the fields that are sent; `null` clears a field.
   * @param key the key, or its hash
   * @throws RouterError `key_not_found`
   */
  async updateKey(teamId: string, key: string, patch: KeyPatch, actor?: Actor): Promise<KeyView> {
    return this.#services.keys.update(teamId, key, patch, actor);
  }

  /**
   * Revokes a key. This process rejects it from the next call on. Given an older secret of a regenerated key,
   * revokes only that secret.
   * @throws RouterError `key_not_found`
   */
  deleteKey(teamId: string, key: string): Promise<{ deleted_keys: string[] }> {
    return this.#services.keys.delete(teamId, key);
  }

  /**
   * Blocks a key: its requests fail with 403 `key_blocked` until it is unblocked.
   * @throws RouterError `key_not_found`
   */
  blockKey(teamId: string, key: string, actor?: Actor): Promise<KeyView> {
    return this.#services.keys.block(teamId, key, true, actor);
  }

  /**
   * Unblocks a key.
   * @throws RouterError `key_not_found`
   */
  unblockKey(teamId: string, key: string, actor?: Actor): Promise<KeyView> {
    return this.#services.keys.block(teamId, key, false, actor);
  }

  /**
   * Returns a key of the team.
   * @throws RouterError `key_not_found`
   */
  getKey(teamId: string, key: string): Promise<KeyView> {
    return this.#services.keys.get(teamId, key);
  }

  /**
   * Lists all keys of the team.
   * @throws RouterError `team_not_found`
   */
  listKeys(teamId: string): Promise<KeyList> {
    return this.#services.keys.list(teamId);
  }

  /** Lists the keys of one page of all teams, with the pages of `listTeams`. For operators. */
  listAllKeys(options?: { cursor?: string; limit?: number }): Promise<KeyPage> {
    return this.#services.keys.listAll(options);
  }

  /**
   * Returns the team of a key, or `undefined`. For operators.
   * @throws RouterError `key_not_found` for a malformed key
   */
  findKeyTeam(key: string): Promise<{ team_id: string } | undefined> {
    return this.#services.keys.findTeam(key);
  }

  /**
   * Returns the team and the permissions of an API key. Its `{ teamId, models }` is a `Caller`.
   * @throws RouterError `invalid_api_key`, `key_blocked`, `team_blocked`, `storage_unavailable`
   */
  verifyKey(key: string): Promise<TeamPrincipal> {
    return this.#services.verifier.verify(key);
  }

  /**
   * Returns whether a team is blocked; `false` for an unknown team.
   * @throws RouterError `storage_unavailable`
   */
  async isTeamBlocked(teamId: string): Promise<boolean> {
    return (await this.#services.snapshots.get(checkTeamId(teamId)))?.blocked ?? false;
  }
}
