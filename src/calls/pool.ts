import type { Deployment } from '../teams/deployment.ts';

/**
 * Chooses the deployment for the next attempt: of those not tried yet the lowest `order`, and among its equals
 * one at random by `weight` (default 1; 0 is chosen only when nothing else is left). When all have been tried,
 * all are candidates again.
 *
 * @param random uniform in [0, 1)
 */
export function choose(
  deployments: readonly Deployment[],
  tried: ReadonlySet<string>,
  random: () => number,
): Deployment | undefined {
  if (deployments.length <= 1) return deployments[0];
  const untried = deployments.filter(({ id }) => !tried.has(id));
  const candidates = lowestOrder(untried.length > 0 ? untried : deployments);
  const total = candidates.reduce((sum, candidate) => sum + weightOf(candidate), 0);
  if (total === 0) return candidates[Math.floor(random() * candidates.length)];
  let left = random() * total;
  for (const candidate of candidates) {
    left -= weightOf(candidate);
    if (left < 0) return candidate;
  }
  return candidates.findLast((candidate) => weightOf(candidate) > 0);
}

function lowestOrder(deployments: readonly Deployment[]): readonly Deployment[] {
  const lowest = Math.min(...deployments.map(orderOf));
  return deployments.filter((deployment) => orderOf(deployment) === lowest);
}

/** Those that name no order come last. */
function orderOf(deployment: Deployment): number {
  return deployment.params.order ?? Number.MAX_SAFE_INTEGER;
}

function weightOf(deployment: Deployment): number {
  return deployment.params.weight ?? 1;
}
