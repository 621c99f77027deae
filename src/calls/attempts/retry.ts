import { isUnavailable } from '../../errors.ts';
import type { CallContext } from '../call-context.ts';
import { poolExhaustedError, selectDeployment, untriedDeployments } from '../routing/load-balancer.ts';
import type { Pool } from '../routing/resolve.ts';
import { Attempt, type Outcome } from './attempt.ts';

const none: ReadonlySet<string> = new Set();
const maxRetries = 20;
const firstBackoffMs = 500;
const maxBackoffMs = 8_000;
/** A provider's `retry-after` is honoured up to here: it must not park the caller. */
const retryAfterClampMs = 10_000;

/**
 * Attempts a call at one pool, before the first byte of a response. A `retry` decision selects an untried
 * deployment, or, after a pause, any deployment. `retry-other` selects only an untried one.
 *
 * @param fallback name of the fallback; `undefined`: the call's own name
 * @throws RouterError errors of `resolve`; the signal's reason
 */
export async function attempt(
  context: CallContext,
  fallback: string | undefined,
): Promise<{ outcome: Outcome; name: string }> {
  const { availability, random } = context.services;
  let tried = none;
  let outcome: Outcome | undefined;
  let answered: { outcome: Outcome; name: string } | undefined;
  for (let turn = 0; ; turn++) {
    let pool: Pool;
    try {
      pool = await context.resolve(fallback);
    } catch (error) {
      // The storage is unreachable for another attempt, so the provider's last response is returned.
      if (answered === undefined || !isUnavailable(error)) throw error;
      return answered;
    }
    const { deployments, publicName: name } = pool;
    const deployment = selectDeployment(deployments, tried, availability, random, context.teamId);
    if (deployment !== undefined) {
      // The caller may have disconnected while the body was read. A past abort emits no event.
      context.signal?.throwIfAborted();
      outcome = await new Attempt(deployment, pool.pinned ?? deployments.length > 1, context).outcome();
    }
    // When all that were tried cool down or are full, the call waits a turn as if it had been refused again.
    const last = outcome?.deployment;
    if (outcome === undefined || last === undefined)
      return {
        outcome: {
          decision: 'retry-other',
          error: poolExhaustedError(deployments, availability, context.teamId),
        },
        name,
      };
    answered = { outcome, name };
    const { decision } = outcome;
    const enough =
      turn >= maxRetries || !context.policy.mayRetry(last, turn) || !context.request.body.isRepeatable();
    if (decision === 'success' || decision === 'fail' || enough) return answered;
    if (deployment !== undefined) tried = new Set(tried).add(deployment.id);
    if (untriedDeployments(deployments, tried, availability, context.teamId).length > 0) {
      context.policy.countRetry(last);
      continue;
    }
    const pause = pauseBefore(turn, outcome, random);
    // After a pause that outlasts the call's time there is nothing left to try.
    const late = pause >= context.policy.limitOf(last).milliseconds;
    if (decision === 'retry-other' || late) return answered;
    context.policy.countRetry(last);
    await context.wait(pause);
  }
}

/** Exponential, with full jitter; what the provider asks for is the least, up to a clamp. */
function pauseBefore(turn: number, outcome: Outcome, random: () => number): number {
  const backoff = random() * Math.min(firstBackoffMs * 2 ** turn, maxBackoffMs);
  const asked = 'reply' in outcome ? (outcome.reply.retryAfterMs ?? 0) : 0;
  return Math.max(backoff, Math.min(asked, retryAfterClampMs));
}
