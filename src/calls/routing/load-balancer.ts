import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { RateLimiter } from './rate-limits.ts';

/** What keeps a deployment from being chosen. */
export interface Availability {
  health: CircuitBreaker;
  limits: RateLimiter;
}

/**
 * Chooses the deployment for the next attempt among those that do not cool down and have room: one not tried yet
 * before any that was, then the lowest `order`, and among its equals one at random by `weight`.
 *
 * @param random uniform in [0, 1)
 * @param teamId the caller's team; `null` for the operator
 */
export function selectDeployment(
  deployments: readonly Deployment[],
  tried: ReadonlySet<string>,
  availability: Availability,
  random: () => number,
  teamId: string | null,
): Deployment | undefined {
  const [first] = deployments;
  if (deployments.length === 1 && first !== undefined)
    return isAvailable(availability, first, teamId, tried.has(first.id), true) ? first : undefined;
  const untried = untriedDeployments(deployments, tried, availability, teamId);
  if (untried.length > 0) return byWeight(lowestOrder(untried), random);
  const again = deployments.filter(
    (deployment) => tried.has(deployment.id) && isAvailable(availability, deployment, teamId, true),
  );
  return again.length === 0 ? undefined : byWeight(lowestOrder(again), random);
}

/** Deployments that a call may use immediately. */
export function untriedDeployments(
  deployments: readonly Deployment[],
  tried: ReadonlySet<string>,
  availability: Availability,
  teamId: string | null,
): Deployment[] {
  return deployments.filter(
    (deployment) => !tried.has(deployment.id) && isAvailable(availability, deployment, teamId, false),
  );
}

/** Why no deployment of a pool can be chosen, and when to come back. */
export function poolExhaustedError(
  deployments: readonly Deployment[],
  { health, limits }: Availability,
  teamId: string | null,
): RouterError {
  if (deployments.length === 0)
    return new RouterError('no_healthy_deployment', 'The model has no deployment.');
  const name = JSON.stringify(deployments[0]?.publicName);
  const waits = deployments.map((deployment) =>
    Math.max(health.retryAfterMs(deployment, teamId), limits.retryAfterMs(deployment, teamId)),
  );
  const retryAfter = Math.max(1, Math.ceil(Math.min(...waits) / 1000));
  if (deployments.some((deployment) => health.retryAfterMs(deployment, teamId) === 0)) {
    const message = `Every deployment of model ${name} is at its limit of requests.`;
    return new RouterError('rate_limit_exceeded', message, { retryAfter });
  }
  const message = `Every deployment of model ${name} is cooling down after failures.`;
  return new RouterError('no_healthy_deployment', message, { retryAfter });
}

function isAvailable(
  { health, limits }: Availability,
  deployment: Deployment,
  teamId: string | null,
  tried: boolean,
  alone = false,
): boolean {
  return health.canRequest(deployment, teamId, tried, alone) && limits.retryAfterMs(deployment, teamId) === 0;
}

/** Default 1; 0 is chosen only when nothing else is left. */
function byWeight(candidates: readonly Deployment[], random: () => number): Deployment | undefined {
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
