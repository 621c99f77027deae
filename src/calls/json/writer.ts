import type { BodyScan } from './body.ts';

/** A longer body is not copied to change its model. The bytes after the model are sent from the original. */
const copiedBytes = 65_536;

interface Changes {
  /** The provider's model; `undefined`: the body's is left as it is. */
  model: string | undefined;
  /** Members for what the body lacks of them. */
  extra: Record<string, unknown> | undefined;
  /** Top-level members that are not sent on. */
  cut?: readonly string[];
}

/** The bytes from `start` to `end` give way to a text. */
type Edit = readonly [start: number, end: number, text: string];

/**
 * The same bytes with another model, without what is cut, and with what the body lacks of `extra` in front of everything
 * else; a long body in pieces.
 */
export function writeBody(
  bytes: Buffer,
  scan: BodyScan,
  { model, extra, cut = [] }: Changes,
): Buffer | Buffer[] {
  const cuts = cut.length === 0 ? none : cutsOf(scan, new Set(cut));
  const kept = scan.keys.size - cuts.length;
  const named = scan.model === undefined && model !== undefined ? { model, ...extra } : extra;
  const added = membersOfExtra(scan, named, cut, kept === 0);
  const edits: Edit[] = added === '' ? [] : [[scan.open, scan.open, added]];
  if (scan.model !== undefined && model !== undefined)
    edits.push([scan.model.start, scan.model.end, JSON.stringify(model)]);
  edits.push(...cuts);
  if (edits.length === 0) return bytes;
  edits.sort(([left], [right]) => left - right);
  const last = edits.at(-1)?.[1] ?? 0;
  if (last > copiedBytes) return piecesOf(bytes, edits);
  const end = bytes.length > copiedBytes ? last : bytes.length;
  const copy = copyOf(bytes, edits, end);
  return end === bytes.length ? copy : [copy, bytes.subarray(end)];
}

const none: readonly Edit[] = [];

function copyOf(bytes: Buffer, edits: readonly Edit[], end: number): Buffer {
  let size = end;
  for (const [start, stop, text] of edits) size += Buffer.byteLength(text) - (stop - start);
  const copy = Buffer.allocUnsafe(size);
  let to = 0;
  let from = 0;
  for (const [start, stop, text] of edits) {
    to += bytes.copy(copy, to, from, start);
    to += copy.write(text, to);
    from = stop;
  }
  bytes.copy(copy, to, from, end);
  return copy;
}

function piecesOf(bytes: Buffer, edits: readonly Edit[]): Buffer[] {
  const pieces: Buffer[] = [];
  let from = 0;
  for (const [start, stop, text] of edits) {
    pieces.push(bytes.subarray(from, start), Buffer.from(text));
    from = stop;
  }
  pieces.push(bytes.subarray(from));
  return pieces.filter((piece) => piece.length > 0);
}

/** Each cut takes one comma along, so that the rest is still an object. */
function cutsOf({ keys }: BodyScan, cut: ReadonlySet<string>): Edit[] {
  const edits: Edit[] = [];
  const members = [...keys];
  let kept = false;
  for (const [index, [key, [, end, keyStart]]] of members.entries()) {
    if (!cut.has(key)) {
      kept = true;
      continue;
    }
    const before = members[index - 1]?.[1][1] ?? keyStart;
    const after = members[index + 1]?.[1][2] ?? end;
    edits.push(kept ? [before, end, ''] : [keyStart, after, '']);
  }
  return edits;
}

function membersOfExtra(
  scan: BodyScan,
  extra: Record<string, unknown> | undefined,
  cut: readonly string[],
  alone: boolean,
): string {
  if (extra === undefined) return '';
  const lacking = Object.entries(extra).filter(
    ([key, value]) => (!scan.keys.has(key) || cut.includes(key)) && value !== undefined,
  );
  if (lacking.length === 0) return '';
  const members = lacking.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',');
  return alone ? members : `${members},`;
}
