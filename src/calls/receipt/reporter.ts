import { AsyncLocalStorage } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { describeError, type Log, type LogLevel, type LogMessage } from '../../logger.ts';
import type { AsyncContext, Receipt, ReceiptBuilder } from './receipt.ts';

/**
 * The name of node's diagnostics channel on which every receipt is published.
 *
 * @example
 * ```ts
 * import { subscribe } from 'node:diagnostics_channel';
 *
 * subscribe(callChannelName, (receipt) => console.log((receipt as Receipt).status));
 * ```
 */
export const callChannelName = 'team-model-router:call';

const calls = channel(callChannelName);

/** Where the operator has to do something before it can go better. */
const faults: ReadonlySet<string | undefined> = new Set([
  'internal_error',
  'corrupt_record',
  'credential_unreadable',
]);
/** Whether the request itself is invalid, according to the router or the provider. */
const mistakes: ReadonlySet<number> = new Set([400, 413, 415, 422]);

/**
 * Reports every call after the caller has its answer, so that a slow or throwing hook does not affect the call.
 * Logs calls that failed or were retried.
 */
export class Reporter {
  readonly #onCall: ((receipt: Receipt) => unknown) | undefined;
  readonly #log: Log;
  #waiting: { receipt: Receipt; context: AsyncContext | undefined }[] = [];

  constructor(onCall: ((receipt: Receipt) => unknown) | undefined, log: Log) {
    this.#onCall = onCall;
    this.#log = log;
  }

  /** Asynchronous context of the started call, if an observer is set. Observers run in it. */
  context(): AsyncContext | undefined {
    return this.#onCall !== undefined || calls.hasSubscribers ? AsyncLocalStorage.snapshot() : undefined;
  }

  /**
   * Reports the end of a call, once for each call. Never throws, so that an observer cannot take the answer away.
   *
   * @param hint text that only the operator may read: it is logged and not part of the receipt
   */
  finish(call: ReceiptBuilder, receipt: Receipt, hint?: string): void {
    if (call.finish()) this.#report(receipt, call.context, hint);
  }

  #report(receipt: Receipt, context: AsyncContext | undefined, hint?: string): void {
    const line = lineOf(receipt);
    // A team may send such fields in any number, so they do not belong among the operator's errors.
    const level = receipt.code === 'stateful_on_shared' ? 'debug' : 'error';
    if (hint !== undefined) this.#log.write(level, { ...receipt, hint }, 'call failed');
    else if (line !== undefined) this.#log.write(line.level, receipt, line.message);
    if (this.#onCall === undefined && !calls.hasSubscribers) return;
    this.#waiting.push({ receipt, context });
    if (this.#waiting.length === 1) setImmediate(() => this.#tell());
  }

  /** Logs only that it happened. */
  unforeseen({ callId }: ReceiptBuilder, error: unknown): void {
    this.#log.write('error', { callId, error: describeError(error) }, 'call could not be handled');
  }

  #tell(): void {
    const receipts = this.#waiting;
    this.#waiting = [];
    for (const { receipt, context } of receipts) {
      // Receipts are reported together, each in the context of its call.
      if (context === undefined) this.#tellOf(receipt);
      else context(() => this.#tellOf(receipt));
    }
  }

  #tellOf(receipt: Receipt): void {
    try {
      const told = this.#onCall?.(receipt);
      // A promise that rejects would end the process.
      if (told instanceof Promise) told.catch((error: unknown) => this.#threw(error));
    } catch (error) {
      this.#threw(error);
    }
    if (calls.hasSubscribers) calls.publish(receipt);
  }

  #threw(error: unknown): void {
    this.#log.write('warn', { error: describeError(error) }, 'onCall threw');
  }
}

interface CallLine {
  level: LogLevel;
  message: Extract<LogMessage, 'call failed' | 'call succeeded after retry'>;
}

/**
 * Returns the log line of a call; `undefined` for a call that succeeded on its first attempt or was cancelled
 * by the caller.
 */
function lineOf({ status, code, attempts }: Receipt): CallLine | undefined {
  const answered = status < 400 && code === undefined;
  if (answered && attempts.length <= 1) return undefined;
  const message = answered ? 'call succeeded after retry' : 'call failed';
  if (faults.has(code) || attempts.some(({ reason }) => faults.has(reason)))
    return { level: 'error', message };
  if (code === 'aborted') return undefined;
  if (answered) return { level: 'info', message };
  const ownMistake = code === 'provider_error' && attempts.at(-1)?.reason === 'rejected';
  const unasked = attempts.length === 0 && status < 500 && status !== 429;
  return { level: unasked || ownMistake || mistakes.has(status) ? 'debug' : 'warn', message };
}
