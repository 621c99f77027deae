import { z } from 'zod';
import { RouterError } from '../../errors.ts';
import { parse } from '../../schemas/parse.ts';
import { type ObjectKind, withoutAnswered } from '../messages/answered-fields.ts';
import { absentField, movingOver } from './litellm-names.ts';

/** The used members of a schema: an object's fields, or the alternatives of a union. */
interface Described {
  shape?: Record<string, Described>;
  options?: readonly Described[];
  unwrap?: () => Described;
}

type Fields = Record<string, unknown>;

const numeric = /^-?\d{1,15}(\.\d{1,15})?(e-?\d{1,2})?$/i;

/**
 * Parses the input of a management request as LiteLLM's clients send it. A number may be text, and a LiteLLM
 * field without a meaning here may be null or empty. The error for such a field names LiteLLM.
 *
 * @param kind kind of object whose responses may be written back
 */
export function readInput<Schema extends z.ZodType>(
  schema: Schema,
  given: unknown,
  read: (value: unknown) => unknown = (value) => parse(schema, value),
  kind?: ObjectKind,
): unknown {
  const described = schema as Described;
  const own =
    kind === undefined ? given : withoutAnswered(kind, given, shapeFor(unwrapped(described), given) ?? {});
  const value = adapted(described, own);
  try {
    return read(value);
  } catch (error) {
    throw explained(error, absentIn(described, own, kind));
  }
}

function adapted(schema: Described, given: unknown): unknown {
  const described = unwrapped(schema);
  if (described instanceof z.ZodNumber)
    return typeof given === 'string' && numeric.test(given) ? Number(given) : given;
  const shape = shapeFor(described, given);
  if (shape === undefined) return given;
  const entries = Object.entries(given as Fields).flatMap(([name, value]) => {
    if (Object.hasOwn(shape, name)) return [[name, adapted(shape[name] as Described, value)]];
    return isNotAsked(value) && absentField(name) !== undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(entries);
}

/** Returns whether a value requests nothing. 0 requests something, because LiteLLM reads it as a limit. */
function isNotAsked(value: unknown): boolean {
  if (value === null || value === false || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** Returns the LiteLLM fields of the value that the schema does not have, with their topics. */
function absentIn(schema: Described, value: unknown, kind: ObjectKind | undefined): Map<string, string> {
  const found = new Map<string, string>();
  const shape = shapeFor(unwrapped(schema), value);
  for (const [name, inner] of shape === undefined ? [] : Object.entries(value as Fields)) {
    const known = Object.hasOwn(shape ?? {}, name) ? shape?.[name] : undefined;
    const topic = known === undefined && inner !== null ? absentField(name, kind) : undefined;
    if (topic !== undefined) found.set(name, topic);
    if (known !== undefined) for (const entry of absentIn(known, inner, kind)) found.set(...entry);
  }
  return found;
}

function explained(error: unknown, absent: ReadonlyMap<string, string>): unknown {
  if (!RouterError.isInstance(error) || error.code !== 'invalid_request' || absent.size === 0) return error;
  const named = [...absent].map(([name, topic]) => `${name} (${topic})`);
  const message = `${error.message} LiteLLM's fields that do not exist here: ${named.join(', ')}. See ${movingOver}.`;
  return new RouterError('invalid_request', message, error.param === null ? {} : { param: error.param });
}

/**
 * Returns the fields of a schema for an object. For a union, returns the alternative that has most of the
 * object's fields.
 */
function shapeFor({ shape, options }: Described, value: unknown): Record<string, Described> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if (options === undefined) return shape;
  const names = Object.keys(value);
  const known = (fields: Record<string, Described> = {}) =>
    names.filter((name) => Object.hasOwn(fields, name)).length;
  return options
    .map((option) => unwrapped(option).shape)
    .reduce((best, fields) => (known(fields) > known(best) ? fields : best), undefined);
}

function unwrapped(schema: Described): Described {
  let current = schema;
  while (current.shape === undefined && current.options === undefined && current.unwrap !== undefined)
    current = current.unwrap();
  return current;
}
