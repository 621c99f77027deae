import type { AsyncLocalStorage } from 'node:async_hooks';
import type { RouterErrorCode } from '../../errors.ts';
import type { Tokens, Usage, UsageReport } from '../../metering/usage/usage-report.ts';
import type { UsageEvent, UsageSource } from '../../metering/usage-event.ts';
import type { Deployment } from '../../teams/records/deployment.ts';

/**
 * One attempt at one deployment, for the receipt.
 *
 * @example
 * ```ts
 * function logAttempt({ deploymentId, status, reason, milliseconds }: AttemptRecord): void {
 *   console.log(deploymentId, status, reason, milliseconds);
 * }
 * ```
 */
export interface AttemptRecord {
  deploymentId: string;
  /** The public name whose pool it belongs to: the call's own, or a fallback's. */
  model: string;
  /** The provider's status, or that of the error that kept it from answering; 499 if the caller left. */
  status: number;
  /** `ok`, `rate_limited` (429), `rejected` (another 4xx), `failed` (5xx), `aborted`, or the error's code. */
  reason: 'ok' | 'rate_limited' | 'rejected' | 'failed' | 'aborted' | RouterErrorCode;
  /** Until the answer began, or failed, without `queuedMs`. */
  milliseconds: number;
  /** Milliseconds that it waited for a connection, before the provider was asked; absent if it did not wait. */
  queuedMs?: number;
  /**
   * What the provider said at 401 or 403, and in every error of a shared deployment, redacted; at most 1 024 characters.
   */
  providerMessage?: string;
  /** The provider's host, if it was not reached. */
  host?: string;
  /** The system's error code, if the provider was not reached: `ENOTFOUND`, `ECONNREFUSED`. */
  cause?: string;
}

/** Runs a callback in the asynchronous context of a call. */
export type AsyncContext = ReturnType<typeof AsyncLocalStorage.snapshot>;

/**
 * What `onCall` is told after each call: a stream's, when it has ended.
 *
 * @example
 * ```ts
 * const onCall = ({ teamId, model, status, tokens }: Receipt) =>
 *   console.log(teamId, model, status, tokens?.total);
 * const router = new TeamModelRouter({ storage, encryptionKeys, onCall });
 * ```
 */
export interface Receipt {
  callId: string;
  /** `null`: the operator's own call. */
  teamId: string | null;
  /** The public name that the call asked for in any place; absent if it led to no model of the caller's. */
  requestedModel?: string;
  /** The public name that answered: the one that was asked for, or a fallback's. */
  model?: string;
  deploymentId?: string;
  provider?: string;
  /** Attempts of the call in order. Each attempt is in one receipt only. */
  attempts: readonly AttemptRecord[];
  /** The public names that were fallen back to, in turn. */
  fallbacks: readonly string[];
  /** The status that the caller got; 499 if it left before. */
  status: number;
  /**
   * The error's code if the router, and not the provider, answered with one or ended a stream; `provider_error`: the provider
   * ended a stream with an error event; `aborted`: the caller left.
   */
  code?: string;
  /** What the caller tagged the call with, by `tags` or `metadata.tags` of its body. */
  tags?: readonly string[];
  /** The id of the endpoint, such as `chat.completions.create`. */
  endpoint?: string;
  /** Whether a stream of events was asked for. */
  stream?: boolean;
  /** Whose credential the provider was sent: the team's own, or the operator's. */
  source?: 'team' | 'shared';
  /** The member of the team, from `authenticate` or the call's options. */
  userId?: string;
  /** What the call used, where the provider said so. */
  tokens?: Tokens;
  /** What the answering attempt used, by class. */
  usage?: Usage;
  /** Where `usage` comes from. Without `onUsage` only what a provider reports is known. */
  usageSource?: UsageSource;
  /** The cost of all attempts in whole nano-dollars. Absent without `onUsage`, or if none is priced. */
  costNanoUsd?: number;
  /** From the call's beginning until its answer began. */
  firstByteMs: number;
  /** Until its answer ended. */
  milliseconds: number;
  /** The part of `firstByteMs` that was the router's own: neither the provider's, nor a pause between attempts, nor `queuedMs`. */
  overheadMs: number;
  /** The part of `firstByteMs` that the call waited for a connection, because its team, or the router, used all it may. */
  queuedMs: number;
}

/** A receipt in the making. */
export class ReceiptBuilder {
  readonly startedAt: number;
  /** The asynchronous context that the call began in. */
  readonly context: AsyncContext | undefined;
  tags: readonly string[] | undefined;
  userId: string | undefined;
  readonly #callId: string;
  readonly #teamId: string | null;
  readonly #now: () => number;
  readonly #attempts: AttemptRecord[] = [];
  readonly #fallbacks: string[] = [];
  #requestedModel: string | undefined;
  #endpoint: string | undefined;
  #stream = false;
  #usage: Pick<UsageEvent, 'usage' | 'usageSource'> | undefined;
  #costNanoUsd: number | undefined;
  #deployment: Deployment | undefined;
  #elsewhereMs = 0;
  #queuedMs = 0;
  #firstByteMs: number | undefined;
  #finished = false;

  constructor(callId: string, teamId: string | null, now: () => number, context?: AsyncContext) {
    this.context = context;
    this.#callId = callId;
    this.#teamId = teamId;
    this.#now = now;
    this.startedAt = now();
  }

  get callId(): string {
    return this.#callId;
  }

  /** The first name is the call's own: its pool is turned to before any fallback's. */
  setRequestedModel(name: string): void {
    this.#requestedModel ??= name;
  }

  setRequest(endpoint: string, stream: boolean): void {
    this.#endpoint = endpoint;
    this.#stream = stream;
  }

  get attemptCount(): number {
    return this.#attempts.length;
  }

  /** Adds what an attempt used. The call's own usage is that of its last attempt. */
  addUsage(event: UsageEvent): void {
    this.#usage = event;
    if (event.costNanoUsd !== undefined) this.#costNanoUsd = (this.#costNanoUsd ?? 0) + event.costNanoUsd;
  }

  addAttempt(record: AttemptRecord): void {
    this.setRequestedModel(record.model);
    this.#attempts.push(record);
    this.#elsewhereMs += record.milliseconds;
    if (record.queuedMs !== undefined) this.#queuedMs += record.queuedMs;
  }

  addWait(milliseconds: number): void {
    this.#elsewhereMs += milliseconds;
  }

  addFallback(name: string): void {
    this.#fallbacks.push(name);
  }

  setDeployment(deployment: Deployment | undefined): void {
    this.#deployment = deployment;
  }

  /** Returns `true` the first time, so that a call is reported once, however many ways it ends in. */
  finish(): boolean {
    const first = !this.#finished;
    this.#finished = true;
    return first;
  }

  /** Unchanged: the first chunk starts the response, the last chunk ends it. */
  snapshot(status: number, code?: string, report?: UsageReport): Receipt {
    const milliseconds = this.#now() - this.startedAt;
    this.#firstByteMs ??= milliseconds;
    const deployment = this.#deployment;
    const receipt: Receipt = {
      callId: this.#callId,
      teamId: this.#teamId,
      attempts: this.#attempts,
      fallbacks: this.#fallbacks,
      status,
      firstByteMs: this.#firstByteMs,
      milliseconds,
      overheadMs: Math.max(0, this.#firstByteMs - this.#elsewhereMs - this.#queuedMs),
      queuedMs: this.#queuedMs,
    };
    if (this.#requestedModel !== undefined) receipt.requestedModel = this.#requestedModel;
    if (deployment !== undefined) {
      receipt.model = deployment.publicName;
      receipt.deploymentId = deployment.id;
      receipt.provider = deployment.target.provider;
      receipt.source = deployment.teamId === null ? 'shared' : 'team';
    }
    if (this.tags !== undefined) receipt.tags = this.tags;
    if (code !== undefined) receipt.code = code;
    if (report?.tokens !== undefined) receipt.tokens = report.tokens;
    this.#describeUsage(receipt, report);
    return receipt;
  }

  #describeUsage(receipt: Receipt, report: UsageReport | undefined): void {
    if (this.#endpoint !== undefined) {
      receipt.endpoint = this.#endpoint;
      receipt.stream = this.#stream;
    }
    if (this.userId !== undefined) receipt.userId = this.userId;
    if (this.#usage !== undefined) {
      receipt.usage = this.#usage.usage;
      receipt.usageSource = this.#usage.usageSource;
    } else if (report !== undefined && report.pending === undefined) {
      receipt.usage = report.usage;
      receipt.usageSource = 'provider';
    }
    if (this.#costNanoUsd !== undefined) receipt.costNanoUsd = this.#costNanoUsd;
  }
}
