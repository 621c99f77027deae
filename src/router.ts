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
 * Keeps each team's own models and provider keys, and sends every OpenAI call of a team out with that team's key
 * to that team's endpoint.
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

  /** @throws RouterError `invalid_request` that names the option at fault */
  constructor(options: RouterOptions) {
    const services = createServices(options);
    super(services);
    this.#services = services;
  }

  /**
   * One cheap call to a deployment that is stored (`{ id }`) or about to be (a whole body), as a settings page makes
   * before it saves. Nothing is stored.
   *
   * @throws RouterError as `addModel`; what the provider does is in `status`, never in an error
   */
  async testModel(teamId: string, model: ModelBody | { id: string }, actor?: Actor): Promise<TestResult> {
    return this.#services.testModel(checkTeamId(teamId), model, actor);
  }

  /** As `testModel`, for a shared deployment. */
  testSharedModel(model: ModelBody | { id: string }): Promise<TestResult> {
    return this.#services.testModel(null, model);
  }

  /**
   * Seals every stored secret anew under the primary key (the first of `encryptionKeys`), while others call and write.
   * One that was ended, or died, goes on where it was when it is called again.
   *
   * @throws RouterError `storage_unavailable`, `conflict`; the signal's reason
   */
  rotateEncryption(options?: RotationOptions): Promise<RotationProgress> {
    return this.#services.rotation.rotate(options);
  }

  /** How many stored secrets each key has sealed, by its id: one that is not named may go. `?` counts what cannot be read. */
  encryptionKeyUsage(options?: { signal?: AbortSignal }): Promise<Record<string, number>> {
    return this.#services.rotation.usage(options);
  }

  /** Which of the team's deployments cool down, and why, as this process has seen them. */
  async health(teamId: string): Promise<TeamHealth> {
    return this.#services.health(checkTeamId(teamId));
  }

  /** Whether the storage answers; with `writes`, by a small put at most every 5 s, also whether it can be written. @throws RouterError `storage_unavailable` */
  checkStorage(options: { writes?: boolean } = {}): Promise<void> {
    return this.#services.checkStorage(options);
  }

  /** A chat completion by the team's own model name: the OpenAI client's call, with its types, options and errors. */
  readonly chatCompletion: TeamChatCompletion = ((teamId, ...call) =>
    this.#services.chatCompletion(checkTeamId(teamId), ...call)) as TeamChatCompletion;

  /** A real `OpenAI` client whose every call goes through the router as this team; a fresh one each time. */
  forTeam(teamId: string, options: TeamCallOptions = {}): OpenAI {
    const caller = { teamId: checkTeamId(teamId) };
    return makeTeamClient(this.#services.dispatcher, caller, options);
  }

  /**
   * A standard `fetch` whose every request goes through the router as this team, for whatever takes one. It answers
   * under `teamBaseUrl` only.
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
   * The pipeline itself, raw: what a gateway hands a request to, and whose answer it pipes back. Failures are answers
   * in OpenAI's error shape; it rejects only when the call's own signal aborts.
   *
   * @param caller `teamId: null` calls the shared deployments, as the operator
   */
  dispatch(caller: Caller, call: Call): Promise<Answer> {
    return this.#services.dispatcher.dispatch(caller, call);
  }

  /**
   * Opens a reservation in the budget of bytes in flight, for a server that reads bodies and writes answers itself: given to
   * `dispatch` as `reservation`, it counts what the call holds until the server releases it.
   *
   * @param teamId `null`: the operator
   */
  reserveMemory(teamId: string | null): MemoryReservation {
    return this.#services.budget.open(teamId);
  }

  /**
   * Refuses new calls and changes with `draining`, gives the open ones `drainTimeoutMs` to end, and ends the rest with
   * `draining`. Then closes the connections and the storage; a `memoryStorage` forgets what it holds.
   */
  close(options: CloseOptions = {}): Promise<void> {
    return this.#services.close(options);
  }
}
