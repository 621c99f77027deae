import { redactCredentials } from './credential-patterns.ts';
import { Prefilter } from './prefilter.ts';
import { type Scan, SecretMatcher } from './secret-matcher.ts';

/** What must not be shown. */
export interface Secret {
  value: string;
  /** Takes its place in errors. */
  mask: string;
  /** It is replaced in successful answers too, because no ordinary text holds it by chance. */
  inAnswers: boolean;
}

/** Bytes that take the place of a secret in successful answers: as many as it had, so that lengths stay right. */
const cover = 0x2a;
/** A beginning of a secret that is longer than this is none: the longest secret in the longest form is shorter. */
const longestHeld = 131_072;

const empty: Buffer = Buffer.alloc(0);

/** Replaces one deployment's secrets in what its provider says. Made once, and what it looks with when it is first used. */
export class Redactor {
  readonly #secrets: readonly Secret[];
  readonly #inAnswers: readonly Secret[];
  #matcher: SecretMatcher | undefined;
  #answerMatcher: SecretMatcher | undefined;
  #prefilter: Prefilter | null | undefined;

  constructor(secrets: readonly Secret[]) {
    this.#secrets = secrets;
    this.#inAnswers = secrets.filter(({ inAnswers }) => inAnswers);
  }

  /** An error's text: secrets become their masks, and so does whatever gives itself away as a credential. */
  text(text: string): string {
    const bytes = Buffer.from(text);
    const { marks } = this.#all().scan(bytes);
    return redactCredentials(marks === undefined ? text : this.#replace(bytes, marks).toString());
  }

  /**
   * The same for an error's bytes; what is not replaced stays as it was.
   *
   * @param complete whether they are all of them: else what may be the beginning of a secret is left out
   */
  bytes(bytes: Buffer, complete = true): Buffer {
    const { marks, openFrom } = this.#all().scan(bytes);
    const end = complete ? bytes.length : openFrom;
    const replaced = this.#replace(bytes.subarray(0, end), marks);
    // latin1 maps each byte to one character and back.
    const text = replaced.toString('latin1');
    const redacted = redactCredentials(text);
    return redacted === text ? replaced : Buffer.from(redacted, 'latin1');
  }

  /** A successful answer: each byte of a secret becomes `*`. Returns `bytes` itself if there is none. */
  cover(bytes: Buffer): Buffer {
    return this.#mayHold(bytes) ? covered(bytes, this.#forAnswers().scan(bytes).marks) : bytes;
  }

  /** The same for an answer that comes in chunks, wherever they are cut. */
  stream(): CoveredStream {
    return new CoveredStream((bytes) => this.#forAnswers().scan(bytes), this.#inAnswers.length > 0);
  }

  #all(): SecretMatcher {
    this.#matcher ??= new SecretMatcher(this.#secrets.map(({ value }) => value));
    return this.#matcher;
  }

  #forAnswers(): SecretMatcher {
    if (this.#inAnswers.length === this.#secrets.length) return this.#all();
    this.#answerMatcher ??= new SecretMatcher(this.#inAnswers.map(({ value }) => value));
    return this.#answerMatcher;
  }

  #mayHold(bytes: Buffer): boolean {
    if (this.#inAnswers.length === 0) return false;
    if (this.#prefilter === undefined)
      this.#prefilter = Prefilter.of(this.#inAnswers.map(({ value }) => value)) ?? null;
    return this.#prefilter === null || this.#prefilter.mayHold(bytes);
  }

  #replace(bytes: Buffer, marks: Uint8Array | undefined): Buffer {
    if (marks === undefined) return bytes;
    const parts: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const mark = marks[at] ?? 0;
      let end = at + 1;
      while (end < bytes.length && (marks[end] === 0) === (mark === 0)) end++;
      parts.push(mark === 0 ? bytes.subarray(at, end) : Buffer.from(this.#secrets[mark - 1]?.mask ?? '...'));
      at = end;
    }
    return Buffer.concat(parts);
  }
}

/** Holds back what may be the beginning of a secret, and nothing else. */
export class CoveredStream {
  readonly #scan: (bytes: Buffer) => Scan;
  readonly #active: boolean;
  #held: Buffer = empty;
  /** What of it belongs to a secret that began before it. */
  #heldMarks: Uint8Array | undefined;
  #waiting: Buffer[] = [];
  #waitingSize = 0;

  constructor(scan: (bytes: Buffer) => Scan, active: boolean) {
    this.#scan = scan;
    this.#active = active;
  }

  /** Puts into `out` what may be passed on. */
  push(chunk: Buffer, out: Uint8Array[]): void {
    if (!this.#active) {
      out.push(chunk);
      return;
    }
    this.#waiting.push(chunk);
    this.#waitingSize += chunk.length;
    // What is held is read again only with half as much more: else small chunks would cost its length each.
    if (this.#waitingSize * 2 < this.#held.length) return;
    const heldMarks = this.#heldMarks;
    const bytes = this.#take();
    const { marks, openFrom } = this.#scan(bytes);
    const end = Math.max(openFrom, bytes.length - longestHeld);
    const all = joined(marks, heldMarks, bytes.length);
    this.#held = bytes.subarray(end);
    this.#heldMarks = all?.subarray(end);
    if (end > 0) out.push(covered(bytes.subarray(0, end), all));
  }

  /** The answer has ended: nothing can complete what is held. */
  flush(out: Uint8Array[]): void {
    const heldMarks = this.#heldMarks;
    const bytes = this.#take();
    if (bytes.length === 0) return;
    out.push(covered(bytes, joined(this.#scan(bytes).marks, heldMarks, bytes.length)));
  }

  #take(): Buffer {
    const [only] = this.#waiting;
    const one = this.#held.length === 0 && this.#waiting.length === 1 ? only : undefined;
    const bytes = one ?? Buffer.concat([this.#held, ...this.#waiting]);
    this.#held = empty;
    this.#heldMarks = undefined;
    this.#waiting = [];
    this.#waitingSize = 0;
    return bytes;
  }
}

function joined(marks: Uint8Array | undefined, held: Uint8Array | undefined, length: number) {
  if (held === undefined || held.every((mark) => mark === 0)) return marks;
  const all = marks ?? new Uint8Array(length);
  for (const [at, mark] of held.entries()) all[at] ||= mark;
  return all;
}

function covered(bytes: Buffer, marks: Uint8Array | undefined): Buffer {
  if (marks === undefined) return bytes;
  const copy = Buffer.from(bytes);
  for (let at = 0; at < copy.length; at++) if (marks[at] !== 0) copy[at] = cover;
  return copy;
}
