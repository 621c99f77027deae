import type { ModelInfo, ModelParams } from '../../schemas/bodies.ts';
import { isHeaderField } from '../records/sealed-secrets.ts';
import {
  type DeploymentRecord,
  findDeployment,
  type PoolRecord,
  type TeamRecord,
} from '../records/team-record.ts';
import { type KeyView, keyView } from './edit-key.ts';
import { modelNotFound } from './edit-model.ts';
import { type SettingsView, viewSettings } from './edit-settings.ts';

/**
 * `litellm_params` with masked secrets, such as `sk-...cb07`.
 *
 * @example
 * ```ts
 * const { litellm_params } = await router.getModel('acme', modelId);
 * const { api_key }: ModelParamsView = litellm_params; // masked
 * ```
 */
export type ModelParamsView = ModelParams;

/**
 * `model_info` of a stored model.
 *
 * @example
 * ```ts
 * const { model_info } = await router.getModel('acme', modelId);
 * const { team_public_model_name, needs_reentry }: ModelDetails = model_info;
 * ```
 */
export interface ModelDetails extends Omit<NonNullable<ModelInfo>, 'id' | 'team_id'>, ModelStamps {
  id: string;
  /** `null` for a shared model. */
  team_id: string | null;
  /** Public name, which the team calls. */
  team_public_model_name: string;
  /** As in `litellm_params`. */
  input_cost_per_token?: number;
  output_cost_per_token?: number;
  /** LiteLLM's field for a model that is stored, so that these endpoints can change it. Every model is stored. */
  db_model: true;
  /** The stored credential cannot be decrypted. Enter it again. */
  needs_reentry?: true;
}

/**
 * Authors and times of a model's changes; times in ISO 8601.
 *
 * @example
 * ```ts
 * const stamps: ModelStamps = await router.getModel('acme', modelId);
 * console.log(stamps.updated_at, stamps.updated_by);
 * ```
 */
export interface ModelStamps {
  created_at: string;
  created_by: string;
  updated_at: string;
  updated_by: string;
}

/**
 * One deployment as `addModel`, `updateModel` and `getModel` return it.
 *
 * @example
 * ```ts
 * const view: ModelView = await router.addModel('acme', body);
 * console.log(view.model_id, view.model_info.team_public_model_name);
 * ```
 */
export interface ModelView extends ModelStamps {
  model_id: string;
  /** Internal name, as LiteLLM's endpoints return it. The public name is `model_info.team_public_model_name`. */
  model_name: string;
  litellm_params: ModelParamsView;
  model_info: ModelDetails;
}

/**
 * One deployment as `listModels` and `GET /model/info` return it.
 *
 * @example
 * ```ts
 * const { data } = await router.listModels('acme');
 * const ids = data.map(({ model_info }: ModelInfoView) => model_info.id);
 * ```
 */
export interface ModelInfoView extends ModelStamps {
  /** Public name, as LiteLLM's endpoint returns it. */
  model_name: string;
  litellm_params: ModelParamsView;
  model_info: ModelDetails;
}

/**
 * All of a team's deployments.
 *
 * @example
 * ```ts
 * const { data, total_count }: ModelList = await router.listModels('acme');
 * ```
 */
export interface ModelList {
  data: ModelInfoView[];
  total_count: number;
}

/**
 * A team without its models' details.
 *
 * @example
 * ```ts
 * const view: TeamView = await router.createTeam({ team_id: 'acme' });
 * console.log(view.models, view.blocked);
 * ```
 */
export interface TeamView {
  team_id: string;
  team_alias: string | null;
  /** Shared names that the team may use. */
  models: string[];
  metadata: Record<string, unknown>;
  blocked: boolean;
  /** Retries, timeouts and fallbacks of the team's calls; times in seconds. */
  settings: SettingsView;
  litellm_model_table: { model_aliases: Record<string, string>; created_by: string; updated_by: string };
  created_at: string;
  updated_at: string;
}

/**
 * A team in a list of teams.
 *
 * @example
 * ```ts
 * const { teams } = await router.listTeams({ keys: true });
 * const blocked = teams.filter((team: ListedTeam) => team.blocked);
 * ```
 */
export interface ListedTeam extends TeamView {
  keys_count: number;
  /** Present only if the keys were requested. */
  keys?: KeyView[];
}

/**
 * Result of `GET /team/info`.
 *
 * @example
 * ```ts
 * const { team_info, keys }: TeamInfo = await router.getTeamInfo('acme');
 * console.log(team_info.litellm_model_table.model_aliases, keys.length);
 * ```
 */
export interface TeamInfo {
  team_id: string;
  team_info: TeamView;
  keys: KeyView[];
  team_memberships: [];
}

/** Returns whether a deployment's secrets can be decrypted. Views mark the others `needs_reentry`. */
export type Readable = (deployment: DeploymentRecord) => boolean;

export function modelView(record: TeamRecord, id: string, readable: Readable): ModelView {
  const found = findDeployment(record, id);
  if (found === undefined) throw modelNotFound(id);
  const { name, pool, deployment } = found;
  return {
    model_id: id,
    model_name: pool.internal_name,
    litellm_params: shownParams(deployment),
    model_info: shownInfo(record, name, deployment, readable),
    ...stampsOf(deployment),
  };
}

export function modelList(record: TeamRecord, readable: Readable): ModelList {
  const rowsOf = (name: string, pool: PoolRecord) =>
    pool.deployments.map((deployment) => ({
      model_name: name,
      litellm_params: shownParams(deployment),
      model_info: shownInfo(record, name, deployment, readable),
      ...stampsOf(deployment),
    }));
  const data = record.pools.flatMap(([name, pool]) => rowsOf(name, pool));
  return { data, total_count: data.length };
}

export function teamView(record: TeamRecord): TeamView {
  return {
    team_id: record.team_id ?? '',
    team_alias: record.team_alias,
    models: [...record.models],
    metadata: record.metadata,
    blocked: record.blocked,
    settings: viewSettings(record.settings),
    litellm_model_table: {
      // Uses entries because `__proto__` is a valid public name.
      model_aliases: Object.fromEntries(record.pools.map(([name, pool]) => [name, pool.internal_name])),
      created_by: record.created_by,
      updated_by: record.updated_by,
    },
    created_at: record.created_at,
    updated_at: record.updated_at,
  };
}

export function listedTeam(record: TeamRecord, withKeys: boolean): ListedTeam {
  const listed = { ...teamView(record), keys_count: record.keys.length };
  return withKeys ? { ...listed, keys: keyViews(record) } : listed;
}

export function teamInfo(record: TeamRecord): TeamInfo {
  const teamId = record.team_id ?? '';
  return { team_id: teamId, team_info: teamView(record), keys: keyViews(record), team_memberships: [] };
}

function keyViews({ team_id, keys }: TeamRecord): KeyView[] {
  return keys.map(([token, key]) => keyView(team_id ?? '', token, key));
}

/** Returns a model's costs in the fields from which LiteLLM's clients read them. */
function costsOf({
  params,
}: DeploymentRecord): Pick<ModelDetails, 'input_cost_per_token' | 'output_cost_per_token'> {
  const { input_cost_per_token: input, output_cost_per_token: output } = params as ModelParams;
  return {
    ...(input === undefined ? {} : { input_cost_per_token: input }),
    ...(output === undefined ? {} : { output_cost_per_token: output }),
  };
}

function stampsOf({ created_at, created_by, updated_at, updated_by }: DeploymentRecord): ModelStamps {
  return { created_at, created_by, updated_at, updated_by };
}

function shownParams(deployment: DeploymentRecord): ModelParamsView {
  const shown: Record<string, unknown> = { ...deployment.params };
  const headers: [string, string][] = [];
  for (const [field, mask] of deployment.masks) {
    if (isHeaderField(field)) headers.push([field.slice(field.indexOf('.') + 1), mask]);
    else shown[field] = mask;
  }
  if (headers.length > 0) shown.extra_headers = Object.fromEntries(headers);
  return shown as ModelParamsView;
}

function shownInfo(
  record: TeamRecord,
  name: string,
  deployment: DeploymentRecord,
  readable: Readable,
): ModelDetails {
  return {
    ...deployment.info,
    id: deployment.id,
    team_id: record.team_id,
    team_public_model_name: name,
    ...costsOf(deployment),
    db_model: true,
    ...stampsOf(deployment),
    ...(readable(deployment) ? {} : { needs_reentry: true as const }),
  };
}
