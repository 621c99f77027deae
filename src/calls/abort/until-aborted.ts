import type { CallSignal } from './call-signal.ts';
/** What `promise` settles to, or a rejection with the signal's reason as soon as it aborts. */
export async function untilAborted<Value>(
  promise: Promise<Value>,
  signal: CallSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return promise;
  if (signal.aborted) {
    // No caller awaits it any more, and an unhandled rejection would end the process.
    promise.catch(() => {});
    throw signal.reason;
  }
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
