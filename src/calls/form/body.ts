import { tickFor } from '../../tick-batch.ts';
import { FormScanner, type FormToken } from './multipart-scanner.ts';

/** A form that is held in memory. */
export interface FormBody {
  /** The value of the field `model`, if the form has one. */
  model?: string;
  /** The names of its fields. */
  names: readonly string[];
  /** The form as it came. */
  bytes: Buffer;
  /** Returns the same bytes with another model, or with a field `model` added at the end. */
  replace: (model: string) => Buffer;
  /** Returns the same as `replace`, in pieces of the form's own bytes. */
  pieces: (model: string) => Buffer[];
}

/** Bytes of a form that is scanned in one go. */
const sliceBytes = 65_536;

/**
 * Finds the field `model` in a form that is held in memory.
 *
 * @throws RouterError `invalid_request` if the form is malformed, or a field is forbidden or names the model twice
 */
export function readFormModel(body: Uint8Array, contentType: string): FormBody {
  const scanner = new FormScanner(contentType);
  const spans = new FormSpans();
  for (const token of scanner.feed(body)) spans.add(token);
  scanner.end();
  return formOf(scanner, spans, body);
}

/** Does the same for a long form, in slices, so that other work gets its turn between them. */
export async function readLongFormModel(
  body: Uint8Array,
  contentType: string,
  teamId: string | null = null,
): Promise<FormBody> {
  const scanner = new FormScanner(contentType);
  const spans = new FormSpans();
  for (let at = 0; at < body.length; at += sliceBytes) {
    const slice = body.subarray(at, at + sliceBytes);
    await tickFor(teamId, slice.length);
    for (const token of scanner.feed(slice)) spans.add(token);
  }
  scanner.end();
  return formOf(scanner, spans, body);
}

/** Where the field `model` and the end of a form are. */
export class FormSpans {
  length = 0;
  model: { start: number; end: number } | undefined;
  close = 0;

  add({ kind, bytes }: FormToken): void {
    const end = this.length + bytes.length;
    if (kind === 'model') this.model = { start: this.length, end };
    else if (kind === 'close') this.close = this.length;
    this.length = end;
  }
}

/** The form whose scan is complete. */
export function formOf(
  { model, boundary, names }: FormScanner,
  spans: FormSpans,
  body: Uint8Array,
): FormBody {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const { start, end } = spans.model ?? { start: spans.close, end: spans.close };
  const written = (next: string) => (model === undefined ? modelPart(boundary, next) : Buffer.from(next));
  const pieces = (next: string) => [bytes.subarray(0, start), written(next), bytes.subarray(end)];
  return {
    ...(model === undefined ? {} : { model }),
    names,
    bytes,
    pieces,
    replace: (next) => Buffer.concat(pieces(next)),
  };
}

/** Writes a token for the provider, with the provider's own name of the model. */
export function written(scanner: FormScanner, { kind, bytes }: FormToken, model: string): Buffer[] {
  if (kind === 'model') return [Buffer.from(model)];
  if (kind !== 'close' || scanner.model !== undefined) return [bytes];
  return [modelPart(scanner.boundary, model), bytes];
}

/** The last part of a form that names no model, with the delimiter after it. It belongs before the closing hyphens. */
export function modelPart(boundary: string, model: string): Buffer {
  return Buffer.from(`\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n--${boundary}`);
}
