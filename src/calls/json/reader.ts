import { RouterError } from '../../errors.ts';
import { followsRule } from './content-url.ts';
import { controlNames, isCallControl } from './control-names.ts';
import { JsonFrame } from './frame.ts';
import { foldedKey, type KnownName, knownName, nameAt, nameIn, nameOf } from './names.ts';
import { ReferenceList, referenceNames, referenceRank } from './object-ids.ts';
import type { JsonHandler } from './scanner.ts';
import { contentMember, type Shape, type ShapeMember } from './shape.ts';
import { isComplete, isMessage, substanceBit } from './substance.ts';
import { backslash, isLiteral, type MemberSpan, malformedBody, stringAt } from './tokens.ts';

/** Top-level members that a body may have. */
export const maxMembers = 1_024;
/** Bytes of a top-level key. */
const maxKeyBytes = 1_024;
/** Bytes of a nested key that can be a known name with every character written as an escape. */
const maxEscapedBytes = 512;
/** Fields that are listed for a shared deployment to judge. */
const maxListed = 64;
const maxPathLength = 256;

const idName = knownName('id');
const typeName = knownName('type');

/** Names that decide something, by what they fold to: spelt otherwise they would mean the same to some providers. */
const judgedAnywhere = new Map(
  [...referenceNames, 'id', 'type', 'container', 'encrypted_content'].map((name) => [foldedKey(name), name]),
);
const judgedAtTop = new Map([
  ...judgedAnywhere,
  ...['model', 'stream', 'store', 'background', 'prompt', ...controlNames].map(
    (name) => [foldedKey(name), knownName(name).text] as const,
  ),
]);

/** Collects what the router has to know of a call's JSON body, in one pass, and keeps nothing else of it. */
export class BodyReader implements JsonHandler {
  readonly keys: Map<string, MemberSpan> = new Map();
  references: ReferenceList | undefined;
  /** Paths of the fields that a shared deployment has to judge, such as `tools.container`. */
  listed: Set<string> | undefined;
  /** Whether there are more than were listed. */
  unlisted = false;
  /** LiteLLM's call controls among the top-level keys. */
  controls: string[] | undefined;
  /** The index after the body's opening brace. */
  firstMember = 0;
  readonly #bytes: Buffer;
  readonly #shape: Shape | undefined;
  #seen: Map<object, Set<string>> | undefined;
  readonly #root: JsonFrame = new JsonFrame(undefined);
  #frame: JsonFrame = this.#root;
  #topKey = '';

  /** @param shape the fields that are known to be stateless; `undefined`: the call is never a shared deployment's */
  constructor(bytes: Buffer, shape: Shape | undefined) {
    this.#bytes = bytes;
    this.#shape = shape;
  }

  key(start: number, end: number, hash: number, plain: boolean): void {
    const frame = this.#frame;
    frame.keyStart = start;
    frame.keyEnd = end;
    const top = frame.parent === this.#root;
    let name = plain ? nameAt(this.#bytes, start, end, hash) : undefined;
    if (top) name = this.#readTopKey(start, end, name, plain);
    else if (!plain && end - start <= maxEscapedBytes) name = this.#readUnusualKey(frame, start, end);
    frame.name = name;
    frame.memberRank = name === undefined ? -1 : referenceRank(name);
    const { shape } = frame;
    if (shape === undefined) return;
    frame.member = name === undefined ? undefined : shape.get(name.id);
    // Which of two counts is the provider's to say.
    if (frame.member !== undefined && frame.see(frame.member.index)) this.#list(frame, shape);
  }

  open(object: boolean, start: number): void {
    const frame = this.#frame;
    if (frame === this.#root) {
      if (!object) throw malformedBody();
      this.firstMember = start + 1;
      this.#frame = frame.child(true, start, this.#shape, -1, undefined);
      return;
    }
    let { shape, below } = frame;
    if (frame.object && shape !== undefined) {
      const { member } = frame;
      below = member?.below === undefined ? undefined : member;
      const media = member?.values === 'media' && !object;
      if (member === undefined || member.ofProvider || (member.values !== undefined && !media))
        this.#list(frame, shape);
      else if (member.url && !object) this.#list(frame, shape);
      shape = member?.values === undefined ? member?.shape : undefined;
    } else if (object && below?.values === 'media') this.#listBelow(frame, below);
    this.#frame = frame.child(object, start, shape, frame.object ? frame.memberRank : -1, below);
  }

  close(empty: boolean, end: number): void {
    const frame = this.#frame;
    const parent = frame.parent ?? this.#root;
    if (frame.object && frame.shape !== undefined) this.#checkSubstance(frame, frame.shape);
    this.#frame = parent;
    if (!empty && frame.filled) parent.filled = true;
    if (!parent.object || parent === this.#root) return;
    if (parent.name === idName || frame.filled) this.#note(parent, parent.name);
    this.#endMember(parent, frame.start, end);
  }

  text(start: number, end: number): void {
    const frame = this.#frame;
    if (end - start > 2) frame.filled = true;
    if (frame.below?.below !== undefined && !followsRule(this.#bytes, start, end, frame.below.below))
      this.#listBelow(frame, frame.below);
    if (!frame.object) {
      if (frame.rank !== -1) this.#refer(start, end, frame.rank);
      return;
    }
    if (frame === this.#root) throw malformedBody();
    const { name, shape, member } = frame;
    if (frame.memberRank !== -1) this.#refer(start, end, frame.memberRank);
    else if (name === idName && frame.rank !== -1) this.#refer(start, end, frame.rank);
    if (shape !== undefined) {
      if (member === undefined || member.values === 'off' || member.ofProvider) this.#list(frame, shape);
      else if (member.url || member.values === 'media') {
        const rule = member.url ? 'url' : 'media';
        if (!followsRule(this.#bytes, start, end, rule)) this.#list(frame, shape);
      } else if (member.values !== undefined || name === typeName) {
        const given = nameIn(this.#bytes, start, end);
        if (name === typeName) {
          frame.type = given;
          frame.hasType = true;
        }
        if (typeof member.values === 'object' && !member.values.has(given?.id ?? -1))
          this.#list(frame, shape);
      }
      if (end - start > 2) this.#note(frame, name);
    }
    this.#endMember(frame, start, end);
  }

  scalar(start: number, end: number): void {
    const frame = this.#frame;
    if (frame === this.#root) throw malformedBody();
    const { name, shape, member } = frame;
    if (shape !== undefined && !isLiteral(this.#bytes, start, end, 'null')) {
      const off = member?.values === 'off' && isLiteral(this.#bytes, start, end, 'false');
      const known = member !== undefined && !member.ofProvider;
      if (!known || (member.values !== undefined && !off)) this.#list(frame, shape);
      frame.filled = true;
      if (name === idName) frame.hasId = true;
    }
    if (frame.parent === this.#root && !isScalar(this.#bytes.toString('latin1', start, end)))
      throw malformedBody();
    this.#endMember(frame, start, end);
  }

  #refer(start: number, end: number, rank: number): void {
    this.references ??= new ReferenceList();
    this.references.add(this.#bytes, start, end, rank);
  }

  #note(frame: JsonFrame, name: KnownName | undefined): void {
    if (name === undefined) return;
    if (name === idName) frame.hasId = true;
    else frame.substance |= substanceBit(name);
  }

  /** Lists an object that may be known to the provider by its id: one that lacks what its type needs, or has no type. */
  #checkSubstance(frame: JsonFrame, shape: Shape): void {
    const content = frame.hasType ? undefined : contentMember(shape);
    if (frame.hasId) {
      const { type, substance } = frame;
      if (!(content === undefined ? isComplete(type, substance) : isMessage(substance)))
        this.#list(frame, shape, 'id');
    } else if (content !== undefined && !frame.has(content)) this.#list(frame, shape, 'type');
  }

  #endMember(frame: JsonFrame, start: number, end: number): void {
    if (frame.parent === this.#root) this.keys.set(this.#topKey, [start, end, frame.keyStart]);
  }

  #readTopKey(
    start: number,
    end: number,
    name: KnownName | undefined,
    plain: boolean,
  ): KnownName | undefined {
    if (end - start > maxKeyBytes)
      throw new RouterError('invalid_request', `A key of the body has more than ${maxKeyBytes} bytes.`);
    const key = name?.text ?? stringAt(this.#bytes, start, end);
    if (key === undefined) throw malformedBody();
    if (this.keys.has(key)) throw refusedField(`${quoted(key)} must not appear twice in the body.`, key);
    if (this.keys.size === maxMembers)
      throw new RouterError('invalid_request', `The body has more than ${maxMembers} members.`);
    if (!plain) checkSpelling(key, judgedAtTop, isCallControl);
    if (isCallControl(key)) {
      this.controls ??= [];
      this.controls.push(key);
    }
    this.#topKey = key;
    return name ?? nameOf(key);
  }

  /** Of a key with other characters than most, which may be escapes. */
  #readUnusualKey(frame: JsonFrame, start: number, end: number): KnownName | undefined {
    if (frame.shape === undefined && !isEscaped(this.#bytes, start, end)) return undefined;
    const key = stringAt(this.#bytes, start, end);
    if (key === undefined) throw malformedBody();
    if (frame.shape !== undefined) checkSpelling(key, judgedAnywhere);
    return nameOf(key);
  }

  /** Notes that the member, or `member` of the frame, is for a shared deployment to judge. */
  #list(frame: JsonFrame, shape: Shape, member?: string): void {
    const key = member ?? this.#keyOf(frame);
    // Controls are not sent on, or refused for themselves.
    if (frame.parent === this.#root && isCallControl(key)) return;
    this.#listOnce(frame, shape, key);
  }

  /** The same of a string in a member that judges all strings in it. One is enough. */
  #listBelow(frame: JsonFrame, member: ShapeMember): void {
    this.#listOnce(frame, member, '', frame.object ? this.#keyOf(frame) : '[]');
  }

  /** @param owner a shape or a member, each of which belongs to one path */
  #listOnce(frame: JsonFrame, owner: object, key: string, shown: string = key): void {
    this.listed ??= new Set();
    this.#seen ??= new Map();
    const seen = this.#seen.get(owner) ?? new Set();
    if (seen.has(key)) return;
    if (this.listed.size === maxListed) {
      this.unlisted = true;
      return;
    }
    this.#seen.set(owner, seen.add(key));
    let path = shown;
    for (let at = frame.parent; at !== undefined && at !== this.#root; at = at.parent) {
      if (at.object) path = `${this.#keyOf(at)}${path.startsWith('[') ? '' : '.'}${path}`;
    }
    this.listed.add(path.slice(0, maxPathLength));
  }

  #keyOf({ keyStart, keyEnd }: JsonFrame): string {
    const short = keyEnd - keyStart <= maxEscapedBytes;
    const key = short ? stringAt(this.#bytes, keyStart, keyEnd) : undefined;
    return (key ?? this.#bytes.toString('latin1', keyStart + 1, keyStart + 65)).slice(0, 64);
  }
}

/**
 * Checks how a key is written.
 *
 * @param isJudged returns whether a name is judged that is not among those
 * @throws RouterError `invalid_request` for a key that is not a judged name, and that a lenient parser takes for one
 */
export function checkSpelling(
  key: string,
  judged: ReadonlyMap<string, string>,
  isJudged: (name: string) => boolean = () => false,
): void {
  const folded = foldedKey(key);
  const meant = judged.get(folded) ?? (isJudged(folded) ? folded : undefined);
  if (meant === undefined || meant === key) return;
  throw refusedField(`${quoted(key)} must be written ${JSON.stringify(meant)}.`, key);
}

function isEscaped(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === backslash) return true;
  return false;
}

function isScalar(text: string): boolean {
  return /^(true|false|null|-?[0-9][-+.0-9eE]*)$/.test(text);
}

function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}

function refusedField(message: string, param: string): RouterError {
  return new RouterError('invalid_request', message, { param: param.slice(0, 64) });
}
