import { RouterError } from '../errors.ts';
import { asBuffer } from './answer.ts';
import { forbiddenKeys } from './json-body.ts';

/** A multipart body in which the model was found, if it names one. */
export interface FormBody {
  model?: string;
  /** The same bytes with another model; with one put in front, if none was named. */
  replace: (model: string) => Uint8Array;
}

const maxParts = 1000;

/**
 * Finds the field `model` in a multipart body that is held in memory. Only its bytes are ever changed.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7578
 * @throws RouterError `invalid_request` if the form cannot be read, or a field is forbidden or names the model twice
 */
export function readFormModel(given: Uint8Array, contentType: string): FormBody {
  const body = asBuffer(given);
  const boundary = boundaryOf(contentType);
  let model: { value: string; start: number; end: number } | undefined;
  for (const part of partsOf(body, boundary)) {
    const name = nameOf(body.toString('utf8', part.headStart, part.bodyStart));
    if (forbiddenKeys.has(name)) throw refusal(`${name} may not be set by a call.`, name);
    if (name !== 'model') continue;
    if (model !== undefined) throw refusal('model stands twice in the form.', 'model');
    model = { value: body.toString('utf8', part.bodyStart, part.end), start: part.bodyStart, end: part.end };
  }
  if (model === undefined) return { replace: (name) => Buffer.concat([field(boundary, name), body]) };
  const { value, start, end } = model;
  return {
    model: value,
    replace: (name) => Buffer.concat([body.subarray(0, start), Buffer.from(name), body.subarray(end)]),
  };
}

interface Part {
  headStart: number;
  bodyStart: number;
  end: number;
}

function* partsOf(body: Buffer, boundary: string): Generator<Part> {
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const first = Buffer.from(`--${boundary}`);
  if (!body.subarray(0, first.length).equals(first)) throw unreadable();
  let at = first.length;
  for (let count = 0; count <= maxParts; count++) {
    if (body.toString('latin1', at, at + 2) === '--') return;
    if (body.toString('latin1', at, at + 2) !== '\r\n') throw unreadable();
    const headStart = at + 2;
    const headEnd = body.indexOf('\r\n\r\n', headStart);
    const end = headEnd === -1 ? -1 : body.indexOf(delimiter, headEnd + 2);
    if (end === -1) throw unreadable();
    yield { headStart, bodyStart: headEnd + 4, end: Math.max(end, headEnd + 4) };
    at = end + delimiter.length;
  }
  throw new RouterError('invalid_request', `A form may have ${maxParts} parts at most.`);
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
  const dispositions = head.split('\r\n').filter((line) => /^content-disposition\s*:/i.test(line));
  const [line] = dispositions;
  if (line === undefined || dispositions.length > 1) throw unreadable();
  const names = [...line.matchAll(/;\s*name\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/gi)];
  const name = names[0]?.[1] ?? names[0]?.[2];
  // A second spelling of the name, or an escape in it, could be read differently by the provider.
  if (names.length !== 1 || name === undefined || /;\s*name\*/i.test(line)) throw unreadable();
  return name.replace(/%22/g, '"').replace(/\\(.)/g, '$1');
}

function field(boundary: string, model: string): Buffer {
  return Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n`);
}

function refusal(message: string, param: string): RouterError {
  return new RouterError('invalid_request', message, { param });
}

function unreadable(): RouterError {
  return new RouterError('invalid_request', 'The form of this call cannot be read.');
}
