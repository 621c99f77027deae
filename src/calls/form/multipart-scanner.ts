import { RouterError } from '../../errors.ts';
import { asBuffer } from '../answer.ts';
import { isUsed, type UsedName } from '../json/control-names.ts';
import { boundaryOf } from './content-type.ts';
import { baseName, type PartHead, readFieldValue, readPartHead } from './part-headers.ts';
import { PendingBytes } from './pending-bytes.ts';

/**
 * A piece of a form. The pieces joined together are the form. `model` is the whole value of the field `model`, `gap` the
 * blank line before that value, `part` the line break between a delimiter and the headers of a part, and `close` the two
 * hyphens that end the form.
 */
export interface FormToken {
  kind: 'data' | 'gap' | 'model' | 'part' | 'close';
  bytes: Buffer;
  /** The call control whose headers these are. */
  control?: UsedName;
}

/** A field whose value was read. */
export interface ReadField {
  /** The name as it was written, such as `tags[]`. */
  name: string;
  value: string;
}

const maxParts = 1000;
const maxHeadBytes = 8192;
/** Bytes of all heads together: reading them is the only work that is done byte by byte. */
const maxHeadsBytes = 524_288;
/** Bytes that the value of a field may have that the router reads. */
const maxValueBytes = 4096;
/** Line breaks after the end of a form. */
const maxEpilogueBytes = 64;

/**
 * Splits a multipart form into tokens while its bytes arrive, wherever they are cut. Holds back at most the head of a
 * part, the value of the field `model`, or the beginning of a delimiter. The work per byte does not depend on how small
 * the chunks are.
 *
 * A delimiter is CRLF, two hyphens, the boundary, and CRLF. A boundary at the start of a line is rejected if a lone LF or
 * CR is before it, because Werkzeug accepts both and Go the LF of a preamble.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7578
 * @see https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1
 */
export class FormScanner {
  /** The value of the field `model`, once it was read. */
  model: string | undefined;
  /** The names of the fields so far. */
  readonly names: string[] = [];
  /** The field `stream` and the call controls that the router follows, so far. */
  readonly values: ReadField[] = [];
  readonly boundary: string;
  readonly #dashed: Buffer;
  #step: 'preamble' | 'delimited' | 'head' | 'body' | 'value' | 'closed' = 'preamble';
  readonly #pending = new PendingBytes();
  /** Whether no byte of the form or of the part's body was passed on yet. */
  #atStart = true;
  /** The part whose value is being read. */
  #part: PartHead = { name: '', isFile: false };
  #named = false;
  #parts = 0;
  #headsBytes = 0;
  #epilogueBytes = 0;

  /** @throws RouterError `invalid_request` if the content type has no usable boundary */
  constructor(contentType: string) {
    this.boundary = boundaryOf(contentType);
    this.#dashed = Buffer.from(`--${this.boundary}`);
  }

  /** Whether the headers of a part were passed on whose value is still to be read. */
  get isReadingValue(): boolean {
    return this.#step === 'value';
  }

  /** @throws RouterError `invalid_request` if the form is malformed, or a field is forbidden or names the model twice */
  *feed(chunk: Uint8Array): Generator<FormToken> {
    const bytes = asBuffer(chunk);
    // Fast path of a file's chunks: no delimiter begins in the bytes that were held back, so the chunk is not copied.
    if (this.#step === 'body' && this.#seamIsClear(bytes)) {
      this.#atStart = false;
      yield* this.#pass(this.#pending.length);
    }
    this.#pending.append(bytes);
    for (let more = true; more && this.#pending.length > 0; ) more = yield* this.#advance();
  }

  /** @throws RouterError `invalid_request` if the form has not ended */
  end(): void {
    if (this.#step !== 'closed') throw malformedForm('it does not end with its closing delimiter');
    if (this.#epilogueBytes % 2 === 1) throw malformedForm('something follows its closing delimiter');
  }

  #seamIsClear(chunk: Buffer): boolean {
    const held = this.#pending.bytes;
    const { length } = this.#dashed;
    if (this.#atStart || held.length === 0 || held.length > length + 2 || chunk.length < length + 2)
      return false;
    return !Buffer.concat([held, chunk.subarray(0, length + 2)]).includes(this.#dashed);
  }

  /** Makes one step. Returns whether another one may be possible without more bytes. */
  *#advance(): Generator<FormToken, boolean> {
    switch (this.#step) {
      case 'delimited':
        return yield* this.#delimited();
      case 'head':
        return yield* this.#head();
      case 'value':
        return yield* this.#value();
      case 'closed':
        return yield* this.#epilogue();
      default:
        return yield* this.#content();
    }
  }

  *#delimited(): Generator<FormToken, boolean> {
    const { bytes } = this.#pending;
    if (bytes.length < 2) return false;
    const next = bytes.toString('latin1', 0, 2);
    if (next === '--') {
      this.#step = 'closed';
      return yield* this.#pass(2, 'close');
    }
    if (next !== '\r\n') throw malformedForm('its boundary is followed by something else than a line break');
    if (++this.#parts > maxParts) {
      throw new RouterError('invalid_request', `A form may have ${maxParts} parts at most.`);
    }
    this.#step = 'head';
    return yield* this.#pass(2, 'part');
  }

  *#head(): Generator<FormToken, boolean> {
    const end = this.#pending.find('\r\n\r\n');
    const size = end ?? this.#pending.length;
    if (size > maxHeadBytes || this.#headsBytes + size > maxHeadsBytes) {
      throw malformedForm('the headers of its parts are too long');
    }
    if (end === undefined) return false;
    const head = this.#pending.bytes.subarray(0, end);
    this.#headsBytes += end;
    if (head.includes(this.#dashed)) throw boundaryInside();
    this.#part = readPartHead(head);
    const { name } = this.#part;
    if (name === 'model' && this.#named) {
      throw new RouterError('invalid_request', 'The form has the field model twice.', { param: 'model' });
    }
    this.names.push(name);
    this.#named ||= name === 'model';
    const base = baseName(name);
    const control = isUsed(base) ? base : undefined;
    const isRead = name === 'model' || control !== undefined || (name === 'stream' && !this.#part.isFile);
    this.#step = isRead ? 'value' : 'body';
    this.#atStart = true;
    // The blank line stays, because the CRLF of a delimiter may be its own.
    const bytes = this.#pending.take(end + 2);
    yield control === undefined ? { kind: 'data', bytes } : { kind: 'data', bytes, control };
    return true;
  }

  /** The preamble, or the body of a part. */
  *#content(): Generator<FormToken, boolean> {
    const at = this.#delimiterAt();
    if (at !== undefined) {
      this.#step = 'delimited';
      return yield* this.#pass(at + this.#dashed.length);
    }
    // What may become a delimiter, with the line break before it.
    const safe = this.#pending.length - this.#dashed.length - 1;
    if (safe <= 0) return false;
    this.#atStart = false;
    yield* this.#pass(safe);
    return false;
  }

  *#value(): Generator<FormToken, boolean> {
    const { name } = this.#part;
    const at = this.#delimiterAt();
    const longest = maxValueBytes + (at === undefined ? this.#dashed.length + 4 : 4);
    if ((at ?? this.#pending.length) > longest) {
      const param = name.slice(0, 64);
      throw new RouterError('invalid_request', `The form field ${param} is too long.`, { param });
    }
    if (at === undefined) return false;
    const length = at - 4;
    const value = readFieldValue(name, this.#pending.bytes.subarray(2, 2 + length));
    this.#step = 'delimited';
    if (name === 'model') {
      this.model = value;
      yield* this.#pass(2, 'gap');
      yield* this.#pass(length, 'model');
      return yield* this.#pass(2 + this.#dashed.length);
    }
    this.values.push({ name, value });
    return yield* this.#pass(at + this.#dashed.length);
  }

  *#epilogue(): Generator<FormToken, boolean> {
    const { bytes } = this.#pending;
    for (const byte of bytes.subarray(0, maxEpilogueBytes + 1)) {
      const expected = this.#epilogueBytes % 2 === 0 ? 0x0d : 0x0a;
      if (++this.#epilogueBytes > maxEpilogueBytes || byte !== expected) {
        throw malformedForm('something follows its closing delimiter');
      }
    }
    return yield* this.#pass(bytes.length);
  }

  /** Returns where the two hyphens of the next delimiter are. */
  #delimiterAt(): number | undefined {
    const first = this.#atStart && this.#step === 'preamble';
    for (;;) {
      const at = this.#pending.find(this.#dashed);
      if (at === undefined || (first && at === 0)) return at;
      const { bytes } = this.#pending;
      const before = bytes[at - 1];
      if (before === 0x0a && bytes[at - 2] === 0x0d) {
        // Directly after the blank line some parsers would see an empty part, others the delimiter as its content.
        if (at === 2 && this.#atStart && !first) throw boundaryInside();
        return at;
      }
      // undici treats it as a delimiter anywhere in a preamble.
      if (before === 0x0a || before === 0x0d || this.#step === 'preamble') throw boundaryInside();
      this.#pending.skip(at + 1);
    }
  }

  *#pass(length: number, kind: FormToken['kind'] = 'data'): Generator<FormToken, true> {
    yield { kind, bytes: this.#pending.take(length) };
    return true;
  }
}

function boundaryInside(): RouterError {
  return malformedForm('its boundary occurs where parsers disagree about it. Choose another boundary');
}

function malformedForm(problem: string): RouterError {
  return new RouterError('invalid_request', `Malformed multipart/form-data body: ${problem}.`);
}
