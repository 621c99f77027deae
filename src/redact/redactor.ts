import { CoveredStream, covered, maxHeldBytes } from './covered-stream.ts';
import { redactCredentials } from './credential-patterns.ts';
import { Prefilter } from './prefilter.ts';
import { minSecretBytes, type Scan, SecretMatcher } from './secret-matcher.ts';

/** A value that must not appear in errors and responses. */
export interface Secret {
  value: string;
  /** Replaces the value in errors. */
  mask: string;
  /** Whether the value is also replaced in successful responses. No ordinary text contains such a value by chance. */
  inAnswers: boolean;
}

/** Bytes that one synchronous scan covers. */
const maxBytesAtOnce = 65_536;
/**
 * Bytes of one slice of an error. The slice is smaller because scans of errors are rare, so V8 has seldom optimised
 * them.
 */
const errorSlice = 16_384;
/** Bodies up to this many bytes are scanned synchronously. */
const shortSearch = 8_192;

type WaitForRoom = (bytes: number) => Promise<void> | undefined;

/** Replaces one deployment's secrets in its provider's responses. Builds its matchers at the first use. */
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

  /**
   * Redacts the text of an error. Replaces secrets with their masks, and any other substring that has the form of a
   * credential.
   */
  text(text: string): string {
    const bytes = Buffer.from(text);
    const { marks } = this.#all().scan(bytes);
    return redactCredentials(marks === undefined ? text : this.#replace(bytes, marks).toString());
  }

  /**
   * Redacts the bytes of an error. Bytes outside of a match stay unchanged.
   *
   * @param complete whether `bytes` is the whole error. If not, a suffix that may begin a secret is dropped.
   */
  bytes(bytes: Buffer, complete = true): Buffer {
    return this.#redacted(bytes, this.#all().scan(bytes), complete);
  }

  /**
   * Redacts like `bytes`. Returns a promise if the scan takes several event loop ticks.
   *
   * @param waitForRoom waits until the tick has room for a scan of that many bytes
   */
  bytesInSlices(bytes: Buffer, complete: boolean, waitForRoom: WaitForRoom): Buffer | Promise<Buffer> {
    if (bytes.length <= shortSearch) return this.bytes(bytes, complete);
    return this.#bytesInSlices(bytes, complete, waitForRoom);
  }

  async #bytesInSlices(bytes: Buffer, complete: boolean, waitForRoom: WaitForRoom): Promise<Buffer> {
    const matcher = this.#all();
    const scan: Scan = { marks: undefined, openFrom: 0 };
    for (let end = 0; end < bytes.length; ) {
      end = Math.min(end + errorSlice, bytes.length);
      const start = scan.openFrom;
      await waitForRoom(Math.max(end - start, maxBytesAtOnce));
      const { marks, openFrom } = matcher.scan(bytes.subarray(start, end));
      if (marks !== undefined) {
        scan.marks ??= new Uint8Array(bytes.length);
        for (const [at, mark] of marks.entries()) if (mark !== 0) scan.marks[start + at] = mark;
      }
      scan.openFrom = Math.max(start + openFrom, end - maxHeldBytes);
    }
    await waitForRoom(bytes.length);
    return this.#redacted(bytes, scan, complete);
  }

  /**
   * Redacts an error event of a covered stream. In an event longer than `maxBytesAtOnce` only credential patterns are
   * replaced, because the stream has already covered the secrets.
   */
  event(bytes: Buffer): Buffer {
    return bytes.length > maxBytesAtOnce ? withoutCredentials(bytes) : this.bytes(bytes);
  }

  #redacted(bytes: Buffer, { marks, openFrom }: Scan, complete: boolean): Buffer {
    const end = complete ? bytes.length : openFrom;
    return withoutCredentials(this.#replace(bytes.subarray(0, end), marks));
  }

  /**
   * Replaces each byte of a secret in a successful response with `*`. Returns `bytes` itself if it contains no
   * secret.
   */
  cover(bytes: Buffer): Buffer {
    return this.#mayHold(bytes) ? covered(bytes, this.#forAnswers().scan(bytes).marks) : bytes;
  }

  /**
   * Covers like `cover`. Returns a promise if the scan takes several event loop ticks.
   *
   * @param waitForRoom waits until the tick has room for a scan of that many bytes
   */
  coverInSlices(bytes: Buffer, waitForRoom: WaitForRoom): Buffer | Promise<Buffer> {
    if (bytes.length <= shortSearch) return this.cover(bytes);
    return this.#mayHold(bytes) ? this.#coverInSlices(bytes, waitForRoom) : bytes;
  }

  async #coverInSlices(bytes: Buffer, waitForRoom: WaitForRoom): Promise<Buffer> {
    const stream = this.stream(false);
    const out: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += maxBytesAtOnce) {
      const slice = bytes.subarray(at, at + maxBytesAtOnce);
      await waitForRoom(slice.length);
      stream.push(slice, out);
    }
    stream.flush(out);
    return Buffer.concat(out);
  }

  /** Covers secrets in response headers. Returns `headers` itself if no value contains a secret. */
  coverHeaders(headers: Record<string, string>): Record<string, string> {
    const names = Object.keys(headers).filter((name) => mayHoldSecret(headers[name]));
    if (names.length === 0) return headers;
    // A header value contains no line break, so no match can span two values.
    const values = Buffer.from(names.map((name) => headers[name]).join('\n'), 'latin1');
    const safe = this.cover(values);
    if (safe === values) return headers;
    const lines = safe.toString('latin1').split('\n');
    return { ...headers, ...Object.fromEntries(names.map((name, index) => [name, lines[index] ?? ''])) };
  }

  /**
   * Creates a stream that covers secrets in a response, wherever its chunks are cut.
   *
   * @param events whether the response is an event stream. The stream then holds nothing back after the blank line
   * that ends an event.
   */
  stream(events: boolean): CoveredStream {
    const whole = {
      cover: (bytes: Buffer) => this.cover(bytes),
      scan: (bytes: Buffer) => this.#scanChunk(bytes),
    };
    return new CoveredStream(whole, { events, active: this.#inAnswers.length > 0 });
  }

  /** If the prefilter finds nothing, only the suffix is scanned, because a secret may begin there. */
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

  /** Returns `null` if these secrets allow no prefilter. */
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

/** Content types that contain no secret. Most responses have one of them. */
const plainTypes: ReadonlySet<string> = new Set(['application/json', 'text/event-stream']);

/** Returns whether a header value is long enough to contain a secret. */
function mayHoldSecret(value = ''): boolean {
  return value.length >= minSecretBytes && !plainTypes.has(value);
}

function withoutCredentials(bytes: Buffer): Buffer {
  // latin1 maps each byte to one character and back.
  const text = bytes.toString('latin1');
  const redacted = redactCredentials(text);
  return redacted === text ? bytes : Buffer.from(redacted, 'latin1');
}
