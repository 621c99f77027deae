import { RouterError } from '../../errors.ts';
import type { Log, LogMessage } from '../../logger.ts';
import type { NodeBindings } from '../messages/bindings.ts';

const maxLines = 10;
const windowMs = 60_000;

const messages: Readonly<
  Record<string, Extract<LogMessage, 'authentication failed' | 'address not allowed'> | undefined>
> = {
  invalid_api_key: 'authentication failed',
  key_blocked: 'authentication failed',
  team_blocked: 'authentication failed',
  api_base_not_allowed: 'address not allowed',
};

/** Errors that are already logged. */
const logged = new WeakSet<object>();

/** Keeps an error out of the log of rejected requests, because another line reports it. */
export function markLogged(error: object): void {
  logged.add(error);
}

/**
 * Logs requests that were rejected for their credential, or with a hint for the operator. Writes at most ten
 * lines a minute.
 */
export class RefusalLog {
  readonly #log: Log;
  readonly #now: () => number;
  #from = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #suppressed = 0;

  /** @param now returns milliseconds of a monotonic clock */
  constructor(log: Log, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** Writes a line if `error` is such a rejection. */
  note(error: unknown, { incoming }: NodeBindings = {}): void {
    if (!RouterError.isInstance(error) || logged.has(error)) return;
    const { code, param, hint } = error;
    const message = messages[code];
    if (message === undefined && hint === undefined) return;
    const now = this.#now();
    if (now - this.#from >= windowMs) {
      this.#from = now;
      this.#lines = 0;
    }
    if (this.#lines >= maxLines) {
      this.#suppressed += 1;
      return;
    }
    this.#lines += 1;
    const address = incoming?.socket?.remoteAddress;
    const fields = {
      code,
      ...(address === undefined ? {} : { address }),
      ...(hint === undefined ? {} : { ...(param === null ? {} : { param }), hint }),
      ...(this.#suppressed === 0 ? {} : { suppressed: this.#suppressed }),
    };
    this.#suppressed = 0;
    if (message === undefined) this.#log.write('error', fields, 'request could not be handled');
    else this.#log.write('warn', fields, message);
  }
}
