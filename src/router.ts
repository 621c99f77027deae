import type { APIPromise, OpenAI } from 'openai';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionCreateParams,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionCreateParamsStreaming,
} from 'openai/resources/chat/completions';
import type { Stream } from 'openai/streaming';
import { Dispatcher } from './calls/dispatch.ts';
import { asCaller, makeSharedClient, makeTeamClient } from './calls/team-client.ts';
import { teamFetch } from './calls/team-fetch.ts';
import { type TestResult, testDeployment } from './calls/test-call.ts';
import { compilePolicy } from './egress/guard.ts';
import { Transport } from './egress/transport.ts';
import { type RouterOptions, readOptions } from './options.ts';
import type { ModelBody, ModelPatch, TeamBody, TeamPatch } from './schemas.ts';
import { KeyRing } from './secrets/keyring.ts';
import { withDeadline } from './storage/deadline.ts';
import type { Storage } from './storage/storage.ts';
import { checkBase } from './teams/check-base.ts';
import { Deployment } from './teams/deployment.ts';
import { ModelManagement } from './teams/model-management.ts';
import { Registry } from './teams/registry.ts';
import { Snapshots } from './teams/snapshots.ts';
import { type Actor, checkTeamId, TeamManagement, type TeamPage } from './teams/team-management.ts';
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
  readonly #storage: Storage;
  readonly #ring: KeyRing;
  readonly #snapshots: Snapshots;
  readonly #teams: TeamManagement;
  readonly #models: ModelManagement;
  readonly #transports: { team: Transport; shared: Transport };
  readonly #dispatcher: Dispatcher;
  readonly #client: OpenAI;
  readonly #maxBodyBytes: number;
  readonly #watching: Promise<(() => Promise<void>) | undefined>;
  #closed: Promise<void> | undefined;

  /** @throws RouterError `invalid_request` that names the option at fault */
  constructor(given: RouterOptions) {
    const options = readOptions(given);
    const policies = {
      team: compilePolicy(options.egress.allow),
      shared: compilePolicy(options.egress.allow, options.egress.allowShared),
    };
    this.#ring = new KeyRing(options.encryptionKeys);
    this.#storage = withDeadline(options.storage, options.storageTimeoutMs);
    this.#snapshots = new Snapshots(this.#storage, this.#ring, { ...options, now: () => performance.now() });
    const registry = new Registry(this.#storage, (teamId) => this.#snapshots.drop(teamId));
    this.#teams = new TeamManagement(registry, this.#storage);
    this.#models = new ModelManagement(registry, this.#storage, this.#ring, {
      teams: options.teams,
      checkBase: (base, shared) => checkBase(shared ? policies.shared : policies.team, base),
    });
    this.#transports = {
      team: new Transport({ policy: policies.team, ...options.transport }),
      shared: new Transport({ policy: policies.shared, ...options.transport }),
    };
    this.#dispatcher = new Dispatcher({
      snapshots: this.#snapshots,
      transports: this.#transports,
      onCall: options.onCall,
      random: options.random,
      now: () => performance.now(),
    });
    this.#maxBodyBytes = options.maxBodyBytes;
    this.#client = makeSharedClient(this.#dispatcher, this.#maxBodyBytes);
    // A storage that cannot be watched now is read again within maxStalenessMs all the same.
    this.#watching = (
      options.storage.watch?.((event) => this.#snapshots.notice(event)) ?? Promise.resolve(undefined)
    ).catch(() => undefined);
  }

  /** Makes a team's record; without `team_id` one is minted. @throws RouterError `already_exists` */
  createTeam(body: TeamBody, actor?: Actor): Promise<TeamView> {
    return this.#teams.create(body, actor);
  }

  /** Only what is sent changes; `null` clears. `models` is the allow-list of shared names. @throws RouterError `team_not_found` */
  updateTeam(teamId: string, patch: TeamPatch, actor?: Actor): Promise<TeamView> {
    return this.#teams.update(teamId, patch, actor);
  }

  /** Its models, keys and aliases go with it. @throws RouterError `team_not_found` */
  deleteTeam(teamId: string): Promise<{ deleted_teams: string[] }> {
    return this.#teams.delete(teamId);
  }

  /** Its calls are answered 403 `team_blocked` until it is unblocked. @throws RouterError `team_not_found` */
  blockTeam(teamId: string, actor?: Actor): Promise<TeamView> {
    return this.#teams.update(teamId, { blocked: true }, actor);
  }

  /** @throws RouterError `team_not_found` */
  unblockTeam(teamId: string, actor?: Actor): Promise<TeamView> {
    return this.#teams.update(teamId, { blocked: false }, actor);
  }

  /** One page of all teams, in no promised order; `limit` from 1 to 1 000, default 100. */
  listTeams(options?: { cursor?: string; limit?: number }): Promise<TeamPage> {
    return this.#teams.list(options);
  }

  /** The team with its `model_aliases` (public name to internal name). @throws RouterError `team_not_found` */
  getTeamInfo(teamId: string): Promise<TeamInfo> {
    return this.#teams.info(teamId);
  }

  /**
   * Adds a deployment under a public name of the team. A second one under the same name joins its pool.
   *
   * @throws RouterError `invalid_request` with the path of the field, `api_base_not_allowed`, `team_not_found`
   * (with `teams: 'explicit'`), `conflict`, `storage_unavailable`
   */
  async addModel(teamId: string, body: ModelBody, actor?: Actor): Promise<ModelView> {
    return this.#models.add(checkTeamId(teamId), body, actor);
  }

  /**
   * Only what is sent changes; `null` clears; a new `model_name` renames. A change of the destination needs the
   * secrets again (`api_key_required`).
   *
   * @throws RouterError `model_not_found`, and as `addModel`
   */
  async updateModel(teamId: string, id: string, patch: ModelPatch, actor?: Actor): Promise<ModelView> {
    return this.#models.update(checkTeamId(teamId), id, patch, actor);
  }

  /** @throws RouterError `model_not_found` */
  async deleteModel(teamId: string, id: string): Promise<{ message: string }> {
    return this.#models.delete(checkTeamId(teamId), id);
  }

  /** Secrets are masked. @throws RouterError `model_not_found` */
  async getModel(teamId: string, id: string): Promise<ModelView> {
    return this.#models.get(checkTeamId(teamId), id);
  }

  /** The team's own deployments, secrets masked; one whose secret does not open is marked `needs_reentry`. */
  async listModels(teamId: string): Promise<ModelList> {
    return this.#models.list(checkTeamId(teamId));
  }

  /** Adds a deployment of the operator's own, for the teams that have its name on their allow-list (`models`). */
  addSharedModel(body: ModelBody, actor?: Actor): Promise<ModelView> {
    return this.#models.add(null, body, actor);
  }

  /** As `updateModel`, for a shared deployment. */
  updateSharedModel(id: string, patch: ModelPatch, actor?: Actor): Promise<ModelView> {
    return this.#models.update(null, id, patch, actor);
  }

  /** @throws RouterError `model_not_found` */
  deleteSharedModel(id: string): Promise<{ message: string }> {
    return this.#models.delete(null, id);
  }

  listSharedModels(): Promise<ModelList> {
    return this.#models.list(null);
  }

  /** For an operator: the team (`null`: shared) that has this deployment, or `undefined`. */
  findModelTeam(id: string): Promise<{ team_id: string | null } | undefined> {
    return this.#models.findTeam(id);
  }

  /**
   * One cheap call to a deployment that is stored (`{ id }`) or about to be (a whole body), as a settings page makes
   * before it saves. Nothing is stored.
   *
   * @throws RouterError as `addModel`; what the provider does is in `status`, never in an error
   */
  async testModel(teamId: string, model: ModelBody | { id: string }): Promise<TestResult> {
    const owner = checkTeamId(teamId);
    const prepared =
      'litellm_params' in model
        ? this.#models.prepareTest(owner, model)
        : await this.#models.stored(owner, model.id);
    if (prepared === undefined) return { status: 'address_not_allowed' };
    const deployment = new Deployment(this.#ring, owner, prepared.name, prepared.deployment);
    return testDeployment(this.#transports.team, deployment);
  }

  /** A chat completion by the team's own model name: the OpenAI client's call, with its types, options and errors. */
  chatCompletion(
    teamId: string,
    body: ChatCompletionCreateParamsNonStreaming,
    options?: OpenAI.RequestOptions,
  ): APIPromise<ChatCompletion>;
  chatCompletion(
    teamId: string,
    body: ChatCompletionCreateParamsStreaming,
    options?: OpenAI.RequestOptions,
  ): APIPromise<Stream<ChatCompletionChunk>>;
  chatCompletion(
    teamId: string,
    body: ChatCompletionCreateParams,
    options?: OpenAI.RequestOptions,
  ): APIPromise<ChatCompletion | Stream<ChatCompletionChunk>>;
  chatCompletion(
    teamId: string,
    body: ChatCompletionCreateParams,
    options?: OpenAI.RequestOptions,
  ): APIPromise<ChatCompletion | Stream<ChatCompletionChunk>> {
    const caller = { teamId: checkTeamId(teamId) };
    return this.#client.chat.completions.create(body, asCaller(caller, options));
  }

  /**
   * A real `OpenAI` client whose every call goes through the router as this team. A fresh one each time: it is
   * mutable, and cheap to make.
   *
   * @param options.defaultModel the public name for calls that name no model, such as files and batches
   */
  forTeam(teamId: string, options: { defaultModel?: string } = {}): OpenAI {
    const caller = { teamId: checkTeamId(teamId) };
    return makeTeamClient(this.#dispatcher, caller, options.defaultModel, this.#maxBodyBytes);
  }

  /**
   * A standard `fetch` whose every request goes through the router as this team, for whatever takes one. It answers
   * under `teamBaseUrl` only.
   */
  fetchFor(teamId: string, options: { defaultModel?: string } = {}): typeof fetch {
    const caller = { teamId: checkTeamId(teamId) };
    const defaults = options.defaultModel === undefined ? {} : { defaultModel: options.defaultModel };
    return teamFetch(this.#dispatcher, caller, defaults, this.#maxBodyBytes);
  }

  /** Closes the connections and the storage; a `memoryStorage` forgets what it holds. Calls and changes after it fail. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const stop = await this.#watching;
    await stop?.();
    await Promise.all([this.#transports.team.close(), this.#transports.shared.close()]);
    await this.#storage.close();
  }
}
