import { allSharedNames } from '../../schemas/names.ts';
import type { PoolRecord, TeamRecord } from '../records/team-record.ts';

/**
 * A public name as `GET /model_group/info` returns it. Unknown values are `null`.
 *
 * @example
 * ```ts
 * const { data } = await router.listModelGroups({ teamId: 'acme' });
 * const names = data.map(({ model_group }: ModelGroup) => model_group);
 * ```
 */
export interface ModelGroup {
  /** The public name. */
  model_group: string;
  providers: string[];
  /** The `model_info.mode` that all deployments of the name share. */
  mode: string | null;
  /** `null` for a shared name, because its description belongs to the operator. */
  description: string | null;
  /** The highest value of the deployments. `null` for a shared name, because its costs belong to the operator. */
  input_cost_per_token: number | null;
  output_cost_per_token: number | null;
  /** The sum of the deployments' limits. `null` for a shared name, because its limits belong to the operator. */
  rpm: number | null;
  tpm: number | null;
}

/**
 * Public names that a caller may use.
 *
 * @example
 * ```ts
 * const groups: ModelGroupList = await router.listModelGroups({ teamId: 'acme' });
 * console.log(groups.total_count);
 * ```
 */
export interface ModelGroupList {
  data: ModelGroup[];
  total_count: number;
}

/**
 * Returns the names of one team's record (`undefined`: it has none) and of the shared deployments that it may
 * use.
 *
 * @param everyShared whether to return all shared names with their limits and costs, for the operator
 */
export function modelGroups(
  team: TeamRecord | undefined,
  shared: TeamRecord | undefined,
  { everyShared, mayUse }: { everyShared: boolean; mayUse: (name: string) => boolean },
): ModelGroupList {
  const groups = new Map<string, ModelGroup>();
  for (const [name, pool] of team?.pools ?? []) groups.set(name, groupOf(name, pool, true));
  const allowed = new Set(team?.models);
  for (const [name, pool] of shared?.pools ?? []) {
    const isAllowed = everyShared || allowed.has(name) || allowed.has(allSharedNames);
    if (isAllowed && !groups.has(name)) groups.set(name, groupOf(name, pool, everyShared));
  }
  const data = [...groups.values()].filter(({ model_group }) => mayUse(model_group));
  return { data, total_count: data.length };
}

function groupOf(name: string, { deployments }: PoolRecord, owned: boolean): ModelGroup {
  const known = (values: unknown[]) => values.filter((value) => typeof value === 'number');
  const numbers = (field: string) => (owned ? known(deployments.map(({ params }) => params[field])) : []);
  const highest = (field: string) => numbers(field).reduce<number | null>(max, null);
  const sum = (field: string) =>
    numbers(field).reduce<number | null>((total, each) => (total ?? 0) + each, null);
  const modes = new Set(deployments.map(({ info }) => info.mode));
  const [mode] = modes;
  const [description] = deployments.flatMap(({ info }) =>
    typeof info.description === 'string' ? [info.description] : [],
  );
  return {
    model_group: name,
    providers: [...new Set(deployments.map(({ target }) => target.provider))],
    mode: modes.size === 1 && typeof mode === 'string' ? mode : null,
    description: owned ? (description ?? null) : null,
    input_cost_per_token: highest('input_cost_per_token'),
    output_cost_per_token: highest('output_cost_per_token'),
    rpm: sum('rpm'),
    tpm: sum('tpm'),
  };
}

function max(highest: number | null, each: number): number {
  return highest === null || each > highest ? each : highest;
}
