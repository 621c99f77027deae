import type { z } from 'zod';
import { nearest } from '../did-you-mean.ts';
import { RouterError } from '../errors.ts';
import { inWords } from './issue-words.ts';

const maxPathLength = 256;
/** A hostile body may have any number of unknown fields, and each costs a comparison with all that are known. */
const lookedAt = 32;
/** Problems that one message has. */
const told = 20;

/** What is wrong with one field. */
interface Problem {
  /** The path of the field; empty for the body itself. */
  param: string;
  message: string;
}

/**
 * Checks `value` against `schema`. `null` in a field that may be absent means "not given", unless the schema takes `null`
 * itself. The error has every problem, one for a field, and `param` is the first field's path; a field that is unknown is told with
 * the nearest known one. It never repeats a value, since a value may be a secret.
 *
 * @param furtherProblems what else is wrong with a value that the schema refuses; `isRefused` tells the fields that are told already
 */
export function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  furtherProblems?: FurtherProblems,
): z.output<Schema> {
  return check(schema, withoutNulls(schema as Shaped, value), { furtherProblems });
}

/**
 * The same for the options of a function, where `null` is a mistake. Options that are left out are empty ones, so that the error names
 * what is required of them.
 */
export function parseOptions<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  if (value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value)))
    throw new RouterError('invalid_request', 'options: must be an object', { param: 'options' });
  return check(schema, value ?? {}, { words: inWords });
}

/** Checks that an argument is an object with these methods. @throws RouterError `invalid_request` that says what to pass */
export function checkArgument(name: string, value: unknown, methods: readonly string[], what: string): void {
  if (hasMethods(value, methods)) return;
  throw new RouterError('invalid_request', `${name}: must be ${what}`, { param: name });
}

export function hasMethods(value: unknown, methods: readonly string[]): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');
}

type FurtherProblems = (value: unknown, isRefused: (param: string) => boolean) => readonly RouterError[];

function check<Schema extends z.ZodType>(
  schema: Schema,
  given: unknown,
  {
    furtherProblems,
    words = (issue) => issue,
  }: { furtherProblems?: FurtherProblems | undefined; words?: (issue: Issue) => Issue },
): z.output<Schema> {
  const hidden = hiddenFields(given);
  const result = schema.safeParse(given);
  if (result.success && hidden.length === 0) return result.data;
  const problems = [
    ...hidden,
    ...(result.success ? [] : problemsOf(schema, given, result.error.issues.map(words))),
  ];
  const params = new Set(problems.map(({ param }) => param));
  const isRefused = (param: string) =>
    [...params].some((known) => known === param || known.startsWith(`${param}.`));
  for (const { param, message } of furtherProblems?.(given, isRefused) ?? []) {
    if (param === null || isRefused(param)) continue;
    params.add(param);
    problems.push({ param, message });
  }
  throw asError('invalid_request', problems);
}

/** Throws one error that tells all of these, with the code and the field of the first one. */
export function throwAll(errors: readonly RouterError[]): void {
  const [first] = errors;
  if (first === undefined) return;
  if (errors.length === 1) throw first;
  throw asError(
    first.code,
    errors.map(({ param, message }) => ({ param: param ?? '', message })),
  );
}

/** Returns the RouterError that a check throws, if it throws one. */
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
  const messages = problems.slice(0, told).map(({ message }) => message);
  const more = problems.length - messages.length;
  const sentences = messages.map((message) => (/[.?!]$/.test(message) ? message : `${message}.`));
  const whole = messages.length === 1 ? (messages[0] ?? '') : sentences.join(' ');
  const param = problems[0]?.param ?? '';
  return new RouterError(
    code,
    more === 0 ? whole : `${whole} And ${more} more problems.`,
    param === '' ? {} : { param },
  );
}

type Issue = z.core.$ZodIssue;

/** One problem for a field. A field that is missing is not told where an unknown one is meant for it. */
function problemsOf(schema: z.ZodType, value: unknown, issues: readonly Issue[]): Problem[] {
  const unknown = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key, at) => {
          const known = at < lookedAt ? keysAt(schema, issue.path) : [];
          return { holder: pathOf(issue.path), key, near: nearest(key, known) };
        })
      : [],
  );
  const problems = new Map<string, Problem>();
  const tellUnknown = ({ holder, key, near }: (typeof unknown)[number]) => {
    const param = pathOf([...(holder === '' ? [] : [holder]), key]);
    const hint = near === undefined ? '' : ` Did you mean ${near}?`;
    problems.set(param, { param, message: `Unknown field ${param}.${hint}` });
  };
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') continue;
    const missing = isMissing(value, issue);
    const name = String(issue.path.at(-1) ?? '');
    const holder = pathOf(issue.path.slice(0, -1));
    const meant = missing && unknown.find((each) => each.holder === holder && each.near === name);
    if (meant) tellUnknown(meant);
    else {
      const param = pathOf(issue.path);
      const problem = missing && issue.code === 'invalid_type' ? 'is required' : issue.message;
      const message = param === '' ? 'The body must be a JSON object.' : `${param}: ${problem}`;
      // The entries of a list are one field.
      const field = param.replace(/\[.*/, '');
      if (!problems.has(field)) problems.set(field, { param, message });
    }
  }
  for (const each of unknown) tellUnknown(each);
  return [...problems.values()];
}

function isMissing(value: unknown, { path }: Issue): boolean {
  let found = value;
  for (const part of path) found = (found as Record<PropertyKey, unknown> | null | undefined)?.[part];
  return found === undefined && path.length > 0;
}

/** An own `__proto__` (as JSON.parse makes it) passes an object schema unseen. */
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
  // A name of the caller's own can be as long as the body.
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

/** Returns the value without every `null` that stands for an absent field. */
function withoutNulls(schema: Shaped, value: unknown): unknown {
  const shape = unwrap(schema)?.shape;
  if (shape === undefined || typeof value !== 'object' || value === null || Array.isArray(value))
    return value;
  let next: Record<string, unknown> | undefined;
  for (const [name, field] of Object.entries(shape)) {
    if (!Object.hasOwn(value, name)) continue;
    const given = (value as Record<string, unknown>)[name];
    const absent = given === null && isOptional(field);
    const kept = absent ? undefined : withoutNulls(field, given);
    if (!absent && kept === given) continue;
    next ??= { ...value };
    if (absent) delete next[name];
    else next[name] = kept;
  }
  return next ?? value;
}

/** Whether a field may be absent and cannot be `null`. */
function isOptional(field: Shaped): boolean {
  return !field.safeParse(null).success && field.safeParse(undefined).success;
}
