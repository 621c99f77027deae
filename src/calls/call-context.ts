import { setTimeout as sleep } from 'node:timers/promises';
import type { MemoryReservation } from '../memory-budget.ts';
import type { OpenWork } from '../open-work.ts';
import type { Deployment } from '../teams/records/deployment.ts';
import type { CallSignal } from './abort/call-signal.ts';
import type { Cancel } from './abort/cancel.ts';
import { untilAborted } from './abort/until-aborted.ts';
import type { CallPolicy } from './attempts/call-policy.ts';
import type { AttemptPlan } from './attempts/retry.ts';
import { type Call, type ModelRequest, referencesOf } from './call.ts';
import type { AttemptRecord, ReceiptBuilder } from './receipt/receipt.ts';
import type { Reporter } from './receipt/reporter.ts';
import { type BodyEnd, type CallResult, readResponse } from './response/relay.ts';
import type { ModelResolver } from './routing/authorize.ts';
import type { Availability } from './routing/load-balancer.ts';
import type { Caller, Pool, VisibleModels } from './routing/resolve.ts';
import type { Credentials, SignedResponse } from './upstream/credentials.ts';
import { send, type Transports } from './upstream/send.ts';

/** What every call goes through. */
export interface CallServices {
  resolver: ModelResolver;
  transports: Transports;
  credentials: Credentials;
  availability: Availability;
  reporter: Reporter;
  work: OpenWork;
  /** Bytes that a JSON answer may have. */
  maxAnswerBytes: number;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Milliseconds, monotonic. */
  now: () => number;
}

/** One call on its way: what its attempts ask for, and what they tell of. */
export class CallContext implements AttemptPlan {
  readonly availability: Availability;
  readonly random: () => number;
  readonly now: () => number;
  readonly signal: CallSignal | undefined;
  readonly settings: CallPolicy;
  readonly receipt: ReceiptBuilder;
  readonly request: ModelRequest;
  readonly caller: Caller;
  readonly teamId: string | null;
  readonly #call: Call;
  readonly #through: CallServices;
  /** What the last attempt's names were looked up in. */
  #models: VisibleModels;
  /** Whether `#models` was read just now, for the first attempt. */
  #fresh = true;
  #reservation: MemoryReservation | undefined;
  #release: (() => void) | undefined;

  constructor(
    through: CallServices,
    caller: Caller,
    call: Call,
    request: ModelRequest,
    settings: CallPolicy,
    receipt: ReceiptBuilder,
    models: VisibleModels,
  ) {
    this.availability = through.availability;
    this.random = through.random;
    this.now = through.now;
    this.signal = call.signal;
    this.settings = settings;
    this.receipt = receipt;
    this.request = request;
    this.caller = caller;
    this.teamId = caller.teamId;
    this.#call = call;
    this.#through = through;
    this.#models = models;
  }

  /** Counts what is held of answers in a reservation. @param release what is called when a streamed answer has ended */
  hold(reservation: MemoryReservation, release: () => void): void {
    this.#reservation = reservation;
    this.#release = release;
  }

  /** What speaks of an account's own objects means that account. */
  get mayFallBack(): boolean {
    const { endpoint } = this.request;
    return !endpoint.stateful && referencesOf(this.request).length === 0 && this.isRepeatable();
  }

  /** Known without the storage, which may be away by the time a provider has answered. */
  get models(): VisibleModels {
    return this.#models;
  }

  resolve(fallback: string | undefined): Pool | Promise<Pool> {
    const { resolver } = this.#through;
    const found = this.#fresh ? this.#models : resolver.visibleModels(this.caller);
    this.#fresh = false;
    const pool = (models: VisibleModels) => {
      this.#models = models;
      return resolver.pool(models, this.caller, this.request, fallback);
    };
    return found instanceof Promise ? found.then(pool) : pool(found);
  }

  send(deployment: Deployment, cancel: Cancel): Promise<SignedResponse> {
    return send(this.#through, deployment, this.#call, this.request, cancel, this.teamId);
  }

  receive(
    deployment: Deployment,
    response: SignedResponse,
    cancel: Cancel,
    ended: (end: BodyEnd) => void,
  ): CallResult | Promise<CallResult> {
    const { maxAnswerBytes } = this.#through;
    const { endpoint, body: content } = this.request;
    const expectedChoices = content.choices ?? 1;
    const stream = asksForStream(this.request);
    const reservation = this.#reservation;
    return readResponse({
      teamId: this.caller.teamId,
      deployment,
      response,
      endpoint,
      stream,
      expectedChoices,
      maxAnswerBytes,
      reservation,
      cancel,
      ended,
    });
  }

  isRepeatable(): boolean {
    return this.request.body.isRepeatable();
  }

  async wait(milliseconds: number): Promise<void> {
    await this.#through.work.untilDeadline(untilAborted(sleep(milliseconds), this.signal));
    this.receipt.addWait(milliseconds);
  }

  attempted(record: AttemptRecord): void {
    this.receipt.addAttempt(record);
  }

  ended(end: BodyEnd, status: number): void {
    const { receipt } = this;
    this.#release?.();
    if (receipt.finish())
      this.#through.reporter.report(receipt.snapshot(status, endCode(end), end.tokens), receipt.context);
  }
}

function endCode({ error, left }: BodyEnd): string | undefined {
  return error?.code ?? (left ? 'aborted' : undefined);
}

/** Whether a stream of events was asked for; `undefined` for a form, whose fields are not read. */
function asksForStream({ endpoint, query, body: content }: ModelRequest): boolean | undefined {
  if (content.stream || query.get('stream') === 'true') return true;
  return endpoint.model === 'form' ? undefined : false;
}
