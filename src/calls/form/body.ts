import { tickFor } from '../../tick-batch.ts';
import { asBuffer } from '../answer.ts';
import type { UsedName } from '../json/control-names.ts';
import { FormScanner, type FormToken, type ReadField } from './multipart-scanner.ts';

/** A form that is held in memory. */
export interface FormBody {
  /** The value of the field `model`, if the form has one. */
  model?: string;
  /** The names of its fields. */
  names: readonly string[];
  /** The fields whose values the router reads. */
  values: readonly ReadField[];
  /** The form as it came. */
  bytes: Buffer;
  /** Returns the same bytes with another model, or with a field `model` added at the end. */
  replace: (model: string) => Buffer;
  /** Returns what a provider gets, in pieces of the form's own bytes. */
  pieces: (changes: FormChanges) => Buffer[];
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

/** Where the field `model`, the call controls and the end of a form are. */
export class FormSpans {
  length = 0;
  model: { start: number; end: number } | undefined;
  /** Parts that the router follows, each with the delimiter after it. */
  readonly controls: { name: UsedName; start: number; end: number }[] = [];
  /** Where the two hyphens that end the form are; 0: not read yet. */
  close = 0;
  #partStart = 0;
  #control: UsedName | undefined;

  add({ kind, bytes, control }: FormToken): void {
    const end = this.length + bytes.length;
    if (kind === 'part') this.#partStart = this.length;
    else if (kind === 'model') this.model = { start: this.length, end };
    else if (kind === 'close') this.close = this.length;
    // The value follows its headers in one token, with the delimiter.
    if (this.#control !== undefined) this.controls.push({ name: this.#control, start: this.#partStart, end });
    this.#control = control;
    this.length = end;
  }
}

/** What a provider gets in place of a form as it came. */
export interface FormChanges {
  /** The provider's own name of the model; `undefined`: the form carries none. */
  model: string | undefined;
  /** The call controls that are left out. */
  cut: readonly string[];
}

/** Returns the bytes that were read of a form with other ones in their places. */
export function editForm(
  bytes: Buffer,
  spans: FormSpans,
  boundary: string,
  { model, cut }: FormChanges,
): Buffer[] {
  const edits = cutsOf(spans, cut).map(({ start, end }) => ({ start, end, text: none }));
  if (model !== undefined && spans.model !== undefined)
    edits.push({ ...spans.model, text: Buffer.from(model) });
  else if (model !== undefined && spans.close > 0)
    edits.push({ start: spans.close, end: spans.close, text: modelPart(boundary, model) });
  if (edits.length === 0) return [bytes];
  edits.sort((left, right) => left.start - right.start);
  const pieces: Buffer[] = [];
  let from = 0;
  for (const { start, end, text } of edits) {
    pieces.push(bytes.subarray(from, start), text);
    from = end;
  }
  pieces.push(bytes.subarray(from));
  return pieces.filter((piece) => piece.length > 0);
}

/** Returns how many bytes shorter a form is without these call controls. */
export function cutBytes(spans: FormSpans, cut: readonly string[]): number {
  return cutsOf(spans, cut).reduce((sum, { start, end }) => sum + end - start, 0);
}

function cutsOf({ controls }: FormSpans, cut: readonly string[]): readonly FormSpans['controls'][number][] {
  return controls.filter(({ name }) => cut.includes(name));
}

const none: Buffer = Buffer.alloc(0);

/** The form whose scan is complete. */
export function formOf(scanner: FormScanner, spans: FormSpans, body: Uint8Array): FormBody {
  const { model, names, values, boundary } = scanner;
  const bytes = asBuffer(body);
  const pieces = (changes: FormChanges) => editForm(bytes, spans, boundary, changes);
  return {
    ...(model === undefined ? {} : { model }),
    names,
    values,
    bytes,
    pieces,
    replace: (next) => Buffer.concat(pieces({ model: next, cut: [] })),
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
