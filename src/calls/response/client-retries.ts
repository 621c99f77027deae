import type { CallResult } from './relay.ts';

/** What clients of OpenAI try again by themselves, besides every status from 500 on. */
const retriedStatuses: ReadonlySet<number> = new Set([408, 409, 429]);

/**
 * Tells a client with retries of its own not to repeat a call that the router has tried again, or that cannot go better. What the
 * provider said of retries is handed on otherwise.
 *
 * @param attempts how many attempts the call has made at providers
 */
export function adviseAgainstRetries({ answer, judged }: CallResult, attempts: number): void {
  const { status, headers } = answer;
  // `true` makes them repeat any call.
  const wouldRetry = status >= 500 || retriedStatuses.has(status) || headers['x-should-retry'] === 'true';
  if (status < 400 || !wouldRetry) return;
  const hopeless = judged !== undefined && judged.decision !== 'retry';
  if (attempts > 1 || hopeless) headers['x-should-retry'] = 'false';
}
