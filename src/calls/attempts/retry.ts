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
 * Attempts at one pool, all of them before the first byte of an answer. What may go better anywhere (`retry`) goes to a deployment
 * that was not tried yet, else, after a pause, to any again. `retry-other` goes only to one that was not tried.
 *
 * @param fallback the name to go on to; `undefined`: the call's own
 * @throws RouterError what `resolve` throws; the signal's reason
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
      // The storage cannot be reached for another attempt: the provider's answer to the last one stands.
      if (answered === undefined || !isUnavailable(error)) throw error;
      return answered;
    }
    const { deployments, publicName: name } = pool;
    const deployment = selectDeployment(deployments, tried, availability, random, context.teamId);
    if (deployment !== undefined) {
      // The caller may have left while the call was read: an abort that has been is not heard of again.
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
