import type { ProviderTarget } from '../../providers/provider.ts';
import { mask } from '../../redact/mask.ts';
import type { Secret } from '../../redact/redactor.ts';
import type { ModelParams } from '../../schemas/bodies.ts';
import { type SealContext, seal, unseal } from '../../secrets/envelope.ts';
import type { KeyRing } from '../../secrets/keyring.ts';
import type { DeploymentRecord } from './team-record.ts';

/** The fields of `litellm_params` that are stored sealed; beside them, every value of `extra_headers`. */
export const secretFields = ['api_key', 'azure_ad_token', 'client_secret'] as const;

export type SecretField = (typeof secretFields)[number];

const headerField = 'extra_headers.';

/** What a deployment sends along, opened. */
export interface Secrets {
  api_key?: string;
  azure_ad_token?: string;
  client_secret?: string;
  headers: [name: string, value: string][];
}

/** What an opened secret is bound to: sealed for one destination, it opens for no other. */
export interface SecretBinding {
  teamId: string | null;
  deploymentId: string;
  target: Pick<ProviderTarget, 'provider' | 'base'>;
  params: Pick<ModelParams, 'organization' | 'project' | 'tenant_id' | 'client_id'>;
}

/** Headers whose values applications show on purpose: an answer that holds one tells no secret. */
const publicHeader =
  /^(accept(-.*)?|user-agent|(http-)?referer|origin|x-title|(openai|anthropic)-(beta|version)|traceparent)$/;

/**
 * What must not be shown of them. Short values are replaced in errors only: in what a model writes they would stand by
 * chance, `production` for instance.
 *
 * @param shared of a shared deployment: no team is shown any part of the operator's secrets
 */
export function secretValues({ headers, ...fields }: Secrets, shared: boolean): Secret[] {
  const shown = (value: string) => (shared ? '...' : mask(value));
  const keys = Object.values(fields).map((value) => {
    return { value, mask: shown(value), inAnswers: value.length >= 16 || /^(?=.*\d).{8}/.test(value) };
  });
  const others = headers.map(([name, value]) => {
    return { value, mask: shown(value), inAnswers: value.length >= 16 && !publicHeader.test(name) };
  });
  return [...keys, ...others];
}

export function contextOf(destination: SecretBinding, field: string): SealContext {
  const { teamId, deploymentId, target, params } = destination;
  return {
    teamId,
    deploymentId,
    field,
    provider: target.provider,
    base: target.base,
    organization: params.organization ?? null,
    project: params.project ?? null,
    tenantId: params.tenant_id ?? null,
    clientId: params.client_id ?? null,
  };
}

/** Takes the secrets out of `given`: the rest may be stored as it is. */
export function splitSecrets(given: ModelParams): { params: ModelParams; secrets: Map<string, string> } {
  const { api_key, azure_ad_token, client_secret, extra_headers, ...params } = given;
  const secrets = new Map<string, string>();
  for (const [field, value] of Object.entries({ api_key, azure_ad_token, client_secret })) {
    if (value !== undefined) secrets.set(field, value);
  }
  for (const [name, value] of Object.entries(extra_headers ?? {})) {
    secrets.set(headerField + name.toLowerCase(), value);
  }
  return { params, secrets };
}

export function sealAll(
  ring: KeyRing,
  destination: SecretBinding,
  secrets: ReadonlyMap<string, string>,
): Pick<DeploymentRecord, 'sealed' | 'masks'> {
  const fields = [...secrets];
  return {
    sealed: fields.map(([field, value]) => [field, seal(ring, value, contextOf(destination, field))]),
    masks: fields.map(([field, value]) => [field, mask(value)]),
  };
}

/** @throws RouterError `credential_unreadable` if any of them does not open for this destination. */
export function unsealAll(
  ring: KeyRing,
  destination: SecretBinding,
  sealed: DeploymentRecord['sealed'],
): Secrets {
  const secrets: Secrets = { headers: [] };
  for (const [field, token] of sealed) {
    const value = unseal(ring, token, contextOf(destination, field));
    if (field.startsWith(headerField)) secrets.headers.push([field.slice(headerField.length), value]);
    else if (isSecretField(field)) secrets[field] = value;
  }
  return secrets;
}

/** Seals one secret of a deployment again, under the primary key. Returns `undefined` if it does not open. */
export function reseal(
  ring: KeyRing,
  teamId: string | null,
  { id, target, params }: DeploymentRecord,
  field: string,
  token: string,
): string | undefined {
  const context = contextOf({ teamId, deploymentId: id, target, params } as SecretBinding, field);
  try {
    return seal(ring, unseal(ring, token, context), context);
  } catch {
    return undefined;
  }
}

export function isHeaderField(field: string): boolean {
  return field.startsWith(headerField);
}

function isSecretField(field: string): field is SecretField {
  return (secretFields as readonly string[]).includes(field);
}
