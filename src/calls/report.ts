import { channel } from 'node:diagnostics_channel';
import type { Receipt } from './receipt.ts';

/** The name of node's diagnostics channel on which every receipt is published. */
export const callChannelName = 'team-model-router:call';

const calls = channel(callChannelName);

/** Tells of every call, once the caller has its answer: a hook that is slow, or throws, never touches the call. */
export class Reporter {
  readonly #onCall: ((receipt: Receipt) => unknown) | undefined;
  #waiting: Receipt[] = [];

  constructor(onCall: ((receipt: Receipt) => unknown) | undefined) {
    this.#onCall = onCall;
  }

  report(receipt: Receipt): void {
    if (this.#onCall === undefined && !calls.hasSubscribers) return;
    this.#waiting.push(receipt);
    if (this.#waiting.length === 1) setImmediate(() => this.#tell());
  }

  #tell(): void {
    const receipts = this.#waiting;
    this.#waiting = [];
    for (const receipt of receipts) {
      try {
        const told = this.#onCall?.(receipt);
        // A promise that rejects would end the process.
        if (told instanceof Promise) told.catch(() => {});
      } catch {
        // The application's hook never touches the call.
      }
      if (calls.hasSubscribers) calls.publish(receipt);
    }
  }
}
