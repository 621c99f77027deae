import { hash } from 'node:crypto';
import { createLruCache } from '../../lru-cache.ts';
import { keyIdOf } from '../../secrets/envelope.ts';
import type { KeyRing } from '../../secrets/keyring.ts';
import { Deployment } from './deployment.ts';
import { Slices } from './slices.ts';
import type { DeploymentRecord, TeamRecord } from './team-record.ts';

const maxRemembered = 50_000;

/**
 * Finds out whether a deployment's secrets can be decrypted, for `needs_reentry`. Decrypts each stored form
 * once per process, in slices if there are many. A repeated list decrypts nothing.
 */
export class Readability {
  readonly #ring: KeyRing;
  readonly #known = createLruCache<string, boolean>(maxRemembered);

  constructor(ring: KeyRing) {
    this.#ring = ring;
  }

  /** Returns the deployments of a record with a secret that cannot be decrypted. */
  async unreadableOf(record: TeamRecord): Promise<Set<DeploymentRecord>> {
    const unreadable = new Set<DeploymentRecord>();
    const slices = new Slices(record.team_id);
    for (const [, pool] of record.pools) {
      for (const deployment of pool.deployments) {
        if (!this.of(record.team_id, deployment)) unreadable.add(deployment);
        if (slices.spent) await slices.pass();
      }
    }
    await slices.pass();
    return unreadable;
  }

  /** Returns whether every secret of the deployment can be decrypted. */
  of(teamId: string | null, deployment: DeploymentRecord): boolean {
    const { sealed } = deployment;
    if (sealed.length === 0) return true;
    if (sealed.some(([, token]) => this.#ring.get(keyIdOf(token) ?? '') === undefined)) return false;
    const form = formOf(teamId, deployment);
    const known = this.#known.get(form) ?? this.#opens(teamId, deployment);
    this.#known.set(form, known);
    return known;
  }

  #opens(teamId: string | null, deployment: DeploymentRecord): boolean {
    try {
      new Deployment(this.#ring, teamId, '', deployment).secrets();
      return true;
    } catch {
      return false;
    }
  }
}

/** Returns a key of all fields that a secret is bound to, so that an edited row is checked again. */
function formOf(teamId: string | null, { id, target, params, sealed }: DeploymentRecord): string {
  const { organization, project, tenant_id, client_id } = params;
  const bound = [teamId, id, target.provider, target.base, organization, project, tenant_id, client_id];
  return hash('sha256', JSON.stringify([bound, sealed]), 'base64');
}
