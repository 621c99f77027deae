import { RouterError } from '../../errors.ts';

/**
 * Runs `work`, but waits no longer than `timeoutMs` and no longer than the caller's `signal` allows.
 *
 * Work that cannot be stopped once it is under way calls `stillWanted` before every step that writes, which throws if
 * nobody waits for it any more; work that can be stopped listens to `abandoned`, which aborts at that moment.
 *
 * @throws RouterError `storage_unavailable` when the time is up; the signal's reason when the caller aborted.
 */
export function boundedWait<Result>(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  work: (stillWanted: () => void, abandoned: AbortSignal) => Promise<Result>,
): Promise<Result> {
  return new Promise<Result>((resolve, reject) => {
    let waiting = true;
    const controller = new AbortController();
    const settle = (finish: () => void): void => {
      waiting = false;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      finish();
    };
    const abandon = (reason: unknown): void => {
      settle(() => reject(reason));
      controller.abort(reason);
    };
    const onAbort = (): void => abandon(signal?.reason);
    const onTimeout = (): void => abandon(tooSlow(timeoutMs));
    const timer = setTimeout(onTimeout, timeoutMs);
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort);
    const stillWanted = (): void => {
      if (!waiting) throw tooSlow(timeoutMs);
    };
    const failed = (error: unknown): void => settle(() => reject(error));
    try {
      work(stillWanted, controller.signal).then((result) => settle(() => resolve(result)), failed);
    } catch (error) {
      // Work that throws before it returns its promise would leave the timer and the listener behind.
      failed(error);
    }
  });
}

function tooSlow(timeoutMs: number): RouterError {
  return new RouterError('storage_unavailable', `The storage did not answer within ${timeoutMs} ms.`);
}
