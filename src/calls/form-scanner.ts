import { RouterError } from '../errors.ts';
import { asBuffer } from './answer.ts';
import { forbiddenKeys } from './json-body.ts';

/**
 * A piece of a form: bytes that stay as they are, the whole value of the field `model`, or the two hyphens that end
 * the form. Put together again they are the form.
 */
export interface FormToken {
  kind: 'data' | 'model' | 'close';
  bytes: Buffer;
}

const maxParts = 1000;
const longestHead = 16_384;
const longestModel = 4096;

/**
 * Takes a multipart form apart as its bytes come in, wherever they are cut. It holds back no more than a part's
 * head, the model's value, or what may become a delimiter.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7578
 */
export class FormScanner {
  /** The value of the field `model`, once it was seen. */
  model: string | undefined;
  readonly boundary: string;
  readonly #delimiter: Buffer;
  #step: 'first' | 'delimited' | 'head' | 'body' | 'model' | 'closed' = 'first';
  #pending: Buffer = Buffer.alloc(0);
  #atStart = false;
  #named = false;
  #parts = 0;

  /** @throws RouterError `invalid_request` if the content type has no boundary */
  constructor(contentType: string) {
    this.boundary = boundaryOf(contentType);
    this.#delimiter = Buffer.from(`\r\n--${this.boundary}`);
  }

  /** @throws RouterError `invalid_request` if the form cannot be read, or a field is forbidden or names the model twice */
  *feed(chunk: Uint8Array): Generator<FormToken> {
    // Nearly every chunk of a file: what was held back is no delimiter, and nothing needs to be copied.
    if (this.#step === 'body' && this.#isPast(chunk)) {
      this.#atStart = false;
      yield* this.#pass(this.#pending.length);
    }
    this.#pending = this.#pending.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#pending, chunk]);
    for (let more = true; more && this.#pending.length > 0; ) more = yield* this.#advance();
  }

  /** @throws RouterError `invalid_request` if the form has not ended */
  end(): void {
    if (this.#step !== 'closed') throw unreadable();
  }

  /** Whether no delimiter begins in what was held back. */
  #isPast(chunk: Uint8Array): boolean {
    const { length } = this.#delimiter;
    if (this.#pending.length === 0 || this.#pending.length >= length || chunk.length < length) return false;
    return !Buffer.concat([this.#pending, chunk.subarray(0, length)]).includes(this.#delimiter);
  }

  /** One step on; whether there may be another one without more bytes. */
  *#advance(): Generator<FormToken, boolean> {
    if (this.#step === 'closed') return yield* this.#pass(this.#pending.length);
    if (this.#step === 'first') return yield* this.#first();
    if (this.#step === 'delimited') return yield* this.#delimited();
    return this.#step === 'head' ? yield* this.#head() : yield* this.#content();
  }

  *#first(): Generator<FormToken, boolean> {
    const first = this.#delimiter.subarray(2);
    const seen = this.#pending.subarray(0, first.length);
    if (!seen.equals(first.subarray(0, seen.length))) throw unreadable();
    if (seen.length < first.length) return false;
    this.#step = 'delimited';
    return yield* this.#pass(first.length);
  }

  *#delimited(): Generator<FormToken, boolean> {
    if (this.#pending.length < 2) return false;
    const next = this.#pending.toString('latin1', 0, 2);
    if (next === '--') {
      this.#step = 'closed';
      return yield* this.#pass(2, 'close');
    }
    if (next !== '\r\n') throw unreadable();
    if (++this.#parts > maxParts) {
      throw new RouterError('invalid_request', `A form may have ${maxParts} parts at most.`);
    }
    this.#step = 'head';
    return yield* this.#pass(2);
  }

  *#head(): Generator<FormToken, boolean> {
    const end = this.#pending.indexOf('\r\n\r\n');
    if (end === -1 ? this.#pending.length > longestHead : end > longestHead) throw unreadable();
    if (end === -1) return false;
    // A part without a head: what looks like one is its content.
    if (this.#pending.toString('latin1', 0, 2) === '\r\n') throw unreadable();
    const name = nameOf(this.#pending.toString('utf8', 0, end));
    if (forbiddenKeys.has(name)) throw refusal(`${name} may not be set by a call.`, name);
    if (name === 'model' && this.#named) throw refusal('model stands twice in the form.', 'model');
    this.#named ||= name === 'model';
    this.#step = name === 'model' ? 'model' : 'body';
    this.#atStart = true;
    // The line break that ends the head could also begin a delimiter.
    return yield* this.#pass(end + 2);
  }

  *#content(): Generator<FormToken, boolean> {
    const at = this.#pending.indexOf(this.#delimiter);
    // Some parsers would see an empty part here, others the delimiter as its content.
    if (at === 0 && this.#atStart) throw unreadable();
    if (this.#step === 'model') return yield* this.#modelValue(at);
    if (at === -1) {
      const safe = this.#pending.length - this.#delimiter.length + 1;
      if (safe <= 0) return false;
      this.#atStart = false;
      yield* this.#pass(safe);
      return false;
    }
    this.#step = 'delimited';
    return yield* this.#pass(at + this.#delimiter.length);
  }

  *#modelValue(at: number): Generator<FormToken, boolean> {
    const length = at === -1 ? this.#pending.length - this.#delimiter.length : at;
    if (length - 2 > longestModel) throw refusal('model is too long.', 'model');
    if (at === -1) return false;
    yield* this.#pass(2);
    this.model = this.#pending.toString('utf8', 0, at - 2);
    yield* this.#pass(at - 2, 'model');
    this.#step = 'delimited';
    return yield* this.#pass(this.#delimiter.length);
  }

  *#pass(length: number, kind: FormToken['kind'] = 'data'): Generator<FormToken, true> {
    const bytes = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    yield { kind, bytes };
    return true;
  }
}

function boundaryOf(contentType: string): string {
  const match = /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)/i.exec(
    contentType,
  );
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined || !/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(boundary)) throw unreadable();
  return boundary;
}

/** The name of a part, from its own `content-disposition` alone. */
function nameOf(head: string): string {
  const lines = head.split('\r\n');
  // A line break of another kind, or a line that goes on in the next one, is a line of its own to some parsers only.
  if (lines.some((text) => /^[ \t]|[\r\n\0]/.test(text))) throw unreadable();
  const dispositions = lines.filter((text) => /^content-disposition\s*:/i.test(text));
  const [line] = dispositions;
  if (line === undefined || dispositions.length > 1) throw unreadable();
  const names = [...line.matchAll(/;\s*name\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/gi)];
  const name = names[0]?.[1] ?? names[0]?.[2];
  // A second spelling of the name, or an escape in it, could be read differently by the provider.
  if (names.length !== 1 || name === undefined || /;\s*name\*/i.test(line)) throw unreadable();
  return name.replace(/%22/g, '"').replace(/\\(.)/g, '$1');
}

function refusal(message: string, param: string): RouterError {
  return new RouterError('invalid_request', message, { param });
}

function unreadable(): RouterError {
  return new RouterError('invalid_request', 'The form of this call cannot be read.');
}
