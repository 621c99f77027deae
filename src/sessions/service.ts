import { randomUUID } from 'node:crypto';
import { type Answer, asRouterError, errorAnswer } from '../calls/answer.ts';
import { attempt } from '../calls/attempts/retry.ts';
import { EmptyBody } from '../calls/body/empty-body.ts';
import type { Call, ModelRequest } from '../calls/call.ts';
import type { CallServices } from '../calls/call-context.ts';
import { checkedCaller } from '../calls/dispatcher.ts';
import { ReceiptBuilder } from '../calls/receipt/receipt.ts';
import { addCallHeaders } from '../calls/receipt/response-headers.ts';
import type { BodyEnd } from '../calls/response/relay.ts';
import type { ModelResolver } from '../calls/routing/authorize.ts';
import { CallPolicy } from '../calls/routing/call-policy.ts';
import type { Caller } from '../calls/routing/resolve.ts';
import { RouterError } from '../errors.ts';
import type { MemoryBudget } from '../memory-budget.ts';
import { teamBlocked } from '../teams/team-blocked.ts';
import { checkAccess, keyOf } from './access.ts';
import { modelSpans, parseEvent } from './event-models.ts';
import type { SessionLimits } from './options.ts';
import { matchSession, type SessionMatch } from './paths.ts';
import type { SessionRegistry } from './registry.ts';
import { Session, type Upstream } from './session.ts';
import { type OpenSocket, SessionContext } from './session-context.ts';
import { SessionModels } from './session-models.ts';
import { UpstreamRedactor } from './upstream-redactor.ts';

/**
 * A request for a session, from a socket or from `connect`.
 *
 * @example
 * ```ts
 * const query = new URLSearchParams({ model: 'my-voice-model' });
 * const request: SessionRequest = { path: '/v1/realtime', query, headers: new Headers() };
 * ```
 */
export interface SessionRequest {
  /** Percent-encoded, without the query, with or without `/v1`. */
  path: string;
  query: URLSearchParams;
  headers: { get(name: string): string | null };
  /** The model of a session that names none. */
  defaultModel?: string;
  /** The hash of the key that asks. The session ends when the key is revoked. */
  keyToken?: string;
  signal?: AbortSignal;
}

/**
 * A session that is ready for its client, or the answer to a request that got none.
 *
 * @example
 * ```ts
 * const request = { path: '/v1/realtime', query: new URLSearchParams(), headers: new Headers() };
 * const opening: SessionOpening = await router.openSession({ teamId: 'acme' }, request);
 * if ('answer' in opening) console.log(opening.answer.status);
 * ```
 */
export type SessionOpening = { session: Session } | { answer: Answer };

export interface SessionServices extends CallServices {
  resolver: ModelResolver;
  openSocket: OpenSocket;
  registry: SessionRegistry;
  budget: MemoryBudget;
  limits: SessionLimits;
}

/** Opens sessions. Each one is a call that lasts: it takes the same stages as any other, and has one receipt. */
export class SessionService {
  readonly #services: SessionServices;

  constructor(services: SessionServices) {
    this.#services = services;
  }

  /**
   * Opens a session. The provider's socket is open when it resolves, unless the first event has to name the model.
   * Failures are answers; it rejects only with the reason of the request's own signal.
   */
  async open(given: Caller, request: SessionRequest): Promise<SessionOpening> {
    const { reporter, now } = this.#services;
    let caller: Caller;
    let receipt: ReceiptBuilder | undefined;
    try {
      caller = checkedCaller(given);
      receipt = new ReceiptBuilder(randomUUID(), caller.teamId, now, reporter.context());
      return await new OpeningSession(this.#services, caller, request, receipt).begin();
    } catch (error) {
      request.signal?.throwIfAborted();
      if (receipt !== undefined && !RouterError.isInstance(error)) reporter.unforeseen(receipt, error);
      const known = asRouterError(error);
      const answer = errorAnswer(known);
      if (receipt !== undefined) {
        const snapshot = receipt.snapshot(answer.status, known.code);
        addCallHeaders(answer.headers, snapshot);
        reporter.finish(receipt, snapshot, known.hint);
      }
      return { answer };
    }
  }
}

/** Thrown if the provider refuses the handshake, with the answer for the caller. */
class RefusedHandshake extends RouterError {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super('provider_unreachable', 'The provider refused to open the session.');
    this.answer = answer;
  }
}

class OpeningSession {
  readonly #services: SessionServices;
  readonly #caller: Caller;
  readonly #request: SessionRequest;
  readonly #receipt: ReceiptBuilder;
  readonly #match: SessionMatch;
  #release: () => void = () => {};

  /** @throws RouterError `not_found` */
  constructor(services: SessionServices, caller: Caller, request: SessionRequest, receipt: ReceiptBuilder) {
    const match = matchSession(request.path);
    if (match === undefined)
      throw new RouterError('not_found', `There is no WebSocket at ${request.path.slice(0, 256)}.`);
    this.#services = services;
    this.#caller = caller;
    this.#request = request;
    this.#receipt = receipt;
    this.#match = match;
  }

  async begin(): Promise<SessionOpening> {
    const { work, registry, budget, limits, now } = this.#services;
    work.enter();
    let leave = () => {};
    const reservation = budget.open(this.#caller.teamId);
    let released = false;
    this.#release = () => {
      if (released) return;
      released = true;
      leave();
      reservation.release();
      work.leave();
    };
    try {
      leave = registry.enter(this.#caller.teamId);
      const name = this.#named();
      const isLate = name === undefined && this.#match.lateModel;
      // A blocked team is refused before the upgrade, also where the model is not known yet.
      if (isLate) await this.#checkCaller();
      const upstream = isLate ? undefined : await this.#connect(name ?? this.#request.defaultModel);
      const session = new Session(
        {
          limits,
          reservation,
          now,
          openLate: (event) => this.#connectLate(event),
          released: (ended, end) => this.#ended(ended, end),
        },
        upstream,
      );
      registry.add(session);
      return { session };
    } catch (error) {
      this.#release();
      if (error instanceof RefusedHandshake) return { answer: error.answer };
      throw error;
    }
  }

  #ended(session: Session, { error, left }: BodyEnd): void {
    const { registry, reporter } = this.#services;
    registry.delete(session);
    this.#release();
    // Reported already if the provider's socket was open.
    const code = error?.code ?? (left ? 'aborted' : undefined);
    reporter.finish(this.#receipt, this.#receipt.snapshot(101, code), error?.hint);
  }

  /** Returns the model that the request itself names. */
  #named(): string | undefined {
    const { query, headers } = this.#request;
    const inQuery = query.get('deployment') ?? query.get('model');
    return this.#match.pathModel ?? inQuery ?? headers.get('x-team-model') ?? undefined;
  }

  async #checkCaller(): Promise<void> {
    const models = await this.#services.resolver.visibleModels(this.#caller);
    if (models.team?.blocked) throw teamBlocked();
  }

  /** @throws RouterError `invalid_request` without `param` if the event is no JSON object */
  async #connectLate(event: string): Promise<Upstream> {
    parseEvent(event);
    const named = modelSpans(event).find(({ nested }) => !nested);
    try {
      return await this.#connect(named?.name ?? this.#request.defaultModel);
    } catch (error) {
      if (!(error instanceof RefusedHandshake)) throw error;
      const body = error.answer.body;
      const text = body instanceof Uint8Array ? Buffer.from(body).toString('utf8') : '';
      throw new RouterError('provider_unreachable', messageIn(text) ?? error.message);
    }
  }

  async #connect(model: string | undefined): Promise<Upstream> {
    const { resolver, now, limits } = this.#services;
    const { endpoint } = this.#match;
    const { headers, signal } = this.#request;
    const query = new URLSearchParams(this.#request.query);
    const callId = query.get('call_id');
    const call: Call = {
      method: 'GET',
      path: this.#request.path,
      query,
      headers,
      timeoutMs: limits.handshakeTimeoutMs,
      ...(signal === undefined ? {} : { signal }),
    };
    const request: ModelRequest = {
      endpoint,
      params: callId === null ? this.#match.params : { ...this.#match.params, call_id: callId },
      query,
      model,
      explicitModel: model !== undefined,
      body: new EmptyBody(endpoint, 'GET'),
    };
    const models = await resolver.visibleModels(this.#caller);
    const policy = new CallPolicy(call, models.team?.settings, now, now());
    const context = new SessionContext(
      {
        services: this.#services,
        caller: this.#caller,
        call,
        request,
        policy,
        receipt: this.#receipt,
        models,
        release: () => this.#release(),
      },
      this.#services.openSocket,
    );
    const { outcome, name } = await attempt(context, undefined);
    this.#receipt.setRequestedModel(name);
    this.#receipt.setDeployment(outcome.deployment);
    if ('error' in outcome) throw outcome.error;
    const { deployment, reply } = outcome;
    const { socket, finish } = context;
    if (socket === undefined || finish === undefined || deployment === undefined) {
      const snapshot = this.#receipt.snapshot(reply.answer.status, reply.code, reply.report);
      addCallHeaders(reply.answer.headers, snapshot);
      this.#services.reporter.finish(this.#receipt, snapshot);
      throw new RefusedHandshake(reply.answer);
    }
    const transcribes = query.get('intent') === 'transcription';
    const translated = new SessionModels(context.models, this.#caller, deployment, transcribes);
    const redactor = new UpstreamRedactor(deployment, context.tokens);
    const key = keyOf(context.models.team, this.#request.keyToken);
    return {
      socket,
      models: translated,
      redact: (text) => redactor.redact(text),
      finish,
      check: async () => {
        const found = await resolver.visibleModels(this.#caller);
        translated.caller = checkAccess(found, this.#caller, deployment, key);
        translated.models = found;
      },
    };
  }
}

/** Returns the message of an error body. */
function messageIn(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown } };
    return typeof error?.message === 'string' ? error.message : undefined;
  } catch {
    return undefined;
  }
}
