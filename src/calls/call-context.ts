import type { MemoryReservation } from '../memory-budget.ts';
import type { Meter } from '../metering/meter.ts';
import type { OpenWork } from '../open-work.ts';
import type { Deployment } from '../teams/records/deployment.ts';
import type { CallSignal } from './abort/call-signal.ts';
import type { Cancel } from './abort/cancel.ts';
import { untilAborted } from './abort/until-aborted.ts';
import { type Call, type ModelRequest, referencesOf } from './call.ts';
import type { ReceiptBuilder } from './receipt/receipt.ts';
import type { Reporter } from './receipt/reporter.ts';
import { type BodyEnd, type CallResult, readResponse } from './response/relay.ts';
import type { ModelResolver } from './routing/authorize.ts';
import type { CallPolicy } from './routing/call-policy.ts';
import type { Availability } from './routing/load-balancer.ts';
import type { Caller, Pool, VisibleModels } from './routing/resolve.ts';
import type { SignedResponse } from './upstream/credentials.ts';
import type { OutgoingCall } from './upstream/send.ts';

/** The services that all calls share. */
export interface CallServices {
  resolver: Pick<ModelResolver, 'visibleModels' | 'pool'>;
  /** Sends a call to one deployment with that deployment's secret. */
  send: (deployment: Deployment, call: OutgoingCall, cancel: Cancel) => Promise<SignedResponse>;
  availability: Availability;
  reporter: Reporter;
  /** Absent if nothing listens to usage. */
  meter?: Pick<Meter, 'record'> | undefined;
  work: OpenWork;
  /** Maximum size of a JSON answer in bytes. */
  maxAnswerBytes: number;
  /** Returns a number that is uniform in [0, 1). */
  random: () => number;
  /** Returns milliseconds of a monotonic clock. */
  now: () => number;
  sleep: (milliseconds: number) => Promise<unknown>;
}

export interface CallContextOptions {
  services: CallServices;
  caller: Caller;
  call: Call;
  request: ModelRequest;
  policy: CallPolicy;
  receipt: ReceiptBuilder;
  /** The models that the caller saw when the call began. */
  models: VisibleModels;
  /** Counts the buffered bytes of the answer. */
  reservation?: MemoryReservation;
  /** Runs when a streamed answer has ended. */
  release: () => void;
}

/** One call with everything that its attempts need. */
export class CallContext {
  readonly services: CallServices;
  readonly policy: CallPolicy;
  readonly receipt: ReceiptBuilder;
  readonly request: ModelRequest;
  readonly teamId: string | null;
  readonly caller: Caller;
  readonly signal: CallSignal | undefined;
  readonly #options: CallContextOptions;
  #models: VisibleModels;
  /** Ids of the deployments that an attempt failed at. */
  #failedAt: Set<string> | undefined;
  /** Whether `#models` was read for the first attempt, which has not begun. */
  #fresh = true;

  constructor(options: CallContextOptions) {
    this.services = options.services;
    this.policy = options.policy;
    this.receipt = options.receipt;
    this.request = options.request;
    this.teamId = options.caller.teamId;
    this.caller = options.caller;
    this.signal = options.call.signal;
    this.#options = options;
    this.#models = options.models;
  }

  /** A call that names objects of one account is never sent to another account. */
  get mayFallBack(): boolean {
    const { endpoint, body } = this.request;
    return !endpoint.stateful && referencesOf(this.request).length === 0 && body.isRepeatable();
  }

  /** The models of the last attempt. Needs no storage, which may be unavailable once a provider has answered. */
  get models(): VisibleModels {
    return this.#models;
  }

  /** Resolves the model again for each attempt, so that a replaced or revoked key is not used. */
  async resolve(fallback: string | undefined): Promise<Pool> {
    const { signal } = this;
    const { resolver } = this.services;
    const { caller } = this.#options;
    if (!this.#fresh) this.#models = await resolver.visibleModels(caller);
    this.#fresh = false;
    return resolver.pool(this.#models, caller, this.request, { fallback, signal });
  }

  send(deployment: Deployment, cancel: Cancel): Promise<SignedResponse> {
    const { request, teamId } = this;
    return this.services.send(deployment, { call: this.#options.call, request, teamId }, cancel);
  }

  /** Reads the response until the answer can begin. @param ended runs when a streamed body has ended */
  receive(
    deployment: Deployment,
    response: SignedResponse,
    cancel: Cancel,
    ended: (end: BodyEnd) => void,
  ): CallResult | Promise<CallResult> {
    const { endpoint, body } = this.request;
    return readResponse({
      teamId: this.teamId,
      deployment,
      response,
      endpoint,
      stream: asksForStream(this.request),
      expectedChoices: body.choices ?? 1,
      maxAnswerBytes: this.services.maxAnswerBytes,
      reservation: this.#options.reservation,
      countsContent: this.services.meter !== undefined,
      cancel,
      ended,
    });
  }

  /** @throws the signal's reason if the caller leaves; RouterError `draining` if the router closes */
  async wait(milliseconds: number): Promise<void> {
    const { sleep, work } = this.services;
    await work.untilDeadline(untilAborted(sleep(milliseconds), this.signal));
    this.receipt.addWait(milliseconds);
  }

  /** Records that an attempt failed at a deployment. Returns whether an earlier one did. */
  noteFailure(deploymentId: string): boolean {
    this.#failedAt ??= new Set();
    const repeated = this.#failedAt.has(deploymentId);
    this.#failedAt.add(deploymentId);
    return repeated;
  }

  /** Reports a call whose streamed answer has ended. */
  ended(end: BodyEnd, status: number): void {
    const { receipt } = this;
    this.#options.release();
    this.services.reporter.finish(receipt, receipt.snapshot(status, endCode(end), end.report));
  }
}

function endCode({ error, failure, left }: BodyEnd): string | undefined {
  if (failure !== undefined) return 'provider_error';
  return error?.code ?? (left ? 'aborted' : undefined);
}

/** Returns whether a stream of events was asked for; `undefined` if a form may still say so. */
export function asksForStream({ query, body }: ModelRequest): boolean | undefined {
  return query.get('stream') === 'true' || body.stream;
}
