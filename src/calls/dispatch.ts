import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RouterError } from '../errors.ts';
import type { Snapshots } from '../teams/snapshots.ts';
import type { Affinity } from './affinity.ts';
import { type Answer, asRouterError, errorAnswer } from './answer.ts';
import { attempt } from './attempts.ts';
import { callHeaders } from './call-headers.ts';
import type { BodyLimits } from './content.ts';
import type { Credentials } from './credentials.ts';
import { answerLocally } from './local.ts';
import { rememberMade, resolvePinned } from './pinning.ts';
import { type Receipt, ReceiptDraft } from './receipt.ts';
import { relay } from './relay.ts';
import { type Call, type ModelRequest, readRequest } from './request.ts';
import type { Caller, Directory, Pool } from './resolve.ts';
import { send, type Transports } from './send.ts';

export interface DispatcherOptions {
  snapshots: Snapshots;
  transports: Transports;
  credentials: Credentials;
  affinity: Affinity;
  limits: BodyLimits;
  onCall?: ((receipt: Receipt) => void) | undefined;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Milliseconds, monotonic. */
  now: () => number;
}

/**
 * The one pipeline that all calls take: resolve, admit, pick a deployment, send with its secret, relay the bytes.
 */
export class Dispatcher {
  readonly #options: DispatcherOptions;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Failures are answers; it rejects only when the caller's own signal aborts. */
  async dispatch(caller: Caller, call: Call): Promise<Answer> {
    const receipt = new ReceiptDraft(randomUUID(), caller.teamId, this.#options.now);
    let answer: Answer;
    try {
      answer = await this.#answer(caller, call, receipt);
    } catch (error) {
      if (call.signal?.aborted) {
        this.#report(receipt.finish(499, 'aborted'));
        throw call.signal.reason;
      }
      const failure = asRouterError(error);
      receipt.code = failure.code;
      answer = errorAnswer(failure);
    }
    const finished = receipt.finish(answer.status, receipt.code);
    this.#report(finished);
    return { ...answer, headers: { ...answer.headers, ...callHeaders(finished) } };
  }

  async #answer(caller: Caller, call: Call, receipt: ReceiptDraft): Promise<Answer> {
    call.signal?.throwIfAborted();
    const read = readRequest(call, this.#options.limits);
    const request = read instanceof Promise ? await read : read;
    try {
      return await this.#forward(caller, call, request, receipt);
    } finally {
      request.release();
    }
  }

  async #forward(caller: Caller, call: Call, request: ModelRequest, receipt: ReceiptDraft): Promise<Answer> {
    if (request.endpoint.local) return answerLocally(request, caller, await this.#directory(caller));
    const result = await attempt({
      resolve: () => this.#pool(caller, request),
      send: (deployment) => send(this.#options, deployment, call, request),
      retries: call.numRetries,
      repeatable: request.repeatable,
      random: this.#options.random,
      now: this.#options.now,
      wait: (milliseconds) => pause(milliseconds, call.signal),
    });
    receipt.took(result);
    if ('error' in result.outcome) throw result.outcome.error;
    const { deployment, response } = result.outcome;
    const answer = await relay(deployment, response, call.signal);
    if (request.endpoint.makes.length === 0) return answer;
    return rememberMade(this.#options.affinity, await this.#directory(caller), request, deployment, answer);
  }

  /** Resolves the call's name, and admits the caller to what it names. */
  #pool(caller: Caller, request: ModelRequest): Pool | Promise<Pool> {
    const find = (directory: Directory): Pool | Promise<Pool> => {
      if (directory.team?.blocked) throw new RouterError('team_blocked', 'This team is blocked.');
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

  #report(receipt: Receipt): void {
    try {
      this.#options.onCall?.(receipt);
    } catch {
      // The application's hook never touches the call.
    }
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
}
