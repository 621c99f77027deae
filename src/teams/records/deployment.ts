import type { ProviderTarget } from '../../providers/provider.ts';
import { Redactor } from '../../redact/redactor.ts';
import type { ModelParams } from '../../schemas/bodies.ts';
import type { KeyRing } from '../../secrets/keyring.ts';
import { type Secrets, secretValues, unsealAll } from './sealed-secrets.ts';
import type { DeploymentRecord } from './team-record.ts';

/** A stored deployment, ready for calls. Decrypts its secrets once, on the first call, and never shows them. */
export class Deployment {
  readonly id: string;
  /** `null` for a shared deployment of the operator. */
  readonly teamId: string | null;
  readonly publicName: string;
  readonly target: ProviderTarget;
  readonly params: ModelParams;
  /** Shown parts of its secrets: [field, mask]. */
  readonly masks: readonly (readonly [string, string])[];
  /** Sealed client secret. It changes whenever the client secret is stored again. */
  readonly secretVersion: string;
  readonly mode: string | undefined;
  /** The model that an Azure deployment serves, for its price. */
  readonly baseModel: string | undefined;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly #open: () => Secrets;
  #secrets: Secrets | undefined;
  #redactor: { tokens: string; redactor: Redactor } | undefined;

  constructor(ring: KeyRing, teamId: string | null, publicName: string, record: DeploymentRecord) {
    this.id = record.id;
    this.teamId = teamId;
    this.publicName = publicName;
    this.target = record.target as ProviderTarget;
    this.params = record.params as ModelParams;
    this.masks = record.masks;
    this.secretVersion = record.sealed.find(([field]) => field === 'client_secret')?.[1] ?? '';
    this.mode = typeof record.info.mode === 'string' ? record.info.mode : undefined;
    this.baseModel = typeof record.info.base_model === 'string' ? record.info.base_model : undefined;
    this.createdAt = Date.parse(record.created_at);
    const destination = { teamId, deploymentId: record.id, target: this.target, params: this.params };
    this.#open = () => unsealAll(ring, destination, record.sealed);
  }

  /**
   * Returns the decrypted secrets.
   *
   * @throws RouterError `credential_unreadable`
   */
  secrets(): Secrets {
    this.#secrets ??= this.#open();
    return this.#secrets;
  }

  /**
   * Returns a redactor that replaces the deployment's secrets in provider responses.
   *
   * @param tokens tokens that were sent in place of a stored secret
   * @throws RouterError `credential_unreadable`
   */
  redactor(tokens: readonly string[] = []): Redactor {
    // A token contains no space.
    const joined = tokens.join(' ');
    if (this.#redactor === undefined || this.#redactor.tokens !== joined) {
      const secrets = secretValues(this.secrets(), this.teamId === null);
      for (const value of tokens) secrets.push({ value, mask: '...', inAnswers: true });
      this.#redactor = { tokens: joined, redactor: new Redactor(secrets) };
    }
    return this.#redactor.redactor;
  }
}
