import type { ProviderTarget } from '../../providers/provider.ts';
import { mask } from '../../redact/mask.ts';
import type { Secret } from '../../redact/redactor.ts';
import type { ModelParams } from '../../schemas/bodies.ts';
import { type SealContext, seal, unseal } from '../../secrets/envelope.ts';
import type { KeyRing } from '../../secrets/keyring.ts';
import type { DeploymentRecord } from './team-record.ts';

/** Fields of `litellm_params` that are stored sealed. The values of `extra_headers` are sealed too. */
export const secretFields = ['api_key', 'azure_ad_token', 'client_secret'] as const;

export type SecretField = (typeof secretFields)[number];

const headerField = 'extra_headers.';

/** Decrypted secrets of a deployment. */
export interface Secrets {
  api_key?: string;
  azure_ad_token?: string;
  client_secret?: string;
  headers: [name: string, value: string][];
}

/** Fields that a secret is bound to. A secret sealed for one destination cannot be unsealed for another. */
export interface SecretBinding {
  teamId: string | null;
  deploymentId: string;
  target: Pick<ProviderTarget, 'provider' | 'base'>;
  params: Pick<ModelParams, 'organization' | 'project' | 'tenant_id' | 'client_id'>;
}

/** Headers whose values are not secret. A response that contains one reveals nothing. */
const publicHeader =
  /^(accept(-.*)?|user-agent|(http-)?referer|origin|x-title|(openai|anthropic)-(beta|version)|traceparent)$/;

/**
 * Returns the values to redact. Short values are redacted in errors only, because text of a model may contain
 * them by chance, such as `production`.
 *
 * @param shared whether the deployment is shared; then no team sees any part of the operator's secrets
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

/** Removes the secrets from `given`. The rest may be stored unencrypted. */
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

/**
 * Unseals all secrets of a deployment.
 *
 * @throws RouterError `credential_unreadable` if a secret cannot be unsealed for this destination
 */
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

/**
 * Seals one secret of a deployment again, under the primary key. Returns `undefined` if it cannot be unsealed.
 */
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
