import type { TeamSnapshot } from '../../teams/records/snapshot-cache.ts';
import type { CircuitBreaker, DeploymentHealth } from './circuit-breaker.ts';

/**
 * States of a team's own deployments, as this process has observed them.
 *
 * @example
 * ```ts
 * const health: TeamHealth = await router.health('acme');
 * for (const { model_name, state, lastError } of health.deployments) console.log(model_name, state, lastError);
 * ```
 */
export interface TeamHealth {
  deployments: ({ id: string; model_name: string } & DeploymentHealth)[];
}

/** A team that is not there has no deployments. */
export function teamHealth(health: CircuitBreaker, team: TeamSnapshot | undefined): TeamHealth {
  const deployments = [...(team?.deployments.values() ?? [])];
  return {
    deployments: deployments.map(({ id, publicName }) => ({
      id,
      model_name: publicName,
      ...health.stateOf(id),
    })),
  };
}
