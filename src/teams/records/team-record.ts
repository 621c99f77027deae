import { z } from 'zod';
import { RouterError } from '../../errors.ts';

/** Version of the stored form. A change that older code cannot read increases it. */
const format = 1;

/**
 * Limits of one team's document. The byte limit bounds how long one read blocks the event loop: a document of 2
 * MiB took 20 to 40 ms to parse and check on the machine of bench:hostile.
 */
export const limits = {
  deployments: 1000,
  keys: 1000,
  previousSecrets: 10,
  deploymentBytes: 65_536,
  recordBytes: 2_097_152,
} as const;

const target = z.looseObject({
  provider: z.string(),
  base: z.string(),
  protocol: z.enum(['openai', 'azure', 'azure_v1']),
  model: z.string(),
  apiVersion: z.string().nullable(),
  apiVersions: z.record(z.string(), z.string()).optional(),
});

const deployment = z.looseObject({
  id: z.string(),
  /** `litellm_params` as received, without the secrets. */
  params: z.looseObject({ model: z.string() }),
  /** Resolved when written, so that a later change of the provider table redirects no key. */
  target,
  /** [field, token]; values of `extra_headers` under `extra_headers.<name>`. */
  sealed: z.array(z.tuple([z.string(), z.string()])),
  /** [field, shown part of its value]. */
  masks: z.array(z.tuple([z.string(), z.string()])),
  info: z.looseObject({}),
  created_at: z.string(),
  created_by: z.string(),
  updated_at: z.string(),
  updated_by: z.string(),
});

const pool = z.looseObject({ internal_name: z.string(), deployments: z.array(deployment) });

const key = z.looseObject({
  /** Shown part of the key: `sk-...wxyz`. */
  key_name: z.string(),
  key_alias: z.string().nullable(),
  key_type: z.enum(['default', 'llm_api', 'management', 'read_only']),
  /** Public names that the key may call; `null` for all of the team's. */
  models: z.array(z.string()).nullable(),
  metadata: z.custom<Record<string, unknown>>((value) => typeof value === 'object' && value !== null),
  /** Time when the key expires, in ISO 8601; `null`: never. */
  expires: z.string().nullable(),
  blocked: z.boolean(),
  /** Older secrets that are still valid: [SHA-256 in hex, expiry in ISO 8601]. */
  previous: z.array(z.tuple([z.string(), z.string()])).optional(),
  created_at: z.string(),
  created_by: z.string(),
  updated_at: z.string(),
  updated_by: z.string(),
});

const settings = z.looseObject({
  /** [public name, names to try when it fails]. */
  fallbacks: z.array(z.tuple([z.string(), z.array(z.string())])).optional(),
  num_retries: z.number().optional(),
  timeout: z.number().optional(),
  allowed_fails: z.number().optional(),
  cooldown_time: z.number().optional(),
});

const teamRecord = z.looseObject({
  format: z.number(),
  /** `null` for the document of the shared deployments. */
  team_id: z.string().nullable(),
  team_alias: z.string().nullable(),
  blocked: z.boolean(),
  metadata: z.custom<Record<string, unknown>>((value) => typeof value === 'object' && value !== null),
  /** Shared names that the team may use. */
  models: z.array(z.string()),
  /** Absent in a record of a version without settings. */
  settings: settings.default({}),
  pools: z.array(z.tuple([z.string(), pool])),
  /** [SHA-256 of the key in hex, permissions of the key]. The key itself is stored nowhere. */
  keys: z.array(z.tuple([z.string(), key])),
  /** Ids of the last writes. A writer that lost the answer learns from them whether its write was applied. */
  writes: z.array(z.string()),
  created_at: z.string(),
  created_by: z.string(),
  updated_at: z.string(),
  updated_by: z.string(),
});

/** The one stored document of a team. Unknown fields are kept on a write. */
export type TeamRecord = z.output<typeof teamRecord>;
export type SettingsRecord = z.output<typeof settings>;
export type PoolRecord = z.output<typeof pool>;
export type KeyRecord = z.output<typeof key>;
export type DeploymentRecord = z.output<typeof deployment>;

export const sharedKey = 'shared';
export const teamPrefix = 'team/';

/**
 * Returns the storage key of a team's document (`null`: of the shared deployments). Injective, and always below
 * its prefix.
 */
export function recordKey(teamId: string | null): string {
  return teamId === null ? sharedKey : teamPrefix + encodeURIComponent(teamId);
}

/** Returns the team of a record's storage key; `undefined` for any other key. */
export function teamOfRecord(key: string): string | null | undefined {
  if (key === sharedKey) return null;
  if (!key.startsWith(teamPrefix)) return undefined;
  try {
    return decodeURIComponent(key.slice(teamPrefix.length));
  } catch {
    return undefined;
  }
}

/** Returns the storage key of the pointer from a deployment's id to its team. */
export function modelPointerKey(deploymentId: string): string {
  return `model/${encodeURIComponent(deploymentId)}`;
}

/** Returns the storage key of the pointer from a team key's hash to its team. */
export function keyPointerKey(token: string): string {
  return `key/${token}`;
}

export function newRecord(teamId: string | null, at: string, by: string): TeamRecord {
  return {
    format,
    team_id: teamId,
    team_alias: null,
    blocked: false,
    metadata: {},
    models: [],
    settings: {},
    pools: [],
    keys: [],
    writes: [],
    created_at: at,
    created_by: by,
    updated_at: at,
    updated_by: by,
  };
}

export function encode(record: TeamRecord): string {
  return JSON.stringify(record);
}

/**
 * Decodes a stored record.
 *
 * @throws RouterError `corrupt_record` if the text is not a record, belongs to another team, or has a newer
 * format
 */
export function decode(text: string, teamId: string | null): TeamRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw corruptRecord('The record is not JSON.');
  }
  const stored = (value as { format?: unknown } | null)?.format;
  if (typeof stored === 'number' && stored > format)
    throw corruptRecord(`The record has format ${stored}; this version reads up to ${format}.`);
  const result = teamRecord.safeParse(value);
  if (!result.success) throw corruptRecord('The record is malformed.');
  if (result.data.team_id !== teamId) throw corruptRecord('The record belongs to another team.');
  return result.data;
}

export function corruptRecord(hint: string): RouterError {
  const message = 'The stored record cannot be read. Ask the operator of this service.';
  return new RouterError('corrupt_record', message, { hint });
}

/** Finds a deployment of the record, with its public name and its pool. */
export function findDeployment(
  record: TeamRecord,
  id: string,
): { name: string; pool: PoolRecord; deployment: DeploymentRecord } | undefined {
  for (const [name, pool] of record.pools) {
    const deployment = pool.deployments.find((candidate) => candidate.id === id);
    if (deployment !== undefined) return { name, pool, deployment };
  }
  return undefined;
}

export function countDeployments(record: TeamRecord): number {
  return record.pools.reduce((sum, [, pool]) => sum + pool.deployments.length, 0);
}
