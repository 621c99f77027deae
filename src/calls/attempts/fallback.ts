import { isUnavailable, RouterError } from '../../errors.ts';
import type { CallContext } from '../call-context.ts';
import { maxFallbacks } from '../routing/call-policy.ts';
import type { Outcome } from './attempt.ts';
import { attempt } from './retry.ts';

/**
 * Tries the fallbacks of a failed model: those of its name in order, and then theirs. Skips names that the
 * caller may not use, or that no longer exist. If all fail, returns the failure of the caller's own model.
 *
 * @param own the call's own public name
 */
export async function fallBack(context: CallContext, first: Outcome, own: string): Promise<Outcome> {
  const { policy, receipt } = context;
  const seen = new Set([own]);
  const waiting = [...policy.fallbacksOf(own, true)];
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (seen.size > maxFallbacks || policy.expired || !context.mayFallBack) break;
    if (seen.has(name)) continue;
    seen.add(name);
    try {
      const { outcome } = await attempt(context, name);
      receipt.addFallback(name);
      if (!isRetryable(outcome)) return outcome;
    } catch (error) {
      if (!isSkipped(error)) throw error;
    }
    waiting.push(...policy.fallbacksOf(name, false));
  }
  return first;
}

/** Whether another model may do better. */
export function isRetryable({ decision }: Outcome): boolean {
  return decision === 'retry' || decision === 'retry-other';
}

/** What keeps a call from a fallback and says nothing of the call's own model. */
const skippedCodes: ReadonlySet<string> = new Set([
  'model_not_found',
  'stateful_on_shared',
  // A field of the call that the fallback's deployments do not take.
  'invalid_request',
]);

/** Returns whether an error of a fallback leaves the first outcome as it is. So does a storage that cannot be reached. */
function isSkipped(error: unknown): boolean {
  return isUnavailable(error) || (RouterError.isInstance(error) && skippedCodes.has(error.code));
}
