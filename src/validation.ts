import type { z } from 'zod';
import { RouterError } from './errors.ts';

const longestPath = 256;
/** A hostile body may have any number of unknown fields, and each costs a comparison with all that are known. */
const lookedAt = 32;

/**
 * Checks `value` against `schema`. The error names the path of the first field at fault and, for an unknown
 * field, the nearest known one; it never repeats a value, since a value may be a secret.
 */
export function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  refuseHiddenFields(value);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = misspelt(schema, result.error.issues) ?? result.error.issues[0];
  if (issue === undefined) throw new RouterError('invalid_request', 'The body is not valid.');
  if (issue.code === 'unrecognized_keys') {
    const unknown = issue.keys[0] ?? '';
    const near = nearest(unknown, keysAt(schema, issue.path));
    const path = pathOf([...issue.path, unknown]);
    const hint = near === undefined ? '' : ` Did you mean ${near}?`;
    throw new RouterError('invalid_request', `Unknown field ${path}.${hint}`, { param: path });
  }
  const path = pathOf(issue.path);
  const problem = isMissing(value, issue) ? 'is required' : issue.message;
  const message = path === '' ? `The body is not valid: ${problem}` : `${path}: ${problem}`;
  throw new RouterError('invalid_request', message, path === '' ? {} : { param: path });
}

type Issue = z.core.$ZodIssue;

function isMissing(value: unknown, { code, path }: Issue): boolean {
  let found = value;
  for (const part of path) found = (found as Record<PropertyKey, unknown> | null | undefined)?.[part];
  return found === undefined && code === 'invalid_type' && path.length > 0;
}

/** The unknown field that the first one at fault is meant by, if that one is missing under its own name. */
function misspelt(schema: z.ZodType, issues: readonly Issue[]): Issue | undefined {
  const [first] = issues;
  const missing = first?.path.at(-1);
  if (first === undefined || missing === undefined) return undefined;
  const holder = pathOf(first.path.slice(0, -1));
  for (const issue of issues) {
    if (issue.code !== 'unrecognized_keys' || pathOf(issue.path) !== holder) continue;
    const key = issue.keys
      .slice(0, lookedAt)
      .find((name) => nearest(name, keysAt(schema, issue.path)) === missing);
    if (key !== undefined) return { ...issue, keys: [key] };
  }
  return undefined;
}

/** The known name with the fewest edits from `name`, if it is near enough to be meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const bound = Math.max(1, Math.floor(name.length / 3));
  let best: { candidate: string; distance: number } | undefined;
  if (name.length > 64) return undefined;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance <= bound && (best === undefined || distance < best.distance)) best = { candidate, distance };
  }
  return best?.candidate;
}

// An own `__proto__` (as JSON.parse makes it) passes an object schema unseen.
function refuseHiddenFields(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [holder, path] of [
    [value, ''],
    ...Object.entries(value).map(([key, inner]) => [inner, `${key.slice(0, longestPath)}.`] as const),
  ] as const) {
    if (typeof holder === 'object' && holder !== null && Object.hasOwn(holder, '__proto__')) {
      throw new RouterError('invalid_request', `Unknown field ${path}__proto__.`, {
        param: `${path}__proto__`,
      });
    }
  }
}

function pathOf(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    text += typeof part === 'number' ? `[${part}]` : `${text === '' ? '' : '.'}${String(part)}`;
  }
  // A name of the caller's own can be as long as the body.
  return text.slice(0, longestPath);
}

interface Unwrappable {
  shape?: Record<string, Unwrappable>;
  unwrap?: () => Unwrappable;
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current: Unwrappable | undefined = unwrap(schema as Unwrappable);
  for (const part of path) current = unwrap(current?.shape?.[String(part)]);
  return Object.keys(current?.shape ?? {});
}

function unwrap(schema: Unwrappable | undefined): Unwrappable | undefined {
  let current = schema;
  while (current !== undefined && current.shape === undefined && current.unwrap !== undefined) {
    current = current.unwrap();
  }
  return current;
}

/** Letters left out, added, replaced, or swapped with their neighbour. */
function editDistance(left: string, right: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      const swapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      const swap = row > 1 && column > 1 && swapped ? (before[column - 2] ?? 0) + 1 : substitution;
      current.push(Math.min(substitution, swap, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    before = previous;
    previous = current;
  }
  return previous[right.length] ?? 0;
}
