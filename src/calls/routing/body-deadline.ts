import { RouterError } from '../../errors.ts';
import { Cancel } from '../abort/cancel.ts';
import { isStream } from '../body/read-body.ts';
import type { Call } from '../call.ts';
import { headerMs } from './call-policy.ts';

const maxDelayMs = 86_400_000;

/**
 * Returns a signal that aborts with `invalid_request` if a streamed body has not arrived within the call's own timeout, and
 * when the caller aborts. Stop its timer with `inTime` once the body is read, and release it when the call has ended.
 *
 * @param elapsedMs milliseconds since the call began
 * @throws RouterError `invalid_request` if the header with the timeout is malformed
 */
export function bodyDeadline(call: Call, elapsedMs: number): Cancel | undefined {
  if (call.body === undefined || !isStream(call.body)) return undefined;
  const timeoutMs = call.timeoutMs ?? headerMs(call, 'x-litellm-timeout');
  if (timeoutMs === undefined) return undefined;
  const milliseconds = Math.min(Math.max(1, timeoutMs - elapsedMs), maxDelayMs);
  const cancel = new Cancel(call.signal);
  cancel.within(() => ({ milliseconds, left: milliseconds, callers: true }), lateBody);
  return cancel;
}

function lateBody(): RouterError {
  const message =
    'body: must arrive within the timeout of the call. Raise the timeout, or send the body sooner.';
  return new RouterError('invalid_request', message, { param: 'body' });
}
