import { randomUUID } from 'node:crypto';
import { formContentType } from '../calls/form/content-type.ts';

/** A form that is encoded while it is sent. */
export interface WrittenForm {
  body: AsyncIterable<Uint8Array>;
  contentType: string;
  /** Bytes of the body. */
  length: number;
}

/**
 * Writes FormData as multipart/form-data. The field `model` is written first, so that the model is known before a long
 * file is sent. Files are read while they are sent.
 *
 * @see https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
 */
export function writeFormData(form: FormData): WrittenForm {
  const boundary = `----team-model-router-${randomUUID()}`;
  const entries = [...form];
  const isModel = ([name, value]: [string, unknown]) => name === 'model' && typeof value === 'string';
  const ordered = [...entries.filter(isModel), ...entries.filter((entry) => !isModel(entry))];
  const pieces: (Buffer | Blob)[] = [];
  for (const [name, value] of ordered) pieces.push(...partOf(boundary, name, value));
  pieces.push(Buffer.from(`--${boundary}--\r\n`));
  const length = pieces.reduce((sum, piece) => sum + (Buffer.isBuffer(piece) ? piece.length : piece.size), 0);
  return { body: bytesOf(pieces), contentType: formContentType(boundary), length };
}

function partOf(boundary: string, name: string, value: string | File): (Buffer | Blob)[] {
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(withCrlf(name))}"`;
  if (typeof value === 'string') return [Buffer.from(`${head}\r\n\r\n${withCrlf(value)}\r\n`)];
  const type = value.type === '' ? 'application/octet-stream' : value.type;
  // The client writes typed fields as files without a name; `fetch` sends these without a file's name too.
  const file = value.name === '' ? '' : `; filename="${escaped(value.name)}"`;
  return [Buffer.from(`${head}${file}\r\nContent-Type: ${type}\r\n\r\n`), value, Buffer.from('\r\n')];
}

async function* bytesOf(pieces: readonly (Buffer | Blob)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    if (Buffer.isBuffer(piece)) yield piece;
    else yield* piece.stream() as AsyncIterable<Uint8Array>;
  }
}

function withCrlf(text: string): string {
  return text.replace(/\r\n?|\n/g, '\r\n');
}

function escaped(text: string): string {
  return text.replace(/\n/g, '%0A').replace(/\r/g, '%0D').replace(/"/g, '%22');
}
