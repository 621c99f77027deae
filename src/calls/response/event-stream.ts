import { RouterError } from '../../errors.ts';
import type { CoveredStream } from '../../redact/covered-stream.ts';
import { asBuffer } from '../answer.ts';
import type { BodyTransform } from './body-stream.ts';
import type { StreamError } from './events/stream-error.ts';
import type { BodyEnd } from './reply.ts';
import type { SseGuard } from './sse-guard.ts';

export interface EventTransformOptions {
  watch: SseGuard;
  /** Every chunk goes through it first. */
  covered: CoveredStream;
  /** Whether a stream without its end is cut: only where this call generated it. */
  judged: boolean;
  /** The error that a caller gets for what broke the stream off. */
  failureOf: (cause: unknown) => unknown;
  /** Classifies the error that the provider sent as an event. */
  classify: (body: Buffer) => StreamError;
  ended: (end: BodyEnd) => void;
  /** The stream has said that it is at its end; the connection may follow within a moment. */
  endSoon: () => void;
}

/** Relays a stream of events, and reports its end once. */
export class EventTransform implements BodyTransform {
  readonly #options: EventTransformOptions;
  #reported = false;

  constructor(options: EventTransformOptions) {
    this.#options = options;
  }

  transform(chunk: Uint8Array, out: Uint8Array[]): void {
    const { watch, covered, endSoon } = this.#options;
    const safe: Uint8Array[] = [];
    covered.push(asBuffer(chunk), safe);
    for (const piece of safe) watch.push(piece, out);
    if (!watch.saidDone || this.#reported) return;
    this.#report({});
    endSoon();
  }

  flush(out: Uint8Array[]): unknown {
    const { watch, covered, judged } = this.#options;
    const rest: Uint8Array[] = [];
    covered.flush(rest);
    for (const piece of rest) watch.push(piece, out);
    const error = watch.end(out, judged);
    this.#report(error === undefined ? {} : { error });
    return error;
  }

  onError(cause: unknown, out: Uint8Array[]): unknown {
    const { watch, failureOf } = this.#options;
    if (this.#reported || attempted(() => watch.isComplete() && !watch.hasFailed())) {
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
    return this.#reported || attempted(() => this.#options.watch.hasEnded()) === true;
  }

  /** A reader that leaves a stream whose end it has seen has read it all. */
  onCancel(): boolean {
    const finished = this.finished();
    this.#report(finished ? {} : { left: true });
    return finished;
  }

  #report(end: BodyEnd): void {
    if (this.#reported) return;
    this.#reported = true;
    this.#options.ended(attempted(() => this.#completed(end)) ?? end);
  }

  #completed(end: BodyEnd): BodyEnd {
    const { watch, judged, classify } = this.#options;
    const report = watch.usage();
    const contentBytes = report === undefined ? watch.contentBytes() : undefined;
    const told = judged && end.error === undefined ? watch.error() : undefined;
    return told === undefined
      ? { ...end, report, contentBytes }
      : { failure: classify(told), report, contentBytes };
  }
}

/** Returns `undefined` if a step throws, because the end of a call is reported whatever its last events hold. */
function attempted<Result>(step: () => Result): Result | undefined {
  try {
    return step();
  } catch {
    return undefined;
  }
}
