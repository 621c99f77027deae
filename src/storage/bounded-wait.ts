import { RouterError } from '../errors.ts';

/**
 * Runs `work`, but waits no longer than `timeoutMs` and no longer than the caller's `signal` allows.
 *
 * The work itself cannot be stopped once it is under way; it calls `stillWanted` before every step that
 * writes, which throws if nobody waits for it any more.
 *
 * @throws RouterError `storage_unavailable` when the time is up; the signal's reason when the caller aborted.
 */
export function boundedWait<Result>(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  work: (stillWanted: () => void) => Promise<Result>,
): Promise<Result> {
  return new Promise<Result>((resolve, reject) => {
    let waiting = true;
    const settle = (finish: () => void): void => {
      waiting = false;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      finish();
    };
    const onAbort = (): void => settle(() => reject(signal?.reason));
    const onTimeout = (): void => settle(() => reject(tooSlow(timeoutMs)));
    const timer = setTimeout(onTimeout, timeoutMs);
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort);
    const stillWanted = (): void => {
      if (!waiting) throw tooSlow(timeoutMs);
    };
    work(stillWanted).then(
      (result) => settle(() => resolve(result)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}

function tooSlow(timeoutMs: number): RouterError {
  return new RouterError('storage_unavailable', `The storage did not answer within ${timeoutMs} ms.`);
}
