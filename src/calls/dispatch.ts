import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Transport, TransportResponse } from '../egress/transport.ts';
import { RouterError } from '../errors.ts';
import { addressOf, authHeaders } from '../providers/provider.ts';
import type { Deployment } from '../teams/deployment.ts';
import type { Snapshots } from '../teams/snapshots.ts';
import { type Answer, asRouterError, errorAnswer } from './answer.ts';
import { attempt } from './attempts.ts';
import type { BodyLimits } from './content.ts';
import { answerLocally } from './local.ts';
import { type Receipt, ReceiptDraft } from './receipt.ts';
import { relay } from './relay.ts';
import { type Call, type ModelRequest, readRequest } from './request.ts';
import { type Caller, type Directory, type Pool, resolve, resolveOnly } from './resolve.ts';

export interface DispatcherOptions {
  snapshots: Snapshots;
  /** The ways out: for the teams' deployments, and for the operator's shared ones. */
  transports: { team: Transport; shared: Transport };
  limits: BodyLimits;
  onCall?: ((receipt: Receipt) => void) | undefined;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Milliseconds, monotonic. */
  now: () => number;
}

const defaultTimeoutSeconds = 600;
const defaultIdleSeconds = 120;

/** The caller's headers that go on to the provider; the rest of the request is built from nothing. */
const passedHeaders = ['accept', 'openai-beta', 'idempotency-key'] as const;

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
      send: (deployment) => this.#send(deployment, call, request),
      retries: call.numRetries,
      repeatable: request.repeatable,
      random: this.#options.random,
      now: this.#options.now,
      wait: (milliseconds) => pause(milliseconds, call.signal),
    });
    receipt.took(result);
    if ('error' in result.outcome) throw result.outcome.error;
    const { deployment, response } = result.outcome;
    return await relay(deployment, response, call.signal);
  }

  /** Resolves the call's name, and admits the caller to what it names. */
  #pool(caller: Caller, request: ModelRequest): Pool | Promise<Pool> {
    const admit = (directory: Directory): Pool => {
      if (directory.team?.blocked) throw new RouterError('team_blocked', 'This team is blocked.');
      const pool = this.#resolve(directory, caller, request.name);
      const reason = pool.deployments.some(({ teamId }) => teamId === null) ? request.stateful() : undefined;
      if (reason !== undefined) throw new RouterError('stateful_on_shared', reason);
      return pool;
    };
    const directory = this.#directory(caller);
    return directory instanceof Promise ? directory.then(admit) : admit(directory);
  }

  #resolve(directory: Directory, caller: Caller, name: string | undefined): Pool {
    try {
      return name === undefined ? resolveOnly(directory, caller) : resolve(directory, caller, name);
    } catch (error) {
      const unknown = RouterError.isInstance(error) && error.code === 'model_not_found';
      if (!unknown || !this.#options.snapshots.outOfReach) throw error;
      // It may have been added since, where the storage can be reached.
      throw new RouterError(
        'storage_unavailable',
        'The storage cannot be reached, and this model is not known yet.',
      );
    }
  }

  // Both look-ups are answered from memory nearly always: then nothing waits.
  #directory(caller: Caller): Directory | Promise<Directory> {
    const team = caller.teamId === null ? undefined : this.#options.snapshots.get(caller.teamId);
    const shared = this.#options.snapshots.get(null);
    if (!(team instanceof Promise) && !(shared instanceof Promise)) return { team, shared };
    return Promise.all([team, shared]).then(([own, common]) => ({ team: own, shared: common }));
  }

  /** Sends the call to one deployment, with that deployment's secret: the only place where a secret becomes a header. */
  #send(deployment: Deployment, call: Call, request: ModelRequest): Promise<TransportResponse> {
    const { target, params } = deployment;
    const secrets = deployment.secrets();
    const headers: Record<string, string> = { 'user-agent': 'team-model-router' };
    for (const name of passedHeaders) {
      const value = call.headers.get(name);
      if (value !== null) headers[name] = value;
    }
    if (request.contentType !== null) headers['content-type'] = request.contentType;
    for (const [name, value] of secrets.headers) headers[name] = value;
    Object.assign(headers, authHeaders(target, secrets, params));
    const body = request.bodyFor(deployment);
    const transport =
      deployment.teamId === null ? this.#options.transports.shared : this.#options.transports.team;
    return transport.request({
      method: call.method,
      url: addressOf(target, request.endpoint, request.params, request.query).url,
      headers,
      ...(body === undefined ? {} : { body }),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
      headersTimeoutMs: call.timeoutMs ?? (params.timeout ?? defaultTimeoutSeconds) * 1000,
      bodyTimeoutMs: (params.stream_timeout ?? defaultIdleSeconds) * 1000,
    });
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

function callHeaders(receipt: Receipt): Record<string, string> {
  const headers: Record<string, string> = {
    'x-litellm-call-id': receipt.callId,
    'x-litellm-attempted-retries': String(Math.max(0, receipt.attempts.length - 1)),
    'x-litellm-attempted-fallbacks': '0',
    'x-litellm-response-duration-ms': receipt.milliseconds.toFixed(3),
    'x-litellm-overhead-duration-ms': receipt.overheadMs.toFixed(3),
  };
  if (receipt.deploymentId !== undefined) headers['x-litellm-model-id'] = receipt.deploymentId;
  if (receipt.model !== undefined) headers['x-litellm-model-group'] = headerText(receipt.model);
  return headers;
}

/** A header carries no more than ASCII; a public name may be any text. */
function headerText(text: string): string {
  return /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text) ? text : encodeURIComponent(text);
}
