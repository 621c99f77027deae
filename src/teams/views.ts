import { type KeyView, keyView } from './keys.ts';
import { modelNotFound } from './models.ts';
import { type DeploymentRecord, findDeployment, type PoolRecord, type TeamRecord } from './record.ts';
import { isHeaderField } from './sealing.ts';
import { type SettingsView, viewSettings } from './settings.ts';

/** One deployment as the documented endpoints show it: secrets masked, `model_name` the internal name. */
export interface ModelView {
  model_id: string;
  model_name: string;
  litellm_params: Record<string, unknown>;
  model_info: {
    id: string;
    team_id: string | null;
    team_public_model_name: string;
    /** Every model is stored, and so can be changed by these endpoints: LiteLLM's word for that. */
    db_model: true;
    created_at: string;
    created_by: string;
    updated_at: string;
    updated_by: string;
    [field: string]: unknown;
  };
  created_at: string;
  created_by: string;
  updated_at: string;
  updated_by: string;
}

/** A row of `/model/info`: like `ModelView`, under its public name. */
export interface ModelInfoView {
  model_name: string;
  litellm_params: Record<string, unknown>;
  model_info: ModelView['model_info'];
}

/** All of a team's deployments. */
export interface ModelList {
  data: ModelInfoView[];
  total_count: number;
}

/** A team without its models' details. */
export interface TeamView {
  team_id: string;
  team_alias: string | null;
  /** The shared names that the team may use. */
  models: string[];
  metadata: Record<string, unknown>;
  blocked: boolean;
  /** How its calls are tried; times in seconds. */
  settings: SettingsView;
  litellm_model_table: { model_aliases: Record<string, string>; created_by: string; updated_by: string };
  created_at: string;
  updated_at: string;
}

/** A team in a list of teams. */
export interface ListedTeam extends TeamView {
  keys_count: number;
  /** Only where they are asked for. */
  keys?: KeyView[];
}

/** `GET /team/info`. */
export interface TeamInfo {
  team_id: string;
  team_info: TeamView;
  keys: KeyView[];
  team_memberships: [];
}

/** Whether a deployment's secrets open: `needs_reentry` marks the ones that do not. */
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
    created_at: deployment.created_at,
    created_by: deployment.created_by,
    updated_at: deployment.updated_at,
    updated_by: deployment.updated_by,
  };
}

export function modelList(record: TeamRecord, readable: Readable): ModelList {
  const rowsOf = (name: string, pool: PoolRecord) =>
    pool.deployments.map((deployment) => ({
      model_name: name,
      litellm_params: shownParams(deployment),
      model_info: shownInfo(record, name, deployment, readable),
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
      // Entries, so that a public name such as `__proto__` is an own key like any other.
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

function shownParams(deployment: DeploymentRecord): Record<string, unknown> {
  const shown: Record<string, unknown> = { ...deployment.params };
  const headers: [string, string][] = [];
  for (const [field, mask] of deployment.masks) {
    if (isHeaderField(field)) headers.push([field.slice(field.indexOf('.') + 1), mask]);
    else shown[field] = mask;
  }
  if (headers.length > 0) shown.extra_headers = Object.fromEntries(headers);
  return shown;
}

function shownInfo(record: TeamRecord, name: string, deployment: DeploymentRecord, readable: Readable) {
  return {
    ...deployment.info,
    id: deployment.id,
    team_id: record.team_id,
    team_public_model_name: name,
    db_model: true as const,
    created_at: deployment.created_at,
    created_by: deployment.created_by,
    updated_at: deployment.updated_at,
    updated_by: deployment.updated_by,
    ...(readable(deployment) ? {} : { needs_reentry: true }),
  };
}
