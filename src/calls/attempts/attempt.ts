import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { endOf } from '../abort/call-signal.ts';
import { Cancel } from '../abort/cancel.ts';
import { discard } from '../answer.ts';
import type { CallContext } from '../call-context.ts';
import type { AttemptRecord } from '../receipt/receipt.ts';
import type { StreamError } from '../response/events/stream-error.ts';
import { RedirectError } from '../response/failures.ts';
import type { BodyEnd, CallResult } from '../response/relay.ts';
import type { Failure } from '../routing/circuit.ts';
import type { Classification, HealthSignal, RetryDecision } from '../upstream/classify-answer.ts';
import type { SignedResponse } from '../upstream/credentials.ts';
import { faultOf } from '../upstream/provider-message.ts';
import { type AttemptEnd, meterAttempt } from './meter-attempt.ts';

/** How an attempt ended: the provider answered, or could not be asked. */
export type Outcome = { decision: RetryDecision; deployment?: Deployment } & (
  | { reply: CallResult }
  | { error: RouterError }
);

/**
 * Runs one attempt and reports its result to the circuit breaker. Ignores the caller's abort and a timeout that
 * the caller set, because one team could otherwise open a shared deployment's circuit for all teams.
 */
export class Attempt {
  readonly #deployment: Deployment;
  /** Its pool has other deployments, so that a rejected key or throttling may cool it. */
  readonly #inPool: boolean;
  readonly #context: CallContext;
  readonly #cancel: Cancel;
  readonly #free: () => void;
  readonly #startedAt: number;
  /** The attempt's position within its call, from 1. */
  readonly #number: number;
  #status = 0;
  #record: AttemptRecord | undefined;

  constructor(deployment: Deployment, inPool: boolean, context: CallContext) {
    this.#deployment = deployment;
    this.#inPool = inPool;
    this.#context = context;
    this.#cancel = new Cancel(context.signal);
    this.#free = context.services.availability.limits.acquire(deployment, context.teamId);
    context.services.availability.health.tryAcquire(deployment, context.teamId);
    this.#number = context.receipt.attemptCount + 1;
    this.#startedAt = context.services.now();
  }

  /** @throws the signal's reason if the caller leaves */
  async outcome(): Promise<Outcome> {
    const deployment = this.#deployment;
    const cancel = this.#cancel;
    let response: SignedResponse | undefined;
    let reply: CallResult | undefined;
    try {
      cancel.within(() => this.#context.policy.limitOf(deployment), tooLate);
      response = await this.#context.send(deployment, cancel);
      reply = await this.#context.receive(deployment, response, cancel, this.#ended);
      cancel.inTime();
      this.#status = reply.status;
      const reason = reasonOf(reply.status);
      const { providerMessage } = reply;
      this.#note(reply.status, reason, providerMessage === undefined ? {} : { providerMessage });
      const signal = reply.open ? 'responsive' : this.#signalOf(reply.judged);
      const { retryAfterMs, judged } = reply;
      this.#settle(signal, reason, { retryAfterMs, ofRequest: judged?.ofRequest === true });
      if (!reply.open) {
        this.#release();
        this.#meter(judged === undefined ? 'success' : 'error', reply);
      }
      return { deployment, reply, decision: reply.judged?.decision ?? 'success' };
    } catch (error) {
      this.#release();
      if (reply !== undefined) discard(reply.answer);
      response?.body.destroy();
      const { signal: given } = this.#context;
      if (given?.aborted || !RouterError.isInstance(error)) {
        const { status, code } = endOf(given ?? { reason: undefined });
        this.#note(status, code);
        this.#settle('ignored', code);
        if (response !== undefined || !cancel.abortedInQueue) this.#meter('aborted', { status });
        throw error;
      }
      this.#note(error.status, error.code, faultOf(deployment, error));
      const { decision, signal } = classifyError(error, cancel.aborted && cancel.callers);
      this.#settle(signal, error.code, { unprovoked: isConnectFault(error) });
      if (response !== undefined || wasSent(error, cancel)) this.#meter('error', error);
      return { deployment, error, decision };
    }
  }

  readonly #ended = (end: BodyEnd): void => {
    this.#release();
    const { providerMessage } = end;
    if (this.#record !== undefined && providerMessage !== undefined)
      this.#record.providerMessage = providerMessage;
    if (end.failure !== undefined) this.#streamFailed(end.failure);
    else if (end.error !== undefined) this.#settle(classifyError(end.error, false).signal, end.error.code);
    else if (!end.left) this.#settle('success', 'ok');
    this.#meter(outcomeOf(end), { ...end, status: end.failure?.status ?? this.#status });
    this.#context.ended(end, this.#status);
  };

  #meter(outcome: AttemptEnd['outcome'], end: Omit<AttemptEnd, 'attempt' | 'outcome'>): void {
    const { status, report, contentBytes } = end;
    meterAttempt(this.#context, this.#deployment, {
      attempt: this.#number,
      outcome,
      status,
      report,
      contentBytes,
    });
  }

  #streamFailed({ status, judged }: StreamError): void {
    const reason = reasonOf(status);
    if (this.#record !== undefined) Object.assign(this.#record, { status, reason });
    this.#settle(this.#signalOf(judged), reason, { ofRequest: judged.ofRequest === true });
  }

  #release(): void {
    this.#free();
    this.#cancel.release();
  }

  #note(status: number, reason: AttemptRecord['reason'], more: Partial<AttemptRecord> = {}): void {
    const { id: deploymentId, publicName: model } = this.#deployment;
    const { queuedMs } = this.#cancel;
    const milliseconds = Math.max(0, this.#context.services.now() - this.#startedAt - queuedMs);
    const record: AttemptRecord = { deploymentId, model, status, reason, milliseconds, ...more };
    if (queuedMs > 0) record.queuedMs = queuedMs;
    this.#record = record;
    this.#context.receipt.addAttempt(record);
  }

  /** A rejected key cools a deployment only where a sibling can serve instead. */
  #signalOf(judged: Classification | undefined): HealthSignal {
    if (judged === undefined) return 'success';
    return judged.meaning === 'key_rejected' && !this.#inPool ? 'responsive' : judged.signal;
  }

  #settle(signal: HealthSignal, reason: string, more: Partial<Failure> = {}): void {
    const { policy, services, teamId } = this.#context;
    const { health } = services.availability;
    const deployment = this.#deployment;
    if (signal === 'success') health.recordSuccess(deployment, teamId);
    else if (signal === 'responsive') health.recordResponse(deployment, teamId);
    else if (signal === 'ignored') health.release(deployment, teamId);
    else {
      const failure = {
        unprovoked: false,
        ...more,
        reason,
        throttled: signal === 'throttled',
        overloaded: signal === 'overloaded',
        repeated: this.#context.noteFailure(deployment.id),
        alone: !this.#inPool,
      };
      health.recordFailure(deployment, teamId, failure, policy.cooldownOf(deployment));
    }
  }
}

const connectFaults: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ESERVFAIL',
  'ETIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Returns whether no connection was made, which no request can cause. */
function isConnectFault({ cause }: RouterError): boolean {
  return connectFaults.has((cause as { code?: unknown } | undefined)?.code);
}

/** Returns whether the provider may have got the request of an attempt that failed without a response. */
function wasSent(error: RouterError, cancel: Cancel): boolean {
  const { code } = error;
  if (code !== 'provider_unreachable' && code !== 'provider_timeout') return false;
  return !isConnectFault(error) && !cancel.abortedInQueue;
}

function outcomeOf({ error, failure, left }: BodyEnd): AttemptEnd['outcome'] {
  if (failure !== undefined) return 'error';
  if (error !== undefined) return 'incomplete';
  return left === true ? 'aborted' : 'success';
}

function tooLate(queued: boolean): RouterError {
  const message = queued
    ? "The call's time was over while it waited for a connection."
    : 'The provider did not answer in time.';
  return new RouterError('provider_timeout', message);
}

function reasonOf(status: number): AttemptRecord['reason'] {
  if (status < 400) return 'ok';
  if (status === 429) return 'rate_limited';
  return status >= 500 ? 'failed' : 'rejected';
}

/** @param callersTime the time that the caller or its team has set is over, which says nothing of the deployment */
function classifyError(
  error: RouterError,
  callersTime: boolean,
): { decision: RetryDecision; signal: HealthSignal } {
  const { code } = error;
  if (error instanceof RedirectError) return { decision: 'retry-other', signal: 'failure' };
  if (code === 'provider_unreachable' || code === 'provider_timeout')
    return { decision: 'retry', signal: callersTime ? 'ignored' : 'failure' };
  const own =
    code === 'egress_denied' || code === 'credential_unreadable' || code === 'provider_authentication_failed';
  return { decision: own ? 'retry-other' : 'fail', signal: 'ignored' };
}
