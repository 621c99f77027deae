import { isUtf8 } from 'node:buffer';
import { RouterError } from '../../errors.ts';
import { tickFor } from '../../tick-batch.ts';
import { type CallControls, jsonControls, metadataTags } from './call-controls.ts';
import { BodyReader } from './reader.ts';
import { JsonScanner } from './scanner.ts';
import type { Shape } from './shape.ts';
import { isLiteral, type MemberSpan, quote, stringAt } from './tokens.ts';

/** Facts about a JSON body: the positions of its top-level values, and the values that restrict its target. */
export interface BodyScan {
  /** Position and name of the model; `undefined` for null, which names no model. */
  model?: { value: string | undefined; start: number; end: number };
  /** Whether `stream` is the literal `true`. */
  stream: boolean;
  keys: ReadonlyMap<string, MemberSpan>;
  /** The index after the opening brace. */
  open: number;
  /** The ids of objects in the provider's account that it speaks of. */
  references: readonly string[];
  /** Paths of the fields that a shared deployment has to judge; `unlisted`: there are more. */
  listed: ReadonlySet<string>;
  unlisted: boolean;
  /** What it asks of the router itself. */
  controls?: CallControls;
  /** For the receipt. */
  tags?: readonly string[];
}

const none: readonly string[] = [];
const noFields: ReadonlySet<string> = new Set();

/** Bytes that are read in one turn of the event loop. */
export const sliceBytes = 65_536;
/** Bodies up to this size are read synchronously. */
const shortBody = 16_384;

/**
 * Reads a JSON body in one pass. Never decodes the body to text, so numbers and escapes keep their spelling.
 * Returns a promise for a body that takes more than one turn.
 *
 * @param bytes UTF-8
 * @param shape fields that are known to be stateless
 * @param teamId team of the caller
 * @throws RouterError `invalid_request` if it is not an object, is nested too deeply, has too many members, or
 * has a duplicate or forbidden top-level key
 */
export function readJsonBody(
  bytes: Buffer,
  shape: Shape | undefined,
  teamId: string | null = null,
): BodyScan | Promise<BodyScan> {
  if (bytes.length > shortBody) return readInSlices(bytes, shape, teamId);
  checkUtf8(bytes, 0, bytes.length);
  return scanBody(bytes, shape);
}

/** Reads a body in one turn, however long it is. */
export function scanBody(bytes: Buffer, shape?: Shape): BodyScan {
  const reader = new BodyReader(bytes, shape);
  new JsonScanner(bytes, reader).run(bytes.length);
  return scanOf(bytes, reader);
}

async function readInSlices(
  bytes: Buffer,
  shape: Shape | undefined,
  teamId: string | null,
): Promise<BodyScan> {
  const reader = new BodyReader(bytes, shape);
  const scanner = new JsonScanner(bytes, reader);
  for (let start = 0, at = 0; start < bytes.length; start = at) {
    at = boundary(bytes, start + sliceBytes);
    await tickFor(teamId, at - start);
    checkUtf8(bytes, start, at);
    scanner.run(at);
  }
  return scanOf(bytes, reader);
}

/** The last index up to `at` where a character begins. */
function boundary(bytes: Buffer, at: number): number {
  if (at >= bytes.length) return bytes.length;
  for (let back = 0; back < 4; back++) if (((bytes[at - back] as number) & 0xc0) !== 0x80) return at - back;
  return at;
}

function checkUtf8(bytes: Buffer, start: number, end: number): void {
  if (!isUtf8(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)))
    throw new RouterError('invalid_request', 'The body is not UTF-8.');
}

function scanOf(bytes: Buffer, reader: BodyReader): BodyScan {
  const { keys, listed, unlisted } = reader;
  const model = keys.get('model');
  const scan: BodyScan = {
    stream: isTrue(bytes, keys.get('stream')),
    keys,
    open: reader.firstMember,
    references: reader.references?.ids ?? none,
    listed: listed ?? noFields,
    unlisted,
  };
  if (model !== undefined) scan.model = readModel(bytes, model);
  if (reader.controls !== undefined) scan.controls = jsonControls(bytes, keys, reader.controls);
  const tags = scan.controls?.tags ?? metadataTags(bytes, keys.get('metadata'));
  if (tags !== undefined) scan.tags = tags;
  return scan;
}

export function isTrue(bytes: Buffer, span: MemberSpan | undefined): boolean {
  return span !== undefined && isLiteral(bytes, span[0], span[1], 'true');
}

export function isFalse(bytes: Buffer, span: MemberSpan | undefined): boolean {
  return span !== undefined && isLiteral(bytes, span[0], span[1], 'false');
}

function readModel(bytes: Buffer, [start, end]: MemberSpan): NonNullable<BodyScan['model']> {
  if (isLiteral(bytes, start, end, 'null')) return { value: undefined, start, end };
  const value = bytes[start] === quote ? stringAt(bytes, start, end) : undefined;
  if (value !== undefined) return { value, start, end };
  const message = bytes[start] === quote ? 'model is not a valid string.' : 'model must be a string.';
  throw new RouterError('invalid_request', message, { param: 'model' });
}
