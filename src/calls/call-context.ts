import { setTimeout as sleep } from 'node:timers/promises';
import type { MemoryReservation } from '../memory-budget.ts';
import type { OpenWork } from '../open-work.ts';
import type { Deployment } from '../teams/records/deployment.ts';
import type { CallSignal } from './abort/call-signal.ts';
import type { Cancel } from './abort/cancel.ts';
import { untilAborted } from './abort/until-aborted.ts';
import type { CallSettings } from './attempts/call-policy.ts';
import type { AttemptPlan } from './attempts/retry.ts';
import { type Call, type ModelRequest, referencesOf } from './call.ts';
import type { AttemptRecord, ReceiptDraft } from './receipt/receipt.ts';
import type { Reporter } from './receipt/reporter.ts';
import { type End, type Reply, receive } from './response/relay.ts';
import type { Admission } from './routing/authorize.ts';
import type { Gates } from './routing/load-balancer.ts';
import type { Caller, Directory, Pool } from './routing/resolve.ts';
import type { Credentials, SignedResponse } from './upstream/credentials.ts';
import { send, type Transports } from './upstream/send.ts';

/** What every call goes through. */
export interface Passages {
  admission: Admission;
  transports: Transports;
  credentials: Credentials;
  gates: Gates;
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
export class Journey implements AttemptPlan {
  readonly gates: Gates;
  readonly random: () => number;
  readonly now: () => number;
  readonly signal: CallSignal | undefined;
  readonly settings: CallSettings;
  readonly receipt: ReceiptDraft;
  readonly request: ModelRequest;
  readonly caller: Caller;
  readonly teamId: string | null;
  readonly #call: Call;
  readonly #through: Passages;
  /** What the last attempt's names were looked up in. */
  #directory: Directory;
  /** Whether `#directory` was read just now, for the first attempt. */
  #fresh = true;
  #reservation: MemoryReservation | undefined;
  #release: (() => void) | undefined;

  constructor(
    through: Passages,
    caller: Caller,
    call: Call,
    request: ModelRequest,
    settings: CallSettings,
    receipt: ReceiptDraft,
    directory: Directory,
  ) {
    this.gates = through.gates;
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
    this.#directory = directory;
  }

  /** Counts what is held of answers in a reservation. @param release what is called when a streamed answer has ended */
  hold(reservation: MemoryReservation, release: () => void): void {
    this.#reservation = reservation;
    this.#release = release;
  }

  /** What speaks of an account's own objects means that account. */
  get mayFallBack(): boolean {
    const { endpoint } = this.request;
    return !endpoint.stateful && referencesOf(this.request).length === 0 && this.repeatable();
  }

  /** Known without the storage, which may be away by the time a provider has answered. */
  get directory(): Directory {
    return this.#directory;
  }

  resolve(fallback: string | undefined): Pool | Promise<Pool> {
    const { admission } = this.#through;
    const found = this.#fresh ? this.#directory : admission.directory(this.caller);
    this.#fresh = false;
    const pool = (directory: Directory) => {
      this.#directory = directory;
      return admission.pool(directory, this.caller, this.request, fallback);
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
    ended: (end: End) => void,
  ): Reply | Promise<Reply> {
    const { maxAnswerBytes } = this.#through;
    const { endpoint, content } = this.request;
    const expectedChoices = content.choices ?? 1;
    const stream = asksForStream(this.request);
    const reservation = this.#reservation;
    return receive({
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

  repeatable(): boolean {
    return this.request.content.repeatable();
  }

  async wait(milliseconds: number): Promise<void> {
    await this.#through.work.untilDeadline(untilAborted(sleep(milliseconds), this.signal));
    this.receipt.paused(milliseconds);
  }

  attempted(record: AttemptRecord): void {
    this.receipt.attempted(record);
  }

  ended(end: End, status: number): void {
    const { receipt } = this;
    this.#release?.();
    if (receipt.finish())
      this.#through.reporter.report(receipt.at(status, endCode(end), end.tokens), receipt.context);
  }
}

function endCode({ error, left }: End): string | undefined {
  return error?.code ?? (left ? 'aborted' : undefined);
}

/** Whether a stream of events was asked for; `undefined` for a form, whose fields are not read. */
function asksForStream({ endpoint, query, content }: ModelRequest): boolean | undefined {
  if (content.stream || query.get('stream') === 'true') return true;
  return endpoint.model === 'form' ? undefined : false;
}
