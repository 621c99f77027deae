import type { z } from 'zod';
import { nearest } from '../did-you-mean.ts';
import { RouterError } from '../errors.ts';
import { withOwnMessage } from './issue-words.ts';
import { longTexts } from './text-lengths.ts';

const maxPathLength = 256;
/** Limits the search for similar names, because a hostile body may have any number of unknown fields. */
const maxSuggestions = 32;
/** Maximum number of problems in one message. */
const maxProblems = 20;

/** The problem of one field. */
interface Problem {
  /** The path of the field; empty for the body itself. */
  param: string;
  message: string;
}

/**
 * Parses `value` with `schema`. Treats `null` in an optional field as absent, unless the schema accepts `null`.
 *
 * The error lists every problem, at most one per field (only the strings that are too long, if there are any), and suggests the nearest known name for an unknown field. Its
 * `param` is the path of the first field. It never contains a value, because a value may be a secret.
 *
 * @param furtherProblems returns more problems of a value that the schema rejects; `isRefused` tells which fields
 * already have a problem
 * @throws RouterError `invalid_request`
 */
export function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  furtherProblems?: FurtherProblems,
): z.output<Schema> {
  const long = longTexts(schema, value).map(({ path, max }) => {
    const param = pathOf(path);
    return { param, message: `${param}: must be at most ${max} characters long` };
  });
  if (long.length > 0) throw asError('invalid_request', long);
  return check(schema, withoutNulls(schema as Shaped, value), { furtherProblems });
}

/**
 * Parses the options of a function. `null` is not accepted. Missing options are treated as `{}`, so that the error
 * names the required fields.
 *
 * @throws RouterError `invalid_request`
 */
export function parseOptions<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  if (value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value)))
    throw new RouterError('invalid_request', 'options: must be an object.', { param: 'options' });
  return check(schema, value ?? {}, { rewrite: withOwnMessage });
}

/**
 * Checks that an argument is an object with these methods.
 *
 * @throws RouterError `invalid_request` that says what to pass
 */
export function checkArgument(name: string, value: unknown, methods: readonly string[], what: string): void {
  if (hasMethods(value, methods)) return;
  throw new RouterError('invalid_request', `${name}: must be ${what}.`, { param: name });
}

export function hasMethods(value: unknown, methods: readonly string[]): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');
}

type FurtherProblems = (value: unknown, isRefused: (param: string) => boolean) => readonly RouterError[];

function check<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  {
    furtherProblems,
    rewrite = (issue) => issue,
  }: { furtherProblems?: FurtherProblems | undefined; rewrite?: (issue: Issue) => Issue },
): z.output<Schema> {
  const hidden = hiddenFields(input);
  const result = schema.safeParse(input);
  if (result.success && hidden.length === 0) return result.data;
  const problems = [
    ...hidden,
    ...(result.success ? [] : problemsOf(schema, input, result.error.issues.map(rewrite))),
  ];
  const params = new Set(problems.map(({ param }) => param));
  const isRefused = (param: string) =>
    [...params].some((known) => known === param || known.startsWith(`${param}.`));
  for (const { param, message } of furtherProblems?.(input, isRefused) ?? []) {
    if (param === null || isRefused(param)) continue;
    params.add(param);
    problems.push({ param, message });
  }
  throw asError('invalid_request', problems);
}

/** Throws one error that lists the problems of all errors, with the code and the field of the first one. */
export function throwAll(errors: readonly RouterError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  if (errors.length === 1) throw first;
  throw asError(
    first.code,
    errors.map(({ param, message }) => ({ param: param ?? '', message })),
  );
}

/** Returns the RouterError that a check throws, if any. */
export function refusalOf(check: () => unknown): RouterError | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (RouterError.isInstance(error)) return error;
    throw error;
  }
}

function asError(code: RouterError['code'], problems: readonly Problem[]): RouterError {
  const messages = problems.slice(0, maxProblems).map(({ message }) => message);
  const more = problems.length - messages.length;
  const whole = messages.map((message) => (/[.?!]$/.test(message) ? message : `${message}.`)).join(' ');
  const param = problems[0]?.param ?? '';
  return new RouterError(
    code,
    more === 0 ? whole : `${whole} ${more} more problems.`,
    param === '' ? {} : { param },
  );
}

type Issue = z.core.$ZodIssue;

function meantBy(key: string, known: readonly string[]): string | undefined {
  return nearest(key, known) ?? (key === 'model_id' ? known.find((name) => name === 'id') : undefined);
}

/** Returns one problem per field. Omits a missing field if an unknown field is a misspelling of it. */
function problemsOf(schema: z.ZodType, value: unknown, issues: readonly Issue[]): Problem[] {
  const unknown = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key, at) => {
          const known = at < maxSuggestions ? keysAt(schema, issue.path) : [];
          return { holder: pathOf(issue.path), key, near: meantBy(key, known) };
        })
      : [],
  );
  const problems = new Map<string, Problem>();
  const reportUnknown = ({ holder, key, near }: (typeof unknown)[number]) => {
    const param = pathOf([...(holder === '' ? [] : [holder]), key]);
    const hint = near === undefined ? '' : ` Did you mean ${near}?`;
    problems.set(param, { param, message: `Unknown field ${param}.${hint}` });
  };
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') continue;
    const missing = isMissing(value, issue);
    const name = String(issue.path.at(-1) ?? '');
    const holder = pathOf(issue.path.slice(0, -1));
    const misspelling = missing && unknown.find((each) => each.holder === holder && each.near === name);
    if (misspelling) reportUnknown(misspelling);
    else {
      const param = pathOf(issue.path);
      const problem =
        missing && issue.code === 'invalid_type' ? 'is required' : withOwnMessage(issue).message;
      const message = param === '' ? 'The body must be a JSON object.' : `${param}: ${problem}`;
      // All entries of a list count as one field.
      const field = param.replace(/\[.*/, '');
      if (!problems.has(field)) problems.set(field, { param, message });
    }
  }
  for (const each of unknown) reportUnknown(each);
  return [...problems.values()];
}

function isMissing(value: unknown, { path }: Issue): boolean {
  let current = value;
  for (const part of path) current = (current as Record<PropertyKey, unknown> | null | undefined)?.[part];
  return current === undefined && path.length > 0;
}

/** Finds `__proto__` keys, which JSON.parse creates and an object schema does not see. */
function hiddenFields(value: unknown): Problem[] {
  if (typeof value !== 'object' || value === null) return [];
  const holders = [
    [value, ''],
    ...Object.entries(value).map(([key, inner]) => [inner, `${key.slice(0, maxPathLength)}.`] as const),
  ] as const;
  return holders.flatMap(([holder, path]) => {
    if (typeof holder !== 'object' || holder === null || !Object.hasOwn(holder, '__proto__')) return [];
    return [{ param: `${path}__proto__`, message: `Unknown field ${path}__proto__.` }];
  });
}

function pathOf(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) {
    text += typeof part === 'number' ? `[${part}]` : `${text === '' ? '' : '.'}${String(part)}`;
  }
  // A name chosen by the caller can be as long as the body.
  return text.slice(0, maxPathLength);
}

interface Shaped {
  shape?: Record<string, Shaped>;
  unwrap?: () => Shaped;
  safeParse: (value: unknown) => { success: boolean };
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current: Shaped | undefined = unwrap(schema as Shaped);
  for (const part of path) current = unwrap(current?.shape?.[String(part)]);
  return Object.keys(current?.shape ?? {});
}

function unwrap(schema: Shaped | undefined): Shaped | undefined {
  let current = schema;
  while (current !== undefined && current.shape === undefined && current.unwrap !== undefined) {
    current = current.unwrap();
  }
  return current;
}

/** Returns the value without each `null` that means an absent field. */
function withoutNulls(schema: Shaped, value: unknown): unknown {
  const shape = unwrap(schema)?.shape;
  if (shape === undefined || typeof value !== 'object' || value === null || Array.isArray(value))
    return value;
  let next: Record<string, unknown> | undefined;
  for (const [name, field] of Object.entries(shape)) {
    if (!Object.hasOwn(value, name)) continue;
    const input = (value as Record<string, unknown>)[name];
    const absent = input === null && isOptional(field);
    const kept = absent ? undefined : withoutNulls(field, input);
    if (!absent && kept === input) continue;
    next ??= { ...value };
    if (absent) delete next[name];
    else next[name] = kept;
  }
  return next ?? value;
}

/** Returns whether a field may be absent and cannot be `null`. */
function isOptional(field: Shaped): boolean {
  return !field.safeParse(null).success && field.safeParse(undefined).success;
}
