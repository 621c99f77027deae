import type { CallResult } from './relay.ts';

/**
 * Tells a retrying client not to repeat a call that the router has retried, or that cannot succeed. Otherwise
 * passes the provider's retry headers through.
 *
 * @param attempts number of attempts that the call made at providers
 */
export function adviseAgainstRetries({ answer, judged }: CallResult, attempts: number): void {
  const { status, headers } = answer;
  if (status < 400) return;
  const hopeless = judged !== undefined && judged.decision !== 'retry';
  if (attempts > 1 || hopeless) headers['x-should-retry'] = 'false';
}
