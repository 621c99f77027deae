import { RouterError } from '../../errors.ts';

/**
 * Runs `work` until `timeoutMs` have passed or the caller's `signal` aborts.
 *
 * Work that cannot be interrupted calls `stillWanted` before each step that writes. It throws after the wait has
 * ended. Work that can be interrupted listens to `abandoned`, which aborts when the wait ends.
 *
 * @throws RouterError `storage_unavailable` after the timeout; the signal's reason after an abort
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
      // Synchronous errors also have to clear the timer and the listener.
      failed(error);
    }
  });
}

function tooSlow(timeoutMs: number): RouterError {
  return new RouterError('storage_unavailable', `The storage did not answer within ${timeoutMs} ms.`);
}
