import { RouterError } from '../../errors.ts';
import type { CoveredStream } from '../../redact/covered-stream.ts';
import { asBuffer } from '../answer.ts';
import type { Course } from './body-stream.ts';
import type { End } from './reply.ts';
import type { EventWatch } from './sse-guard.ts';

export interface EventCourseOptions {
  watch: EventWatch;
  /** Every chunk goes through it first. */
  covered: CoveredStream;
  /** Whether a stream without its end is cut: only where this call generated it. */
  judged: boolean;
  /** The error that a caller gets for what broke the stream off. */
  failureOf: (cause: unknown) => unknown;
  ended: (end: End) => void;
  /** The stream has said that it is at its end; the connection may follow within a moment. */
  endSoon: () => void;
}

/** Relays a stream of events, and reports its end once. */
export class EventCourse implements Course {
  readonly #options: EventCourseOptions;
  #reported = false;

  constructor(options: EventCourseOptions) {
    this.#options = options;
  }

  push(chunk: Uint8Array, out: Uint8Array[]): void {
    const { watch, covered, endSoon } = this.#options;
    const safe: Uint8Array[] = [];
    covered.push(asBuffer(chunk), safe);
    for (const piece of safe) watch.push(piece, out);
    if (!watch.saidDone || this.#reported) return;
    this.#report({});
    endSoon();
  }

  end(out: Uint8Array[]): unknown {
    const { watch, covered, judged } = this.#options;
    const rest: Uint8Array[] = [];
    covered.flush(rest);
    for (const piece of rest) watch.push(piece, out);
    const error = watch.end(out, judged);
    this.#report(error === undefined ? {} : { error });
    return error;
  }

  broken(cause: unknown, out: Uint8Array[]): unknown {
    const { watch, failureOf } = this.#options;
    if (this.#reported || (watch.isComplete() && !watch.hasFailed())) {
      this.#report({});
      watch.release(out);
      return undefined;
    }
    const error = failureOf(cause);
    if (!RouterError.isInstance(error)) {
      this.#report({ left: true });
      return error;
    }
    watch.fail(error, out);
    this.#report({ error });
    return error;
  }

  get held(): number {
    return this.#options.watch.held;
  }

  finished(): boolean {
    return this.#reported || this.#options.watch.hasEnded();
  }

  /** A reader that leaves a stream whose end it has seen has read it all. */
  left(): boolean {
    const finished = this.finished();
    this.#report(finished ? {} : { left: true });
    return finished;
  }

  #report(end: End): void {
    if (this.#reported) return;
    this.#reported = true;
    this.#options.ended({ ...end, tokens: this.#options.watch.tokens() });
  }
}
