import { RouterError } from '../../errors.ts';

/** Creates the error for an invalid argument. Never repeats a value, because an address may contain a password. */
export function wrongArgument(param: string, problem: string): RouterError {
  return new RouterError('invalid_request', `${param}: ${problem}`, { param });
}

/**
 * Checks that a store is an object with these methods.
 *
 * @param expected what to pass, such as `a pool of the pg package`
 * @throws RouterError `invalid_request` that names the argument and says what to pass
 */
export function checkStore(
  param: string,
  input: unknown,
  methods: readonly string[],
  { expected, example }: { expected: string; example: string },
): void {
  const instead = typeof input === 'string' || input instanceof URL ? ', not an address' : '';
  if (isPromise(input)) {
    throw wrongArgument(param, `must be ${expected}, not a promise of one. Write await before it.`);
  }
  const isStore = typeof input === 'object' && input !== null;
  if (isStore && methods.every((name) => typeof Reflect.get(input, name) === 'function')) return;
  throw wrongArgument(param, `must be ${expected}${instead}. Pass ${example}.`);
}

function isPromise(input: unknown): boolean {
  return typeof input === 'object' && input !== null && typeof Reflect.get(input, 'then') === 'function';
}

/** Returns the problem of an option's value; `undefined` if the value is valid. */
type OptionCheck = (value: unknown) => string | undefined;

export const milliseconds: OptionCheck = (value) =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) <= 86_400_000
    ? undefined
    : 'must be an integer from 1 to 86400000 (milliseconds).';

export const text: OptionCheck = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be a non-empty string.';

export const flag: OptionCheck = (value) =>
  typeof value === 'boolean' ? undefined : 'must be true or false.';

/**
 * Returns the options without those that are `undefined` or `null`.
 *
 * @throws RouterError `invalid_request` that names the invalid option
 */
export function readOptions<Options extends object>(
  input: Options | undefined,
  checks: { [Name in keyof Required<Options>]: OptionCheck },
): Partial<Options> {
  if (input === undefined || input === null) return {};
  if (typeof input !== 'object') throw wrongArgument('options', 'must be an object.');
  const entries = Object.entries(input).filter(([, value]) => value !== undefined && value !== null);
  for (const [name, value] of entries) {
    const check = Object.hasOwn(checks, name) ? checks[name as keyof Options] : undefined;
    const problem =
      check === undefined ? `is unknown. Known: ${Object.keys(checks).join(', ')}.` : check(value);
    if (problem !== undefined) throw wrongArgument(name.slice(0, 64), problem);
  }
  return Object.fromEntries(entries) as Partial<Options>;
}
