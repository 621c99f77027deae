import { type KnownName, knownName } from './names.ts';

/**
 * What is judged of a field: `leaf` is a scalar or a list of scalars; `free` is JSON that nobody judges; `off` may only be
 * `false` or null; `url` is a URL of content; a list names the strings that it may be; an object has fields itself, or is a list of such objects.
 * If an object has `url: 'url'`, a string in its place is such a URL.
 */
export type FieldRule = 'leaf' | 'free' | 'off' | 'url' | readonly string[] | FieldRules;
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
  readonly values: ReadonlySet<number> | 'off' | 'url' | undefined;
  /** Whether a string in its place must be a URL of content. */
  readonly url: boolean;
}

/** Members of one shape: two words of bits say which were seen. */
const maxMembers = 62;
const leaf: Shape = new Map();

export function shapeOf(rules: FieldRules): Shape {
  const fields = Object.entries(rules);
  if (fields.length > maxMembers) throw new Error(`A shape has ${fields.length} members.`);
  return new Map(fields.map(([name, rule], index) => [knownName(name).id, memberOf(rule, index)]));
}

function memberOf(rule: FieldRule, index: number): ShapeMember {
  if (rule === 'free') return { index, shape: undefined, values: undefined, url: false };
  if (rule === 'leaf') return { index, shape: leaf, values: undefined, url: false };
  if (rule === 'off' || rule === 'url') return { index, shape: leaf, values: rule, url: rule === 'url' };
  if (Array.isArray(rule)) {
    const values = new Set((rule as readonly string[]).map((text) => knownName(text).id));
    return { index, shape: leaf, values, url: false };
  }
  const fields = rule as FieldRules;
  return { index, shape: shapeOf(fields), values: undefined, url: fields.url === 'url' };
}

/** What a part of a call has to carry if it names itself by an id: without it the provider would look the rest up. */
const substance = [
  'content',
  'text',
  'arguments',
  'input',
  'output',
  'encrypted_content',
  'action',
  'actions',
  'result',
  'operation',
  'tools',
  'function',
  'custom',
  'code',
  'message',
] as const;

const anySubstance = 2 ** substance.length - 1;
const bitOf = (name: (typeof substance)[number]): number => 1 << substance.indexOf(name);

const substanceBits = new Map(substance.map((name) => [knownName(name).id, bitOf(name)]));

/** The parts of Responses that the provider looks up by their id if this is left out. */
const substanceOfType = new Map(
  (
    [
      ['message', bitOf('content')],
      ['function_call', bitOf('arguments')],
      ['function_call_output', bitOf('output')],
      ['custom_tool_call', bitOf('input')],
      ['custom_tool_call_output', bitOf('output')],
      ['reasoning', bitOf('encrypted_content')],
      ['compaction', bitOf('encrypted_content')],
      ['image_generation_call', bitOf('result')],
      ['web_search_call', bitOf('action')],
      ['computer_call', bitOf('action') | bitOf('actions')],
      ['computer_call_output', bitOf('output')],
      ['mcp_list_tools', bitOf('tools')],
    ] as const
  ).map(([type, bits]) => [knownName(type).id, bits]),
);

export function substanceBit({ id }: KnownName): number {
  return substanceBits.get(id) ?? 0;
}

/** One of these bits has to be there. */
export function neededSubstance(type: KnownName | undefined): number {
  return (type === undefined ? undefined : substanceOfType.get(type.id)) ?? anySubstance;
}
