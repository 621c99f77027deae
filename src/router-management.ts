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

  /** Makes a team's record; without `team_id` one is minted. @throws RouterError `already_exists` */
  createTeam(body: TeamBody, actor?: Actor): Promise<TeamView> {
    return this.#services.teams.create(body, actor);
  }

  /** Only what is sent changes; `null` clears. `models` is the allow-list of shared names. @throws RouterError `team_not_found` */
  updateTeam(teamId: string, patch: TeamPatch, actor?: Actor): Promise<TeamView> {
    return this.#services.teams.update(teamId, patch, actor);
  }

  /** Its models, keys and aliases go with it. @throws RouterError `team_not_found` */
  deleteTeam(teamId: string): Promise<{ deleted_teams: string[] }> {
    return this.#services.teams.delete(teamId);
  }

  /** Its calls are answered 403 `team_blocked` until it is unblocked. @throws RouterError `team_not_found` */
  blockTeam(teamId: string, actor?: Actor): Promise<TeamView> {
    return this.#services.teams.update(teamId, { blocked: true }, actor);
  }

  /** @throws RouterError `team_not_found` */
  unblockTeam(teamId: string, actor?: Actor): Promise<TeamView> {
    return this.#services.teams.update(teamId, { blocked: false }, actor);
  }

  /**
   * For an operator: the stored text of a team's record (`null`: of the shared models), readable or not; secrets in it stay sealed.
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

  /** Adds shared names to the team's allow-list. @throws RouterError `team_not_found` */
  allowSharedModels(teamId: string, names: readonly string[], actor?: Actor): Promise<TeamView> {
    return this.#services.teams.changeAllowed(teamId, { add: names }, actor);
  }

  /** @throws RouterError `team_not_found` */
  disallowSharedModels(teamId: string, names: readonly string[], actor?: Actor): Promise<TeamView> {
    return this.#services.teams.changeAllowed(teamId, { remove: names }, actor);
  }

  /** One page of all teams, in no promised order. `cursor` of the answer leads to the next page, and is absent on the last. */
  listTeams(options?: ListTeamsOptions): Promise<TeamPage> {
    return this.#services.teams.list(options);
  }

  /** The team with its `model_aliases` (public name to internal name). @throws RouterError `team_not_found` */
  getTeamInfo(teamId: string): Promise<TeamInfo> {
    return this.#services.teams.info(teamId);
  }

  /**
   * Adds a deployment under a public name of the team. A second one under the same name joins its pool; with `unique` it is refused.
   * @throws RouterError `invalid_request` with the path of the field, `api_base_not_allowed`, `team_not_found`
   * (with `teams: 'explicit'`), `already_exists` (with `unique`), `conflict`, `storage_unavailable`
   */
  async addModel(teamId: string, body: ModelBody, options?: ModelOptions): Promise<ModelView> {
    return this.#services.models.add(checkTeamId(teamId), body, options);
  }

  /**
   * Only what is sent changes; `null` clears; a new `model_name` renames. A change of the destination needs the
   * secrets again (`api_key_required`).
   * @throws RouterError `model_not_found`, and as `addModel`
   */
  async updateModel(
    teamId: string,
    id: string,
    patch: ModelPatch,
    options?: ModelOptions,
  ): Promise<ModelView> {
    return this.#services.models.update(checkTeamId(teamId), id, patch, options);
  }

  /** @throws RouterError `model_not_found` */
  async deleteModel(teamId: string, id: string, actor?: Actor): Promise<{ message: string }> {
    return this.#services.models.delete(checkTeamId(teamId), id, actor);
  }

  /** Secrets are masked. @throws RouterError `model_not_found` */
  async getModel(teamId: string, id: string): Promise<ModelView> {
    return this.#services.models.get(checkTeamId(teamId), id);
  }

  /** The team's own deployments, secrets masked; one whose secret does not open is marked `needs_reentry`. */
  async listModels(teamId: string): Promise<ModelList> {
    return this.#services.models.list(checkTeamId(teamId));
  }

  /**
   * The public names that a caller may use, the team's own and the shared ones, with what is known of each.
   *
   * @param caller `teamId: null` for the operator, who has the shared ones; `models` restricts it, as in calls
   */
  listModelGroups(caller: Caller): Promise<ModelGroupList> {
    return this.#services.models.listGroups(caller);
  }

  /** Adds a deployment of the operator's own, for the teams that have its name on their allow-list (`models`). */
  addSharedModel(body: ModelBody, options?: ModelOptions): Promise<ModelView> {
    return this.#services.models.add(null, body, options);
  }

  /** As `updateModel`, for a shared deployment. */
  updateSharedModel(id: string, patch: ModelPatch, options?: ModelOptions): Promise<ModelView> {
    return this.#services.models.update(null, id, patch, options);
  }

  /** @throws RouterError `model_not_found` */
  deleteSharedModel(id: string): Promise<{ message: string }> {
    return this.#services.models.delete(null, id);
  }

  listSharedModels(): Promise<ModelList> {
    return this.#services.models.list(null);
  }

  /** For an operator: the team (`null`: shared) that has this deployment, or `undefined`. */
  findModelTeam(id: string): Promise<{ team_id: string | null } | undefined> {
    return this.#services.models.findTeam(id);
  }

  /**
   * Makes an API key of the team, for the gateway and for `verifyKey`. `key` is shown here and never again: its
   * SHA-256 is what is stored.
   *
   * @throws RouterError `invalid_request`, `team_not_found` (with `teams: 'explicit'`)
   */
  createKey(teamId: string, body: KeyBody = {}, actor?: Actor): Promise<NewKey> {
    return this.#services.keys.create(teamId, body, actor);
  }

  /**
   * Gives a key a new secret, which is shown here and never again. The rest of it stays, but for what is sent.
   *
   * @param key the key, or its hash
   * @param fields `grace_period`, such as `1d`: how long the old secret stays valid. Without it every older one ends now.
   * @throws RouterError `key_not_found`, `invalid_request`
   */
  regenerateKey(teamId: string, key: string, fields: KeyRegeneration = {}, actor?: Actor): Promise<NewKey> {
    return this.#services.keys.regenerate(teamId, key, fields, actor);
  }

  /** Only what is sent changes; `null` clears. @param key the key, or its hash. @throws RouterError `key_not_found` */
  async updateKey(teamId: string, key: string, patch: KeyPatch, actor?: Actor): Promise<KeyView> {
    return this.#services.keys.update(teamId, key, patch, actor);
  }

  /** Revokes it: the very next call with it in this process is refused. Of a regenerated key an old secret is revoked alone. @throws RouterError `key_not_found` */
  deleteKey(teamId: string, key: string): Promise<{ deleted_keys: string[] }> {
    return this.#services.keys.delete(teamId, key);
  }

  /** It is answered 403 `key_blocked` until it is unblocked. @throws RouterError `key_not_found` */
  blockKey(teamId: string, key: string, actor?: Actor): Promise<KeyView> {
    return this.#services.keys.block(teamId, key, true, actor);
  }

  /** @throws RouterError `key_not_found` */
  unblockKey(teamId: string, key: string, actor?: Actor): Promise<KeyView> {
    return this.#services.keys.block(teamId, key, false, actor);
  }

  /** @throws RouterError `key_not_found` */
  getKey(teamId: string, key: string): Promise<KeyView> {
    return this.#services.keys.get(teamId, key);
  }

  /** All keys of the team. @throws RouterError `team_not_found` */
  listKeys(teamId: string): Promise<KeyList> {
    return this.#services.keys.list(teamId);
  }

  /** For an operator: the keys of one page of all teams, as `listTeams` pages them. */
  listAllKeys(options?: { cursor?: string; limit?: number }): Promise<KeyPage> {
    return this.#services.keys.listAll(options);
  }

  /** For an operator: the team that has this key, or `undefined`. @throws RouterError `key_not_found` for no key at all */
  findKeyTeam(key: string): Promise<{ team_id: string } | undefined> {
    return this.#services.keys.findTeam(key);
  }

  /**
   * Returns the team that an API key speaks for, and what the key may do. `{ teamId, models }` of it is a `Caller`.
   *
   * @throws RouterError `invalid_api_key`, `key_blocked`, `team_blocked`, `storage_unavailable`
   */
  verifyKey(key: string): Promise<TeamPrincipal> {
    return this.#services.verifier.verify(key);
  }

  /** `false` for a team that is not there. @throws RouterError `storage_unavailable` */
  async isTeamBlocked(teamId: string): Promise<boolean> {
    return (await this.#services.snapshots.get(checkTeamId(teamId)))?.blocked ?? false;
  }
}
