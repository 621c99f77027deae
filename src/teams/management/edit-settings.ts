import { RouterError } from '../../errors.ts';
import type { SettingsPatch } from '../../schemas/bodies.ts';
import { allSharedNames } from '../../schemas/names.ts';
import type { SettingsRecord, TeamRecord } from '../records/team-record.ts';

type Fallbacks = [name: string, next: string[]][];

/**
 * A team's settings, in the form of the documented bodies.
 *
 * @example
 * ```ts
 * const { team_info } = await router.getTeamInfo('acme');
 * const { fallbacks, num_retries }: SettingsView = team_info.settings;
 * ```
 */
export type SettingsView = Omit<SettingsRecord, 'fallbacks'> & { fallbacks?: Record<string, string[]>[] };

/**
 * Returns the settings after a patch. Changes only the fields that are sent; `null` clears a field.
 *
 * @param isName returns whether the team has a public name, or may use it
 * @throws RouterError `invalid_request` for a fallback to or from an unknown name, and for a cycle of fallbacks
 */
export function patchSettings(
  stored: SettingsRecord,
  patch: SettingsPatch | null,
  isName: (name: string) => boolean,
): SettingsRecord {
  if (patch === null) return {};
  const { fallbacks: lists, ...numbers } = patch;
  const next: Record<string, unknown> = { ...stored };
  for (const [field, value] of Object.entries(numbers)) {
    if (value === null) delete next[field];
    else if (value !== undefined) next[field] = value;
  }
  if (lists === null) delete next.fallbacks;
  // Uses entries because `__proto__` is a valid name.
  if (lists != null)
    next.fallbacks = checked(
      lists.flatMap((list) => Object.entries(list)),
      isName,
    );
  return next as SettingsRecord;
}

export function viewSettings({ fallbacks, ...numbers }: SettingsRecord): SettingsView {
  if (fallbacks === undefined) return numbers;
  return { ...numbers, fallbacks: fallbacks.map(([name, next]) => Object.fromEntries([[name, next]])) };
}

/**
 * Updates the fallbacks after a pool has lost its last member. Fallbacks to the pool point to `renamed`, or are
 * removed. They stay if the team may use a shared model of the same name.
 */
export function poolIsGone(record: TeamRecord, name: string, renamed: string | undefined): void {
  if (record.models.includes(name) && renamed === undefined) return;
  const { fallbacks } = record.settings;
  if (fallbacks !== undefined) {
    const next = replaced(fallbacks, name, renamed);
    // Removes the name if renaming it would create a cycle.
    record.settings = {
      ...record.settings,
      fallbacks: circleIn(next) === undefined ? next : replaced(fallbacks, name, undefined),
    };
  }
  for (const [, key] of record.keys) {
    if (key.models?.includes(name)) key.models = replacedIn(key.models, name, renamed);
  }
}

function replaced(fallbacks: Fallbacks, name: string, renamed: string | undefined): Fallbacks {
  const merged = new Map<string, string[]>();
  for (const [from, next] of fallbacks) {
    const key = from === name ? renamed : from;
    if (key === undefined) continue;
    const names = [...(merged.get(key) ?? []), ...replacedIn(next, name, renamed)];
    merged.set(
      key,
      [...new Set(names)].filter((each) => each !== key),
    );
  }
  return [...merged].filter(([, next]) => next.length > 0);
}

function replacedIn(names: readonly string[], name: string, renamed: string | undefined): string[] {
  const next = names.flatMap((each) => (each !== name ? [each] : renamed === undefined ? [] : [renamed]));
  return [...new Set(next)];
}

function checked(fallbacks: Fallbacks, isName: (name: string) => boolean): Fallbacks {
  const refusal = (problem: string) =>
    new RouterError('invalid_request', `settings.fallbacks: ${problem}`, { param: 'settings.fallbacks' });
  const sources = fallbacks.map(([name]) => name);
  const twice = sources.find((name, index) => sources.indexOf(name) !== index);
  if (twice !== undefined) throw refusal(`names ${JSON.stringify(twice)} twice`);
  const unknown = fallbacks.flat(2).find((name) => !isName(name));
  if (unknown !== undefined)
    throw refusal(
      `${JSON.stringify(unknown)} must be a model of this team, or a shared model that it may use`,
    );
  const circle = circleIn(fallbacks);
  if (circle !== undefined) throw refusal(`must not lead from ${JSON.stringify(circle)} back to itself`);
  return fallbacks;
}

/** Returns a name whose fallbacks lead back to it. */
function circleIn(fallbacks: Fallbacks): string | undefined {
  const next = new Map(fallbacks);
  const done = new Set<string>();
  // An explicit stack, because a chain may be as long as the list of names.
  for (const [start] of fallbacks) {
    const path = new Set<string>();
    const stack: { name: string; leave?: true }[] = [{ name: start }];
    for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
      const { name } = step;
      if (step.leave) {
        path.delete(name);
        done.add(name);
        continue;
      }
      if (path.has(name)) return name;
      if (done.has(name)) continue;
      path.add(name);
      stack.push({ name, leave: true }, ...(next.get(name) ?? []).map((each) => ({ name: each })));
    }
  }
  return undefined;
}

/** Record of the shared deployments, or the error of its damaged record. */
export type Shared = TeamRecord | RouterError | undefined;

/**
 * Returns a check for names that the team has, or may use: its own models, and existing shared models on its
 * allow-list. If the shared deployments cannot be read, the check throws `corrupt_record` for other names than its own.
 */
export function nameCheck(record: TeamRecord, shared: Shared): (name: string) => boolean {
  const own = new Set(record.pools.map(([name]) => name));
  if (RouterError.isInstance(shared)) return (name) => own.has(name) || throwUnchecked(name, shared);
  const common = new Set(shared?.pools.map(([name]) => name));
  const allowed = new Set(record.models);
  return (name) => own.has(name) || (common.has(name) && (allowed.has(name) || allowed.has(allSharedNames)));
}

function throwUnchecked(name: string, cause: RouterError): never {
  const message = `settings.fallbacks: ${JSON.stringify(name)} is no model of this team, and the shared models cannot be read. Ask the operator to restore their record.`;
  const { hint = 'The record of the shared models is damaged.' } = cause;
  throw new RouterError('corrupt_record', message, { param: 'settings.fallbacks', cause, hint });
}
