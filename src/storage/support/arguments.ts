import { RouterError } from '../../errors.ts';

/** The error for an argument that is no such thing. It never repeats a value, since an address may hold a password. */
export function wrongArgument(param: string, problem: string): RouterError {
  return new RouterError('invalid_request', `${param}: ${problem}`, { param });
}

/**
 * Checks that a store is an object with these methods.
 *
 * @param expected what to pass, as in `a pool of the pg package`
 * @throws RouterError `invalid_request` that names the argument and says what to pass
 */
export function checkStore(
  param: string,
  given: unknown,
  methods: readonly string[],
  { expected, example }: { expected: string; example: string },
): void {
  const instead = typeof given === 'string' || given instanceof URL ? ', not an address' : '';
  if (isPromise(given)) {
    throw wrongArgument(param, `must be ${expected}, not a promise of one. Write await before it.`);
  }
  const isStore = typeof given === 'object' && given !== null;
  if (isStore && methods.every((name) => typeof Reflect.get(given, name) === 'function')) return;
  throw wrongArgument(param, `must be ${expected}${instead}. Pass ${example}.`);
}

function isPromise(given: unknown): boolean {
  return typeof given === 'object' && given !== null && typeof Reflect.get(given, 'then') === 'function';
}

/** Says what is wrong with the value of an option; `undefined` if nothing is. */
type OptionCheck = (value: unknown) => string | undefined;

export const milliseconds: OptionCheck = (value) =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) <= 86_400_000
    ? undefined
    : 'must be a whole number of milliseconds, 1 to 86400000';

export const text: OptionCheck = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'must be text';

export const flag: OptionCheck = (value) =>
  typeof value === 'boolean' ? undefined : 'must be true or false';

/**
 * Returns the options without those that are `undefined` or `null`.
 *
 * @throws RouterError `invalid_request` that names the option at fault
 */
export function readOptions<Options extends object>(
  given: Options | undefined,
  checks: { [Name in keyof Required<Options>]: OptionCheck },
): Partial<Options> {
  if (given === undefined || given === null) return {};
  if (typeof given !== 'object') throw wrongArgument('options', 'must be an object');
  const entries = Object.entries(given).filter(([, value]) => value !== undefined && value !== null);
  for (const [name, value] of entries) {
    const check = Object.hasOwn(checks, name) ? checks[name as keyof Options] : undefined;
    const problem =
      check === undefined ? `is unknown. Known: ${Object.keys(checks).join(', ')}.` : check(value);
    if (problem !== undefined) throw wrongArgument(name.slice(0, 64), problem);
  }
  return Object.fromEntries(entries) as Partial<Options>;
}
