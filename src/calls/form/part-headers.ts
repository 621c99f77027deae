import { RouterError } from '../../errors.ts';
import { mayNotBeSet } from '../json/call-controls.ts';
import { isCallControl, isForbidden } from '../json/control-names.ts';
import { type ParameterizedHeader, parseHeader } from './header-parameters.ts';

/** The only encodings that leave a part's bytes as they are. */
const identityEncodings = new Set(['7bit', '8bit', 'binary']);
const modelCharsets = new Set(['utf-8', 'us-ascii']);
const knownParameters = new Set(['name', 'filename', 'filename*']);
/** Parameters of RFC 2183 that parsers of forms ignore, with values that no parser takes for another parameter. */
const ignoredParameters = new Set(['size', 'creation-date', 'modification-date', 'read-date']);
const plainValue = /^[\w ,:+-]*$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What the headers of a part say. */
export interface PartHead {
  name: string;
  /** Whether the part has a file name. */
  isFile: boolean;
}

/** Returns the name of a field without its brackets: `tags` for `tags[]` and `tags[0]`. */
export function baseName(name: string): string {
  return name.split('[', 1)[0] ?? name;
}

/**
 * Reads the headers of a part. Rejects a head that two parsers could read differently:
 * Go decodes quoted-printable, PHP folds names, formidable takes the first `name=` even inside another parameter.
 *
 * @param head without the blank line that ends it
 * @throws RouterError `invalid_request`
 * @see https://www.rfc-editor.org/rfc/rfc7578#section-4
 */
export function readPartHead(head: Buffer): PartHead {
  const headers = readHeaders(head.toString('latin1'));
  const disposition = parseHeader(headers.get('content-disposition') ?? '');
  if (disposition?.value !== 'form-data')
    throw malformedPart('needs one header Content-Disposition: form-data; name="..."');
  // busboy drops such a part, and one with spaces around "=", which the grammar has not.
  if (disposition.hasEmpty)
    throw malformedPart('must have no semicolon at the end of its Content-Disposition');
  const name = readName(disposition);
  const encoding = headers.get('content-transfer-encoding')?.toLowerCase();
  if (encoding !== undefined && !identityEncodings.has(encoding)) {
    throw invalidField(name, 'must have no Content-Transfer-Encoding. Send its bytes as they are.');
  }
  const type = headers.get('content-type');
  if (type !== undefined && /^multipart\//i.test(type))
    throw invalidField(name, 'must not be a form itself.');
  checkFieldName(name);
  if (name === 'model') checkModelPart(disposition, type);
  return { name, isFile: isFile(disposition) };
}

function readHeaders(text: string): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
    // A folded line, a lone line break and a space before the colon are read differently by different parsers.
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || hasControls(line))
      throw malformedPart('has a malformed header');
    if (headers.has(name)) throw malformedPart(`has the header ${name.slice(0, 64)} twice`);
    headers.set(name, withoutBlanks(line, colon + 1));
  }
  return headers;
}

/** A regular expression would need quadratic time for a long run of blanks. */
function withoutBlanks(line: string, from: number): string {
  let start = from;
  let end = line.length;
  while (line[start] === ' ' || line[start] === '\t') start++;
  while (end > start && (line[end - 1] === ' ' || line[end - 1] === '\t')) end--;
  return line.slice(start, end);
}

function readName({ parameters }: ParameterizedHeader): string {
  const name = parameters.get('name');
  if (name === undefined) throw malformedPart('has no name');
  let seen = false;
  for (const [key, { raw }] of parameters) {
    if (ignoredParameters.has(key) && plainValue.test(raw)) continue;
    if (!knownParameters.has(key)) throw malformedPart('may have the parameters name and filename only');
    if (key === 'name') seen = true;
    else if (isAmbiguous(raw, seen)) throw malformedPart('has an ambiguous filename');
  }
  const decoded = decodeUtf8(name.raw);
  if (decoded === undefined || decoded === '' || /["\\%;=\p{Cc}]/u.test(decoded)) {
    throw malformedPart('has a name with characters that parsers read differently');
  }
  return decoded;
}

/**
 * Returns whether a parser could find a field's name in a filename. A browser's parser ends the value at an escaped
 * quotation mark; formidable takes the first `name=` of the line.
 */
function isAmbiguous(filename: string, afterName: boolean): boolean {
  if (filename.includes('\\"') && filename.includes('=')) return true;
  return !afterName && /name\s*\*?\s*=/i.test(filename);
}

/** Rejects names that the router judges, also in a spelling that a lenient parser takes for one of them. */
function checkFieldName(name: string): void {
  const folded = foldedName(name);
  if (folded === '_charset_') throw invalidField(name, 'is not supported. Send the form in UTF-8.');
  if (isForbidden(folded)) throw mayNotBeSet([folded]);
  if (folded === 'model' && name !== 'model')
    throw invalidField(name, 'is ambiguous. Write it as model.', 'model');
  if (isCallControl(folded) && baseName(name) !== folded)
    throw invalidField(name, `is ambiguous. Write it as ${folded}.`, folded);
}

/** PHP cuts a name at a bracket and turns spaces and dots into `_`; Go and ASP.NET ignore case. */
function foldedName(name: string): string {
  const [start = ''] = name
    .normalize('NFKC')
    .replace(/\p{Cf}|\u0307/gu, '')
    .trim()
    .split('[', 1);
  return start
    .trim()
    .toLowerCase()
    .replace(/[\s.-]/g, '_');
}

function isFile({ parameters }: ParameterizedHeader): boolean {
  return parameters.has('filename') || parameters.has('filename*');
}

function checkModelPart(disposition: ParameterizedHeader, type: string | undefined): void {
  if (isFile(disposition)) throw invalidField('model', 'must not be a file.');
  if (type === undefined) return;
  const parsed = parseHeader(type);
  const charset = parsed?.parameters.get('charset')?.value.toLowerCase() ?? 'utf-8';
  if (parsed?.value !== 'text/plain' || !modelCharsets.has(charset)) {
    throw invalidField('model', 'must be text/plain in UTF-8.');
  }
}

/** Returns the value of a field. @throws RouterError `invalid_request` if it is not UTF-8, or a name with a line break */
export function readFieldValue(name: string, bytes: Buffer): string {
  const value = decodeUtf8(bytes.toString('latin1'));
  if (value === undefined) throw invalidField(name, 'must be UTF-8.');
  if (name === 'model' && /[\r\n]$/.test(value))
    throw invalidField(name, 'must not end with a line break. Remove it.');
  return value;
}

function decodeUtf8(latin1: string): string | undefined {
  try {
    return utf8.decode(Buffer.from(latin1, 'latin1'));
  } catch {
    return undefined;
  }
}

function hasControls(line: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /[\x00-\x08\x0a-\x1f\x7f]/.test(line);
}

function invalidField(name: string, problem: string, param = name): RouterError {
  const message = `The form field ${JSON.stringify(name.slice(0, 64))} ${problem}`;
  return new RouterError('invalid_request', message, { param: param.slice(0, 64) });
}

function malformedPart(problem: string): RouterError {
  return new RouterError('invalid_request', `Malformed multipart/form-data body: a part ${problem}.`);
}
