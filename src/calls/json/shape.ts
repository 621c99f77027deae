import type { TextRule } from './content-url.ts';
import { knownName } from './names.ts';

/**
 * Check of a field: `leaf` is a scalar or a list of scalars; `free` is unchecked JSON; `off` must be `false` or
 * null; `url` is a URL of content; `media` is base64 or such a URL, or a list of these; a list contains the
 * allowed strings; an object has fields itself, or is a list of such objects. If an object has `url: 'url'`, a
 * string in its place is such a URL.
 */
export type FieldRule = 'leaf' | 'free' | 'off' | 'url' | 'media' | readonly string[] | FieldRules;
export interface FieldRules {
  readonly [field: string]: FieldRule;
}

/** The fields that an object may have, by the ids of their names. */
export type Shape = ReadonlyMap<number, ShapeMember>;

export interface ShapeMember {
  /** Position within its shape: a bit that says whether the member was seen. */
  readonly index: number;
  /** What its value may have; `undefined`: anything. */
  readonly shape: Shape | undefined;
  /** What its value may be: strings by the ids of their names. */
  readonly values: ReadonlySet<number> | 'off' | 'url' | 'media' | undefined;
  /** Whether a string in its place must be a URL of content. */
  readonly url: boolean;
  /** What strings at any depth of its value may be. */
  readonly below: TextRule | undefined;
  /** Whether only some providers take it, so that each call with it is listed. */
  readonly ofProvider: boolean;
}

/** Members of one shape: two words of bits say which were seen. */
const maxMembers = 62;
const leaf: Shape = new Map();
const itemNames = ['id', 'type', 'role', 'content'];
const contentOf = new Map<Shape, ShapeMember>();

const anything: Omit<ShapeMember, 'index'> = {
  shape: undefined,
  values: undefined,
  url: false,
  below: undefined,
  ofProvider: false,
};

/** @param ofProviders fields that only some providers take, with what the strings in them may be */
export function shapeOf(rules: FieldRules, ofProviders: Readonly<Record<string, TextRule>> = {}): Shape {
  const members = [
    ...Object.entries(rules).map(([name, rule]) => [name, memberOf(rule)] as const),
    ...Object.entries(ofProviders).map(
      ([name, below]) => [name, { ...anything, below, ofProvider: true }] as const,
    ),
  ];
  if (members.length > maxMembers) throw new Error(`A shape has ${members.length} members.`);
  const shape = new Map(members.map(([name, member], index) => [knownName(name).id, { ...member, index }]));
  const content = shape.get(knownName('content').id);
  if (content !== undefined && itemNames.every((name) => Object.hasOwn(rules, name)))
    contentOf.set(shape, content);
  return shape;
}

function memberOf(rule: FieldRule): Omit<ShapeMember, 'index'> {
  if (rule === 'free') return anything;
  if (rule === 'leaf') return { ...anything, shape: leaf };
  if (rule === 'off') return { ...anything, shape: leaf, values: rule };
  if (rule === 'url') return { ...anything, shape: leaf, values: rule, url: true };
  if (rule === 'media') return { ...anything, values: rule, below: rule };
  if (Array.isArray(rule)) {
    const values = new Set((rule as readonly string[]).map((text) => knownName(text).id));
    return { ...anything, shape: leaf, values };
  }
  const fields = rule as FieldRules;
  return { ...anything, shape: shapeOf(fields), url: fields.url === 'url' };
}

/** Returns the member that an object must have if it has no type; `undefined` if the objects are no items of a response. */
export function contentMember(shape: Shape): ShapeMember | undefined {
  return contentOf.get(shape);
}
