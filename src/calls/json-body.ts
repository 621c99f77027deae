import { RouterError } from '../errors.ts';
import {
  closeBrace,
  colon,
  comma,
  openBrace,
  openBracket,
  quote,
  skipSpace,
  stringAt,
  stringEnd,
  unreadable,
  valueEnd,
} from './json-bytes.ts';

/** Where the top-level values of a JSON object stand among its bytes. Nothing below them is parsed. */
export interface BodyScan {
  model?: { value: string; start: number; end: number };
  /** Whether `stream` is the literal `true`. */
  stream: boolean;
  /** Spans of the top-level values: [start, end). */
  keys: ReadonlyMap<string, readonly [start: number, end: number]>;
  /** The index after the opening brace. */
  open: number;
}

/** Where a call goes and with which key is the router's to say, never the body's. */
export const forbiddenKeys = new Set([
  'api_key',
  'api_base',
  'base_url',
  'api_version',
  'custom_llm_provider',
  'litellm_params',
]);

/** A body longer than this is not copied for the sake of its model: what comes behind it is sent as it lies there. */
const copiedBytes = 65_536;

/**
 * Scans a JSON body for its top-level keys. Its bytes are never made a text: numbers and escapes stay as they were
 * written, and a long prompt costs hardly more than a short one.
 *
 * @param bytes UTF-8
 * @throws RouterError `invalid_request` if it is no object, or a top-level key stands twice or is forbidden
 */
export function scanBody(bytes: Buffer): BodyScan {
  const keys = new Map<string, readonly [number, number]>();
  const open = expect(bytes, skipSpace(bytes, 0), openBrace);
  let at = skipSpace(bytes, open);
  if (bytes[at] !== closeBrace) {
    for (;;) {
      const keyEnd = stringEnd(bytes, at);
      const key = stringAt(bytes, at, keyEnd);
      if (key === undefined) throw unreadable();
      if (keys.has(key)) throw refusal(`${shown(key)} stands twice in the body.`, key);
      if (forbiddenKeys.has(key)) throw refusal(`${key} may not be set by a call.`, key);
      const start = skipSpace(bytes, expect(bytes, skipSpace(bytes, keyEnd), colon));
      const end = valueEnd(bytes, start);
      keys.set(key, [start, end]);
      at = skipSpace(bytes, end);
      if (bytes[at] === closeBrace) break;
      at = skipSpace(bytes, expect(bytes, at, comma));
    }
  }
  if (skipSpace(bytes, at + 1) !== bytes.length) throw unreadable();
  const stream = literal(bytes, keys.get('stream')) === 'true';
  const model = keys.get('model');
  return model === undefined
    ? { stream, keys, open }
    : { model: readModel(bytes, model), stream, keys, open };
}

/**
 * The same bytes with another model, and with what the body lacks of `extra` in front of everything else; a long body
 * in two pieces.
 */
export function writeBody(
  bytes: Buffer,
  scan: BodyScan,
  model: string,
  extra: Record<string, unknown> | undefined,
): Buffer | Buffer[] {
  const added = membersOfExtra(scan, scan.model === undefined ? { model, ...extra } : extra);
  const { start, end } = scan.model ?? { start: scan.open, end: scan.open };
  const written = scan.model === undefined ? '' : JSON.stringify(model);
  const kept = bytes.length > copiedBytes ? end : bytes.length;
  const copy = Buffer.allocUnsafe(
    kept - (end - start) + Buffer.byteLength(added) + Buffer.byteLength(written),
  );
  let at = bytes.copy(copy, 0, 0, scan.open);
  at += copy.write(added, at);
  at += bytes.copy(copy, at, scan.open, start);
  at += copy.write(written, at);
  bytes.copy(copy, at, end, kept);
  return kept === bytes.length ? copy : [copy, bytes.subarray(end)];
}

function membersOfExtra(scan: BodyScan, extra: Record<string, unknown> | undefined): string {
  if (extra === undefined) return '';
  const lacking = Object.entries(extra).filter(([key, value]) => !scan.keys.has(key) && value !== undefined);
  if (lacking.length === 0) return '';
  const members = lacking.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',');
  return scan.keys.size === 0 ? members : `${members},`;
}

/**
 * Every key of a valid JSON text, at whatever depth, with the text of its value if that is a scalar. Unlike the
 * outcome of `JSON.parse` it shows a key that stands twice twice, and one with escapes as what it is, which V8
 * does not always do.
 *
 * @see https://github.com/nodejs/node/issues/63785
 */
export function* membersOf(bytes: Buffer): Generator<{ key: string; value: string | undefined }> {
  for (let start = bytes.indexOf(quote); start !== -1; ) {
    const end = stringEnd(bytes, start);
    const after = skipSpace(bytes, end);
    if (bytes[after] === colon) {
      const at = skipSpace(bytes, after + 1);
      const nested = bytes[at] === openBrace || bytes[at] === openBracket;
      const key = stringAt(bytes, start, end);
      if (key === undefined) throw unreadable();
      yield { key, value: nested ? undefined : bytes.toString('utf8', at, valueEnd(bytes, at)) };
    }
    start = bytes.indexOf(quote, end);
  }
}

/** The text of a top-level value, if there is one. */
export function literal(
  bytes: Buffer,
  span: readonly [start: number, end: number] | undefined,
): string | undefined {
  return span === undefined ? undefined : bytes.toString('utf8', span[0], span[1]);
}

function readModel(bytes: Buffer, [start, end]: readonly [number, number]): NonNullable<BodyScan['model']> {
  if (bytes[start] !== quote) throw refusal('model must be a string.', 'model');
  const value = stringAt(bytes, start, end);
  if (value === undefined) throw refusal('model is not a valid string.', 'model');
  return { value, start, end };
}

function expect(bytes: Buffer, at: number, byte: number): number {
  if (bytes[at] !== byte) throw unreadable();
  return at + 1;
}

function shown(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}

function refusal(message: string, param: string): RouterError {
  return new RouterError('invalid_request', message, { param: param.slice(0, 64) });
}
