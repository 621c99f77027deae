/** A header value with parameters, such as `form-data; name="file"`. */
export interface ParameterizedHeader {
  /** What comes before the first semicolon, in lower case. */
  value: string;
  /** Names in lower case. */
  parameters: ReadonlyMap<string, Parameter>;
  /** Whether a semicolon has no parameter after it. */
  hasEmpty: boolean;
}

export interface Parameter {
  /** Without its quotation marks and escapes. */
  value: string;
  /** The value as it was sent, without its quotation marks. */
  raw: string;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const value = new RegExp(`(${token}(?:/${token})?)[\\t ]*`, 'y');
const parameter = new RegExp(
  `;[\\t ]*(?:(${token})=(?:(${token})|"((?:[\\t\\x20\\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*)"))?[\\t ]*`,
  'y',
);

/** Characters of a header that is parsed. Every real one is much shorter. */
const maxLength = 8192;

/**
 * Parses a header value by its grammar. Returns `undefined` if the value does not follow the grammar or has a parameter
 * twice, because two parsers could then read it differently.
 *
 * @param text one character per byte
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-5.6.6
 */
export function parseHeader(text: string): ParameterizedHeader | undefined {
  if (text.length > maxLength) return undefined;
  value.lastIndex = 0;
  const first = value.exec(text)?.[1];
  if (first === undefined) return undefined;
  const parameters = new Map<string, Parameter>();
  let hasEmpty = false;
  for (let at = value.lastIndex; at < text.length; at = parameter.lastIndex) {
    parameter.lastIndex = at;
    const match = parameter.exec(text);
    if (match === null) return undefined;
    const name = match[1]?.toLowerCase();
    hasEmpty ||= name === undefined;
    if (name === undefined) continue;
    if (parameters.has(name)) return undefined;
    const raw = match[2] ?? match[3] ?? '';
    parameters.set(name, { value: match[2] ?? raw.replace(/\\(.)/g, '$1'), raw });
  }
  return { value: first.toLowerCase(), parameters, hasEmpty };
}
