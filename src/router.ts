import type { OpenAI } from 'openai';
import type { Answer } from './calls/answer.ts';
import type { Call } from './calls/call.ts';
import type { Caller } from './calls/routing/resolve.ts';
import type { TeamHealth } from './calls/routing/team-health.ts';
import type { TestResult } from './calls/upstream/test-answer.ts';
import type { TeamChatCompletion } from './client/chat-completion.ts';
import { type ConnectOptions, connectSocket } from './client/connect.ts';
import { makeTeamClient } from './client/team-client.ts';
import { callDefaults, type TeamCallOptions, teamFetch } from './client/team-fetch.ts';
import type { TeamSocket } from './client/team-socket.ts';
import type { MemoryReservation } from './memory-budget.ts';
import type { CloseOptions, RouterOptions } from './options.ts';
import { RouterManagement } from './router-management.ts';
import type { ModelBody } from './schemas/body-types.ts';
import { createServices, type RouterServices } from './services.ts';
import type { SessionOpening, SessionRequest } from './sessions/service.ts';
import type { Actor } from './teams/management/actor.ts';
import { checkTeamId } from './teams/management/team-service.ts';
import type { RotationOptions, RotationProgress } from './teams/records/key-rotation.ts';

/**
 * Stores the models and provider keys of each team, and sends the OpenAI calls of a team to the team's endpoint
 * with the team's key.
 *
 * @example
 * ```ts
 * const router = new TeamModelRouter({ storage: memoryStorage(), encryptionKeys: [generateEncryptionKey()] });
 * await router.addModel('acme', {
 *   model_name: 'assistant',
 *   litellm_params: { model: 'openai/gpt-4o', api_key: process.env.OPENAI_API_KEY },
 * });
 * const answer = await router.chatCompletion('acme', { model: 'assistant', messages });
 * await router.close();
 * ```
 */
export class TeamModelRouter extends RouterManagement {
  readonly #services: RouterServices;

  /** @throws RouterError `invalid_request` that names the invalid option */
  constructor(options: RouterOptions) {
    const services = createServices(options);
    super(services);
    this.#services = services;
  }

  /**
   * Sends one cheap call to a stored deployment (`{ id }`) or to a new one (a whole body), as a settings page
   * does before it saves. Stores nothing.
   *
   * @throws RouterError like `addModel`; errors of the provider are in `status`
   */
  async testModel(teamId: string, model: ModelBody | { id: string }, actor?: Actor): Promise<TestResult> {
    return this.#services.testModel(checkTeamId(teamId), model, actor);
  }

  /** Tests a shared deployment, like `testModel`. */
  testSharedModel(model: ModelBody | { id: string }): Promise<TestResult> {
    return this.#services.testModel(null, model);
  }

  /**
   * Seals every stored secret again under the primary key (the first of `encryptionKeys`), while other
   * processes read and write. A rotation that was aborted continues when it is called again.
   *
   * @throws RouterError `storage_unavailable`, `conflict`; the signal's reason
   */
  rotateEncryption(options?: RotationOptions): Promise<RotationProgress> {
    return this.#services.rotation.rotate(options);
  }

  /**
   * Counts the stored secrets of each encryption key, by the key's id. A key without secrets may be removed.
   * `?` counts secrets that cannot be read.
   */
  encryptionKeyUsage(options?: { signal?: AbortSignal }): Promise<Record<string, number>> {
    return this.#services.rotation.usage(options);
  }

  /**
   * Returns the team's deployments that are cooling down, with the reasons, as this process has observed them.
   */
  async health(teamId: string): Promise<TeamHealth> {
    return this.#services.health(checkTeamId(teamId));
  }

  /**
   * Checks that the storage responds. With `writes`, also checks by a small put, at most every 5 s, that it
   * accepts writes.
   *
   * @throws RouterError `storage_unavailable`
   */
  checkStorage(options: { writes?: boolean } = {}): Promise<void> {
    return this.#services.checkStorage(options);
  }

  /**
   * Creates a chat completion by the team's model name, with the types, options and errors of the OpenAI
   * client.
   */
  readonly chatCompletion: TeamChatCompletion = ((teamId, ...call) =>
    this.#services.chatCompletion(checkTeamId(teamId), ...call)) as TeamChatCompletion;

  /**
   * Creates an `OpenAI` client whose calls go through the router on behalf of this team. Returns a new client
   * each time.
   */
  forTeam(teamId: string, options: TeamCallOptions = {}): OpenAI {
    const caller = { teamId: checkTeamId(teamId) };
    return makeTeamClient(this.#services.dispatcher, caller, options);
  }

  /**
   * Creates a standard `fetch` whose requests go through the router on behalf of this team. It serves only URLs
   * below `teamBaseUrl`.
   */
  fetchFor(teamId: string, options: TeamCallOptions = {}): typeof fetch {
    const caller = { teamId: checkTeamId(teamId) };
    return teamFetch(this.#services.dispatcher, caller, callDefaults(options));
  }

  /**
   * Opens a WebSocket session as this team: Realtime, the Responses API over WebSockets, or Live. Returns an object with the
   * interface of the standard `WebSocket`. If the session cannot be opened, the `error` of its error event is a RouterError.
   *
   * @throws RouterError `invalid_request` that names the option at fault
   *
   * @example
   * const socket = router.connect('acme', { path: '/v1/realtime', model: 'my-voice-model' });
   * socket.onopen = () => socket.send(JSON.stringify({ type: 'response.create' }));
   * socket.onmessage = ({ data }) => console.log(JSON.parse(data).type);
   */
  connect(teamId: string, options: ConnectOptions): TeamSocket {
    return connectSocket(this.#services.sessions, { teamId: checkTeamId(teamId) }, options);
  }

  /**
   * Opens a session for a server that speaks WebSocket with its client itself. Failures are answers in OpenAI's error
   * shape.
   */
  openSession(caller: Caller, request: SessionRequest): Promise<SessionOpening> {
    return this.#services.sessions.open(caller, request);
  }

  /**
   * Dispatches a raw call, such as a request of a gateway, and returns the raw answer. Errors are answers in
   * OpenAI's error shape. Rejects only if the call's signal aborts.
   *
   * @param caller `teamId: null` calls the shared deployments, as the operator
   */
  dispatch(caller: Caller, call: Call): Promise<Answer> {
    return this.#services.dispatcher.dispatch(caller, call);
  }

  /**
   * Opens a reservation in the budget of bytes in flight, for a server that reads bodies and writes responses
   * itself. Passed to `dispatch` as `reservation`, it counts the bytes that the call holds until the server
   * releases it.
   *
   * @param teamId `null`: the operator
   */
  reserveMemory(teamId: string | null): MemoryReservation {
    return this.#services.budget.open(teamId);
  }

  /**
   * Shuts down gracefully. Rejects new calls and changes with `draining`, waits `drainTimeoutMs` for open ones,
   * and ends the rest with `draining`. Then closes the connections and the storage. A `memoryStorage` loses its
   * content.
   */
  close(options: CloseOptions = {}): Promise<void> {
    return this.#services.close(options);
  }
}
