import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RouterError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Snapshots } from '../teams/snapshots.ts';
import type { Affinity } from './affinity.ts';
import { type Answer, asRouterError, errorAnswer } from './answer.ts';
import { type AttemptPlan, attempt } from './attempts.ts';
import { callHeaders } from './call-headers.ts';
import { CallSettings } from './call-settings.ts';
import type { BodyLimits } from './content.ts';
import type { Credentials } from './credentials.ts';
import { withFallbacks } from './fallbacks.ts';
import { answerLocally } from './local.ts';
import { rememberMade, resolvePinned } from './pinning.ts';
import type { Gates } from './pool.ts';
import { type Receipt, ReceiptDraft } from './receipt.ts';
import { type End, type Reply, receive, wholeReply } from './relay.ts';
import { Reporter } from './report.ts';
import { type Call, type ModelRequest, readRequest } from './request.ts';
import { type Caller, type Directory, type Pool, resolve } from './resolve.ts';
import { send, type Transports } from './send.ts';
import { untilAborted } from './until-aborted.ts';

export interface DispatcherOptions {
  snapshots: Snapshots;
  transports: Transports;
  credentials: Credentials;
  affinity: Affinity;
  limits: BodyLimits;
  /** Bytes that a JSON answer may have. */
  maxAnswerBytes: number;
  gates: Gates;
  onCall?: ((receipt: Receipt) => void) | undefined;
  log: Log;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Milliseconds, monotonic. */
  now: () => number;
}

/** One call on its way. */
interface Journey {
  caller: Caller;
  call: Call;
  request: ModelRequest;
  settings: CallSettings;
  receipt: ReceiptDraft;
}

/**
 * The one pipeline that all calls take: resolve, admit, pick a deployment, send with its secret, relay the bytes.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #reporter: Reporter;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#reporter = new Reporter(options.onCall, options.log);
  }

  /** Failures are answers; it rejects only when the caller's own signal aborts. */
  async dispatch(caller: Caller, call: Call): Promise<Answer> {
    const receipt = new ReceiptDraft(randomUUID(), caller.teamId, this.#options.now);
    let reply: Reply;
    try {
      reply = await this.#reply(caller, call, receipt);
    } catch (error) {
      if (call.signal?.aborted) {
        this.#reporter.report(receipt.at(499, 'aborted'));
        throw call.signal.reason;
      }
      if (!RouterError.isInstance(error)) this.#reporter.unforeseen(receipt, error);
      reply = failureReply(asRouterError(error));
    }
    const { answer, open, code, tokens } = reply;
    const begun = receipt.at(answer.status, code, tokens);
    if (!open) this.#reporter.report(begun);
    return { ...answer, headers: { ...answer.headers, ...callHeaders(begun) } };
  }

  async #reply(caller: Caller, call: Call, receipt: ReceiptDraft): Promise<Reply> {
    call.signal?.throwIfAborted();
    const read = readRequest(call, this.#options.limits);
    const request = read instanceof Promise ? await read : read;
    try {
      const found = this.#directory(caller);
      const directory = found instanceof Promise ? await found : found;
      if (request.endpoint.local) return wholeReply(answerLocally(request, caller, directory));
      const settings = new CallSettings(call, directory.team?.settings, this.#options.now, receipt.startedAt);
      for (const name of settings.named) resolve(directory, caller, name);
      return await this.#forward({ caller, call, request, settings, receipt });
    } finally {
      request.release();
    }
  }

  async #forward(journey: Journey): Promise<Reply> {
    const { caller, request, settings, receipt } = journey;
    const outcome = await withFallbacks(
      (name) => attempt(this.#plan(journey, name)),
      settings,
      receipt,
      // What speaks of an account's own objects means that account.
      () => !request.endpoint.stateful && request.references().length === 0 && request.repeatable(),
    );
    receipt.answeredBy(outcome.deployment);
    if ('error' in outcome) throw outcome.error;
    const { deployment, reply } = outcome;
    if (deployment === undefined || request.endpoint.makes.length === 0) return reply;
    const directory = await this.#directory(caller);
    const answer = await rememberMade(this.#options.affinity, directory, request, deployment, reply.answer);
    return { ...reply, answer };
  }

  #plan({ caller, call, request, settings, receipt }: Journey, fallback: string | undefined): AttemptPlan {
    const { gates, random, now } = this.#options;
    const { signal } = call;
    const options = this.#options;
    return {
      resolve: () => this.#pool(caller, request, fallback),
      async send(deployment, cancel, ended) {
        const response = await send(options, deployment, call, request, cancel);
        const { maxAnswerBytes } = options;
        return receive({ deployment, response, stream: request.stream, maxAnswerBytes, cancel, ended });
      },
      gates,
      settings,
      repeatable: request.repeatable,
      random,
      now,
      signal,
      async wait(milliseconds) {
        await untilAborted(sleep(milliseconds), signal);
        receipt.paused(milliseconds);
      },
      attempted: (record) => receipt.attempted(record),
      ended: (end, status) => this.#reporter.report(receipt.at(status, endCode(end), end.tokens)),
    };
  }

  /** Resolves the call's name, or a fallback's, and admits the caller to what it names. */
  #pool(caller: Caller, request: ModelRequest, fallback: string | undefined): Pool | Promise<Pool> {
    const find = (directory: Directory): Pool | Promise<Pool> => {
      if (directory.team?.blocked) throw new RouterError('team_blocked', 'This team is blocked.');
      if (fallback !== undefined) return admit(resolve(directory, caller, fallback));
      const pool = this.#resolve(directory, caller, request);
      return pool instanceof Promise ? pool.then(admit) : admit(pool);
    };
    const admit = (pool: Pool): Pool => {
      const reason = pool.deployments.some(({ teamId }) => teamId === null) ? request.stateful() : undefined;
      if (reason !== undefined) throw new RouterError('stateful_on_shared', reason);
      return pool;
    };
    const directory = this.#directory(caller);
    return directory instanceof Promise ? directory.then(find) : find(directory);
  }

  #resolve(directory: Directory, caller: Caller, request: ModelRequest): Pool | Promise<Pool> {
    const unlessOutOfReach = (error: unknown): never => {
      const unknown = RouterError.isInstance(error) && error.code === 'model_not_found';
      if (!unknown || !this.#options.snapshots.outOfReach) throw error;
      // It may have been added since, where the storage can be reached.
      const message = 'The storage cannot be reached, and this model is not known yet.';
      throw new RouterError('storage_unavailable', message);
    };
    try {
      const pool = resolvePinned(this.#options.affinity, directory, caller, request);
      return pool instanceof Promise ? pool.catch(unlessOutOfReach) : pool;
    } catch (error) {
      return unlessOutOfReach(error);
    }
  }

  // Both look-ups are answered from memory nearly always: then nothing waits.
  #directory(caller: Caller): Directory | Promise<Directory> {
    const team = caller.teamId === null ? undefined : this.#options.snapshots.get(caller.teamId);
    const shared = this.#options.snapshots.get(null);
    if (!(team instanceof Promise) && !(shared instanceof Promise)) return { team, shared };
    return Promise.all([team, shared]).then(([own, common]) => ({ team: own, shared: common }));
  }
}

function failureReply(error: RouterError): Reply {
  return { ...wholeReply(errorAnswer(error)), code: error.code };
}

function endCode({ error, left }: End): string | undefined {
  return error?.code ?? (left ? 'aborted' : undefined);
}
