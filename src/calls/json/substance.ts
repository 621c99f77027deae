import { type KnownName, knownName } from './names.ts';

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
  'role',
] as const;

const bitOf = (name: (typeof substance)[number]): number => 1 << substance.indexOf(name);
const bits = new Map(substance.map((name) => [knownName(name).id, bitOf(name)]));
const messageBits = bitOf('content') | bitOf('role');
const anyOf = (2 ** substance.length - 1) & ~bitOf('role');

/** The types of items that a response is made from, with what the provider looks up by their id if it is left out. */
const substanceOfType = {
  message: bitOf('content'),
  function_call: bitOf('arguments'),
  function_call_output: bitOf('output'),
  custom_tool_call: bitOf('input'),
  custom_tool_call_output: bitOf('output'),
  tool_search_call: bitOf('arguments'),
  reasoning: bitOf('encrypted_content'),
  compaction: bitOf('encrypted_content'),
  compaction_trigger: anyOf,
  web_search_call: bitOf('action'),
  image_generation_call: bitOf('result'),
  computer_call: bitOf('action') | bitOf('actions'),
  computer_call_output: bitOf('output'),
  local_shell_call: bitOf('action'),
  local_shell_call_output: bitOf('output'),
  shell_call: bitOf('action'),
  shell_call_output: bitOf('output'),
  apply_patch_call: bitOf('operation'),
  apply_patch_call_output: bitOf('output'),
  mcp_list_tools: bitOf('tools'),
  mcp_call: bitOf('arguments'),
} as const;

/** The types of items that a shared deployment may get. */
export const itemTypes: readonly string[] = Object.keys(substanceOfType);
const neededOf = new Map(
  Object.entries(substanceOfType).map(([type, needed]) => [knownName(type).id, needed]),
);

export function substanceBit({ id }: KnownName): number {
  return bits.get(id) ?? 0;
}

/** Returns whether an object with an id carries what its type needs. */
export function isComplete(type: KnownName | undefined, carried: number): boolean {
  const needed = type === undefined ? undefined : neededOf.get(type.id);
  return (carried & (needed ?? anyOf)) !== 0;
}

/** Returns whether an object with an id and without a type carries what a message needs. */
export function isMessage(carried: number): boolean {
  return (carried & messageBits) === messageBits;
}
