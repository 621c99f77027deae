import { RouterError } from '../../errors.ts';
import { type ParameterizedHeader, parseHeader } from './header-parameters.ts';

const form = 'multipart/form-data';
const isToken = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** The characters of RFC 2046, without the space. */
const isBoundary = /^[0-9A-Za-z'()+_,./:=?-]{1,70}$/;

/** The same unquoted, with characters that the grammar allows in quotation marks only. Java's mail library writes such. */
const bareBoundary = /(;[\t ]*boundary=)([0-9A-Za-z'()+_,./:=?-]+)(?=[\t ]*(?:;|$))/i;

/**
 * Returns the media type of a Content-Type header in lower case, such as `application/json`, or `undefined` if the header
 * is absent or malformed. Two headers joined by a comma are malformed.
 */
export function mediaTypeOf(contentType: string | null): string | undefined {
  if (contentType === null || contentType === 'application/json') return contentType ?? undefined;
  const value = parseContentType(contentType)?.value;
  return value?.includes('/') ? value : undefined;
}

/**
 * Returns whether a call's body is a form. Every part of the router decides this here.
 *
 * @throws RouterError `invalid_request` if the header is malformed
 */
export function isForm(contentType: string | null): contentType is string {
  if (contentType === null || contentType === '') return false;
  const type = mediaTypeOf(contentType);
  if (type === undefined)
    throw invalidContentType('malformed header. Send one media type with its parameters.');
  return type === form;
}

/**
 * Returns the boundary of a form. Parsers disagree about a boundary that is repeated, continued, escaped or hidden in
 * another parameter, so all of these are rejected.
 *
 * @throws RouterError `invalid_request`
 * @see https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1
 */
export function boundaryOf(contentType: string): string {
  const parsed = parseContentType(contentType);
  if (parsed?.value !== form) throw invalidContentType(`must be ${form} with one boundary.`);
  const boundary = parsed.parameters.get('boundary');
  if (boundary === undefined)
    throw invalidContentType('boundary is required. Send the header that the form was made with.');
  for (const [name, { raw }] of parsed.parameters) {
    if (name !== 'boundary' && (name !== 'charset' || /boundary/i.test(raw))) {
      throw invalidContentType('must have no parameter but boundary and charset.');
    }
  }
  if (!isBoundary.test(boundary.raw)) {
    throw invalidContentType('boundary must be 1 to 70 characters of RFC 2046, without spaces or escapes.');
  }
  return boundary.raw;
}

/** Providers get a header of the router's own, with the boundary in quotation marks, so they cannot read it differently. */
function parseContentType(text: string): ParameterizedHeader | undefined {
  return parseHeader(text) ?? parseHeader(text.replace(bareBoundary, '$1"$2"'));
}

/** Writes the header of a form from its boundary alone. */
export function formContentType(boundary: string): string {
  return `${form}; boundary=${isToken.test(boundary) ? boundary : `"${boundary}"`}`;
}

function invalidContentType(problem: string): RouterError {
  return new RouterError('invalid_request', `content-type: ${problem}`, { param: 'content-type' });
}
