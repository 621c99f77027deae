import type { AttemptRecord, Outcome } from './attempts.ts';
import type { Pool } from './resolve.ts';

/** What `onCall` is told when a call has its answer: a stream, when its first byte is there. */
export interface Receipt {
  callId: string;
  /** `null`: the operator's own call. */
  teamId: string | null;
  /** The public name that the call was resolved to. */
  model?: string;
  deploymentId?: string;
  provider?: string;
  attempts: readonly AttemptRecord[];
  /** The status that the caller got; 499 if it left. */
  status: number;
  /** The error's code, if the router, and not the provider, answered with one. */
  code?: string;
  /** From the call's beginning to its answer. */
  milliseconds: number;
  /** The part of it that was the router's own. */
  overheadMs: number;
}

/** A receipt in the making. */
export class ReceiptDraft {
  code: string | undefined;
  readonly #callId: string;
  readonly #teamId: string | null;
  readonly #now: () => number;
  readonly #startedAt: number;
  #result: { outcome: Outcome; pool: Pool; attempts: AttemptRecord[] } | undefined;

  constructor(callId: string, teamId: string | null, now: () => number) {
    this.#callId = callId;
    this.#teamId = teamId;
    this.#now = now;
    this.#startedAt = now();
  }

  took(result: { outcome: Outcome; pool: Pool; attempts: AttemptRecord[] }): void {
    this.#result = result;
  }

  finish(status: number, code: string | undefined): Receipt {
    const milliseconds = this.#now() - this.#startedAt;
    const attempts = this.#result?.attempts ?? [];
    const elsewhere = attempts.reduce((sum, attempt) => sum + attempt.milliseconds, 0);
    return {
      callId: this.#callId,
      teamId: this.#teamId,
      ...(this.#result && {
        model: this.#result.pool.publicName,
        deploymentId: this.#result.outcome.deployment.id,
        provider: this.#result.outcome.deployment.target.provider,
      }),
      attempts,
      status,
      ...(code === undefined ? {} : { code }),
      milliseconds,
      overheadMs: Math.max(0, milliseconds - elsewhere),
    };
  }
}
