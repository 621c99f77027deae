import type { CallResult } from './relay.ts';

/**
 * Tells a client with retries of its own not to repeat a call that the router has tried again, or that cannot go better. What the
 * provider said of retries is handed on otherwise.
 *
 * @param attempts how many attempts the call has made at providers
 */
export function adviseAgainstRetries({ answer, judged }: CallResult, attempts: number): void {
  const { status, headers } = answer;
  if (status < 400) return;
  const hopeless = judged !== undefined && judged.decision !== 'retry';
  if (attempts > 1 || hopeless) headers['x-should-retry'] = 'false';
}
