import { CoveredStream, covered, maxHeldBytes } from './covered-stream.ts';
import { redactCredentials } from './credential-patterns.ts';
import { Prefilter } from './prefilter.ts';
import { minSecretBytes, type Scan, SecretMatcher } from './secret-matcher.ts';

/** What must not be shown. */
export interface Secret {
  value: string;
  /** Takes its place in errors. */
  mask: string;
  /** It is replaced in successful answers too, because no ordinary text holds it by chance. */
  inAnswers: boolean;
}

/** Bytes that are looked through in one go. */
const maxBytesAtOnce = 65_536;
/** The same of an error: few are long, so the code that looks through them is seldom optimised yet. Each takes a whole turn. */
const errorSlice = 16_384;
/** Up to here a search is too short to be put off. */
const shortSearch = 8_192;

type TickFor = (bytes: number) => Promise<void> | undefined;

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
    return this.#redacted(bytes, this.#all().scan(bytes), complete);
  }

  /** The same as `bytes`; a promise if it takes several turns. @param turnFor waits until so many bytes may be looked through */
  bytesInSlices(bytes: Buffer, complete: boolean, turnFor: TickFor): Buffer | Promise<Buffer> {
    if (bytes.length <= shortSearch) return this.bytes(bytes, complete);
    return this.#bytesInSlices(bytes, complete, turnFor);
  }

  async #bytesInSlices(bytes: Buffer, complete: boolean, turnFor: TickFor): Promise<Buffer> {
    const matcher = this.#all();
    const scan: Scan = { marks: undefined, openFrom: 0 };
    for (let end = 0; end < bytes.length; ) {
      end = Math.min(end + errorSlice, bytes.length);
      const start = scan.openFrom;
      await turnFor(Math.max(end - start, maxBytesAtOnce));
      const { marks, openFrom } = matcher.scan(bytes.subarray(start, end));
      if (marks !== undefined) {
        scan.marks ??= new Uint8Array(bytes.length);
        for (const [at, mark] of marks.entries()) if (mark !== 0) scan.marks[start + at] = mark;
      }
      scan.openFrom = Math.max(start + openFrom, end - maxHeldBytes);
    }
    await turnFor(bytes.length);
    return this.#redacted(bytes, scan, complete);
  }

  /** The same for an event of a covered stream that tells of an error. In a long one the covered secrets are all. */
  event(bytes: Buffer): Buffer {
    return bytes.length > maxBytesAtOnce ? withoutCredentials(bytes) : this.bytes(bytes);
  }

  #redacted(bytes: Buffer, { marks, openFrom }: Scan, complete: boolean): Buffer {
    const end = complete ? bytes.length : openFrom;
    return withoutCredentials(this.#replace(bytes.subarray(0, end), marks));
  }

  /** A successful answer: each byte of a secret becomes `*`. Returns `bytes` itself if there is none. */
  cover(bytes: Buffer): Buffer {
    return this.#mayHold(bytes) ? covered(bytes, this.#forAnswers().scan(bytes).marks) : bytes;
  }

  /** The same as `cover`; a promise if it takes several turns. @param turnFor waits until so many bytes may be looked through */
  coverInSlices(bytes: Buffer, turnFor: TickFor): Buffer | Promise<Buffer> {
    if (bytes.length <= shortSearch) return this.cover(bytes);
    return this.#mayHold(bytes) ? this.#coverInSlices(bytes, turnFor) : bytes;
  }

  async #coverInSlices(bytes: Buffer, turnFor: TickFor): Promise<Buffer> {
    const stream = this.stream(false);
    const out: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += maxBytesAtOnce) {
      const slice = bytes.subarray(at, at + maxBytesAtOnce);
      await turnFor(slice.length);
      stream.push(slice, out);
    }
    stream.flush(out);
    return Buffer.concat(out);
  }

  /** The same for headers that are passed on. Returns `headers` itself if none holds a secret. */
  coverHeaders(headers: Record<string, string>): Record<string, string> {
    const names = Object.keys(headers).filter((name) => saysAnything(headers[name]));
    if (names.length === 0) return headers;
    // A line break is in no value, and parts no secret from its letters.
    const values = Buffer.from(names.map((name) => headers[name]).join('\n'), 'latin1');
    const safe = this.cover(values);
    if (safe === values) return headers;
    const lines = safe.toString('latin1').split('\n');
    return { ...headers, ...Object.fromEntries(names.map((name, index) => [name, lines[index] ?? ''])) };
  }

  /**
   * The same for an answer that comes in chunks, wherever they are cut.
   *
   * @param events the answer is a stream of events: nothing is held back after the blank line that ends one
   */
  stream(events: boolean): CoveredStream {
    const whole = {
      cover: (bytes: Buffer) => this.cover(bytes),
      scan: (bytes: Buffer) => this.#scanChunk(bytes),
    };
    return new CoveredStream(whole, { events, active: this.#inAnswers.length > 0 });
  }

  /** Where the prefilter finds nothing, only the end can matter: a secret may begin there. */
  #scanChunk(bytes: Buffer): Scan {
    const matcher = this.#forAnswers();
    const reach = this.#prefilterOf()?.reach ?? bytes.length;
    if (bytes.length <= reach || this.#mayHold(bytes)) return matcher.scan(bytes);
    const end = matcher.scan(bytes.subarray(-reach));
    if (end.marks !== undefined) return matcher.scan(bytes);
    return { marks: undefined, openFrom: bytes.length - reach + end.openFrom };
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
    return this.#prefilterOf()?.mayHold(bytes) ?? true;
  }

  /** `null`: these secrets cannot do with one. */
  #prefilterOf(): Prefilter | null {
    if (this.#prefilter === undefined)
      this.#prefilter = Prefilter.of(this.#inAnswers.map(({ value }) => value));
    return this.#prefilter;
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

/** Nearly every answer has one of these types. */
const plainTypes: ReadonlySet<string> = new Set(['application/json', 'text/event-stream']);

/** Whether a header's value could hold a secret at all. */
function saysAnything(value = ''): boolean {
  return value.length >= minSecretBytes && !plainTypes.has(value);
}

function withoutCredentials(bytes: Buffer): Buffer {
  // latin1 maps each byte to one character and back.
  const text = bytes.toString('latin1');
  const redacted = redactCredentials(text);
  return redacted === text ? bytes : Buffer.from(redacted, 'latin1');
}
