import type { OpenAI } from 'openai';
import type { Answer } from './calls/answer.ts';
import type { TeamChatCompletion } from './calls/chat-completion.ts';
import type { MemoryReservation } from './calls/memory-budget.ts';
import type { Call } from './calls/request.ts';
import type { Caller } from './calls/resolve.ts';
import { makeTeamClient } from './calls/team-client.ts';
import { callDefaults, type TeamCallOptions, teamFetch } from './calls/team-fetch.ts';
import type { TeamHealth } from './calls/team-health.ts';
import type { TestResult } from './calls/test-call.ts';
import { compose, type Rooms } from './compose.ts';
import type { RouterOptions } from './options.ts';
import type { KeyBody, KeyPatch, ModelBody, ModelPatch, TeamBody, TeamPatch } from './schemas.ts';
import type { KeyPage } from './teams/key-management.ts';
import type { VerifiedKey } from './teams/key-verifier.ts';
import type { KeyView } from './teams/keys.ts';
import type { RotationOptions, RotationProgress } from './teams/rotation.ts';
import { type Actor, checkTeamId, type TeamPage } from './teams/team-management.ts';
import type { ModelList, ModelView, TeamInfo, TeamView } from './teams/views.ts';

/**
 * Keeps each team's own models and provider keys, and sends every OpenAI call of a team out with that team's key
 * to that team's endpoint.
 *
 * @example
 * const router = new TeamModelRouter({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });
 * await router.addModel('acme', {
 *   model_name: 'my-team-model',
 *   litellm_params: { model: 'openai/gpt-4o', api_key: process.env.ACME_KEY },
 * });
 * const answer = await router.chatCompletion('acme', {
 *   model: 'my-team-model',
 *   messages: [{ role: 'user', content: 'Hello' }],
 * });
 */
export class TeamModelRouter {
  readonly #rooms: Rooms;
  #closed: Promise<void> | undefined;

  /** @throws RouterError `invalid_request` that names the option at fault */
  constructor(options: RouterOptions) {
    this.#rooms = compose(options);
  }

  /** Makes a team's record; without `team_id` one is minted. @throws RouterError `already_exists` */
  createTeam(body: TeamBody, actor?: Actor): Promise<TeamView> {
    return this.#rooms.teams.create(body, actor);
  }

  /** Only what is sent changes; `null` clears. `models` is the allow-list of shared names. @throws RouterError `team_not_found` */
  updateTeam(teamId: string, patch: TeamPatch, actor?: Actor): Promise<TeamView> {
    return this.#rooms.teams.update(teamId, patch, actor);
  }

  /** Its models, keys and aliases go with it. @throws RouterError `team_not_found` */
  deleteTeam(teamId: string): Promise<{ deleted_teams: string[] }> {
    return this.#rooms.teams.delete(teamId);
  }

  /** Its calls are answered 403 `team_blocked` until it is unblocked. @throws RouterError `team_not_found` */
  blockTeam(teamId: string, actor?: Actor): Promise<TeamView> {
    return this.#rooms.teams.update(teamId, { blocked: true }, actor);
  }

  /** @throws RouterError `team_not_found` */
  unblockTeam(teamId: string, actor?: Actor): Promise<TeamView> {
    return this.#rooms.teams.update(teamId, { blocked: false }, actor);
  }

  /** For an operator: the stored text of a team's record, readable or not; secrets in it stay sealed. @throws RouterError `team_not_found` */
  exportTeam(teamId: string): Promise<{ team_id: string; record: string }> {
    return this.#rooms.teams.export(teamId);
  }

  /** Adds shared names to the team's allow-list. @throws RouterError `team_not_found` */
  allowSharedModels(teamId: string, names: readonly string[], actor?: Actor): Promise<TeamView> {
    return this.#rooms.teams.changeAllowed(teamId, { add: names }, actor);
  }

  /** @throws RouterError `team_not_found` */
  disallowSharedModels(teamId: string, names: readonly string[], actor?: Actor): Promise<TeamView> {
    return this.#rooms.teams.changeAllowed(teamId, { remove: names }, actor);
  }

  /** One page of all teams, in no promised order; `limit` from 1 to 1 000, default 100. */
  listTeams(options?: { cursor?: string; limit?: number }): Promise<TeamPage> {
    return this.#rooms.teams.list(options);
  }

  /** The team with its `model_aliases` (public name to internal name). @throws RouterError `team_not_found` */
  getTeamInfo(teamId: string): Promise<TeamInfo> {
    return this.#rooms.teams.info(teamId);
  }

  /**
   * Adds a deployment under a public name of the team. A second one under the same name joins its pool.
   * @throws RouterError `invalid_request` with the path of the field, `api_base_not_allowed`, `team_not_found`
   * (with `teams: 'explicit'`), `conflict`, `storage_unavailable`
   */
  async addModel(teamId: string, body: ModelBody, actor?: Actor): Promise<ModelView> {
    return this.#rooms.models.add(checkTeamId(teamId), body, actor);
  }

  /**
   * Only what is sent changes; `null` clears; a new `model_name` renames. A change of the destination needs the
   * secrets again (`api_key_required`).
   * @throws RouterError `model_not_found`, and as `addModel`
   */
  async updateModel(teamId: string, id: string, patch: ModelPatch, actor?: Actor): Promise<ModelView> {
    return this.#rooms.models.update(checkTeamId(teamId), id, patch, actor);
  }

  /** @throws RouterError `model_not_found` */
  async deleteModel(teamId: string, id: string, actor?: Actor): Promise<{ message: string }> {
    return this.#rooms.models.delete(checkTeamId(teamId), id, actor);
  }

  /** Secrets are masked. @throws RouterError `model_not_found` */
  async getModel(teamId: string, id: string): Promise<ModelView> {
    return this.#rooms.models.get(checkTeamId(teamId), id);
  }

  /** The team's own deployments, secrets masked; one whose secret does not open is marked `needs_reentry`. */
  async listModels(teamId: string): Promise<ModelList> {
    return this.#rooms.models.list(checkTeamId(teamId));
  }

  /** Adds a deployment of the operator's own, for the teams that have its name on their allow-list (`models`). */
  addSharedModel(body: ModelBody, actor?: Actor): Promise<ModelView> {
    return this.#rooms.models.add(null, body, actor);
  }

  /** As `updateModel`, for a shared deployment. */
  updateSharedModel(id: string, patch: ModelPatch, actor?: Actor): Promise<ModelView> {
    return this.#rooms.models.update(null, id, patch, actor);
  }

  /** @throws RouterError `model_not_found` */
  deleteSharedModel(id: string): Promise<{ message: string }> {
    return this.#rooms.models.delete(null, id);
  }

  listSharedModels(): Promise<ModelList> {
    return this.#rooms.models.list(null);
  }

  /** For an operator: the team (`null`: shared) that has this deployment, or `undefined`. */
  findModelTeam(id: string): Promise<{ team_id: string | null } | undefined> {
    return this.#rooms.models.findTeam(id);
  }

  /**
   * One cheap call to a deployment that is stored (`{ id }`) or about to be (a whole body), as a settings page makes
   * before it saves. Nothing is stored.
   *
   * @throws RouterError as `addModel`; what the provider does is in `status`, never in an error
   */
  async testModel(teamId: string, model: ModelBody | { id: string }, actor?: Actor): Promise<TestResult> {
    return this.#rooms.testModel(checkTeamId(teamId), model, actor);
  }

  /** As `testModel`, for a shared deployment. */
  testSharedModel(model: ModelBody | { id: string }): Promise<TestResult> {
    return this.#rooms.testModel(null, model);
  }

  /**
   * Makes an API key of the team, for the gateway and for `verifyKey`. `key` is shown here and never again: its
   * SHA-256 is what is stored.
   *
   * @throws RouterError `invalid_request`, `team_not_found` (with `teams: 'explicit'`)
   */
  createKey(teamId: string, body: KeyBody = {}, actor?: Actor): Promise<KeyView & { key: string }> {
    return this.#rooms.keys.create(teamId, body, actor);
  }

  /** Only what is sent changes; `null` clears. @param key the key, or its hash. @throws RouterError `key_not_found` */
  async updateKey(teamId: string, key: string, patch: KeyPatch, actor?: Actor): Promise<KeyView> {
    return this.#rooms.keys.update(teamId, key, patch, actor);
  }

  /** Revokes it: the very next call with it in this process is refused. @throws RouterError `key_not_found` */
  deleteKey(teamId: string, key: string): Promise<{ deleted_keys: string[] }> {
    return this.#rooms.keys.delete(teamId, key);
  }

  /** It is answered 403 `key_blocked` until it is unblocked. @throws RouterError `key_not_found` */
  blockKey(teamId: string, key: string, actor?: Actor): Promise<KeyView> {
    return this.#rooms.keys.block(teamId, key, true, actor);
  }

  /** @throws RouterError `key_not_found` */
  unblockKey(teamId: string, key: string, actor?: Actor): Promise<KeyView> {
    return this.#rooms.keys.block(teamId, key, false, actor);
  }

  /** @throws RouterError `key_not_found` */
  getKey(teamId: string, key: string): Promise<KeyView> {
    return this.#rooms.keys.get(teamId, key);
  }

  /** @throws RouterError `team_not_found` */
  listKeys(teamId: string): Promise<KeyView[]> {
    return this.#rooms.keys.list(teamId);
  }

  /** For an operator: the keys of one page of all teams, as `listTeams` pages them. */
  listAllKeys(options?: { cursor?: string; limit?: number }): Promise<KeyPage> {
    return this.#rooms.keys.listAll(options);
  }

  /** For an operator: the team that has this key, or `undefined`. @throws RouterError `key_not_found` for no key at all */
  findKeyTeam(key: string): Promise<{ team_id: string } | undefined> {
    return this.#rooms.keys.findTeam(key);
  }

  /**
   * Who a key speaks for, and what it may do: `{ teamId, models? }` of it is a `Caller`.
   *
   * @throws RouterError `invalid_api_key`, `key_blocked`, `team_blocked`, `storage_unavailable`
   */
  async verifyKey(key: string): Promise<VerifiedKey> {
    return this.#rooms.verifier.verify(key);
  }

  /** `false` for a team that is not there. @throws RouterError `storage_unavailable` */
  async isTeamBlocked(teamId: string): Promise<boolean> {
    return (await this.#rooms.snapshots.get(checkTeamId(teamId)))?.blocked ?? false;
  }

  /**
   * Seals every stored secret anew under the primary key (the first of `encryptionKeys`), while others call and write.
   * One that was ended, or died, goes on where it was when it is called again.
   *
   * @throws RouterError `storage_unavailable`, `conflict`; the signal's reason
   */
  rotateEncryption(options?: RotationOptions): Promise<RotationProgress> {
    return this.#rooms.rotation.rotate(options);
  }

  /** How many stored secrets each key has sealed, by its id: one that is not named may go. `?` counts what cannot be read. */
  encryptionKeyUsage(options?: { signal?: AbortSignal }): Promise<Record<string, number>> {
    return this.#rooms.rotation.usage(options);
  }

  /** Which of the team's deployments cool down, and why, as this process has seen them. */
  async health(teamId: string): Promise<TeamHealth> {
    return this.#rooms.health(checkTeamId(teamId));
  }

  /** Whether the storage answers. @throws RouterError `storage_unavailable` */
  async checkStorage(): Promise<void> {
    await this.#rooms.storage.get('shared');
  }

  /** A chat completion by the team's own model name: the OpenAI client's call, with its types, options and errors. */
  readonly chatCompletion: TeamChatCompletion = ((teamId, ...call) =>
    this.#rooms.chatCompletion(checkTeamId(teamId), ...call)) as TeamChatCompletion;

  /** A real `OpenAI` client whose every call goes through the router as this team; a fresh one each time. */
  forTeam(teamId: string, options: TeamCallOptions = {}): OpenAI {
    const caller = { teamId: checkTeamId(teamId) };
    return makeTeamClient(this.#rooms.dispatcher, caller, options);
  }

  /**
   * A standard `fetch` whose every request goes through the router as this team, for whatever takes one. It answers
   * under `teamBaseUrl` only.
   */
  fetchFor(teamId: string, options: TeamCallOptions = {}): typeof fetch {
    const caller = { teamId: checkTeamId(teamId) };
    return teamFetch(this.#rooms.dispatcher, caller, callDefaults(options));
  }

  /**
   * The pipeline itself, raw: what a gateway hands a request to, and whose answer it pipes back. Failures are answers
   * in OpenAI's error shape; it rejects only when the call's own signal aborts.
   *
   * @param caller `teamId: null` calls the shared deployments, as the operator
   */
  dispatch(caller: Caller, call: Call): Promise<Answer> {
    return this.#rooms.dispatcher.dispatch(caller, call);
  }

  /**
   * Opens a reservation in the budget of bytes in flight, for a server that reads bodies and writes answers itself: given to
   * `dispatch` as `reservation`, it counts what the call holds until the server releases it.
   *
   * @param teamId `null`: the operator
   */
  reserveMemory(teamId: string | null): MemoryReservation {
    return this.#rooms.budget.open(teamId);
  }

  /** Closes the connections and the storage; a `memoryStorage` forgets what it holds. Calls and changes after it fail. */
  close(): Promise<void> {
    this.#closed ??= this.#rooms.close();
    return this.#closed;
  }
}
