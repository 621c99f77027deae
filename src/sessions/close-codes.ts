import { randomUUID } from 'node:crypto';
import type { RouterError, RouterErrorCode } from '../errors.ts';

/** Maximum size of a close frame's reason in bytes. @see https://www.rfc-editor.org/rfc/rfc6455#section-5.5 */
const maxReasonBytes = 123;

/** No close frame may carry these. @see https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1 */
const reserved: ReadonlySet<number> = new Set([1004, 1006, 1015]);

/** Returns the code of the close frame for the other end; 1005 means a frame without a code. */
export function passedCode(code: number): number {
  if (reserved.has(code)) return 1011;
  return (code >= 1000 && code <= 1014) || (code >= 3000 && code <= 4999) ? code : 1002;
}

/** Returns as much of a reason as a close frame can carry. */
export function passedReason(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.byteLength <= maxReasonBytes) return reason;
  return bytes
    .subarray(0, maxReasonBytes)
    .toString('utf8')
    .replace(/\ufffd+$/, '');
}

const codes: Partial<Record<RouterErrorCode, number>> = {
  draining: 1001,
  request_too_large: 1009,
  rate_limit_exceeded: 1013,
  overloaded: 1013,
  no_healthy_deployment: 1013,
  internal_error: 1011,
  credential_unreadable: 1011,
  corrupt_record: 1011,
  egress_denied: 1011,
  provider_unreachable: 1011,
  provider_timeout: 1011,
  provider_authentication_failed: 1011,
  storage_unavailable: 1013,
};

/** Returns the close code of a session that the router ends with an error. 1008: the caller may not continue. */
export function closeCodeOf({ code }: RouterError): number {
  return codes[code] ?? 1008;
}

/** Returns an error as the event that the clients of the Realtime and the Responses API read. */
export function errorEvent(error: RouterError): string {
  const { message, type, param, code } = error.toJSON().error;
  const event_id = `event_${randomUUID().replaceAll('-', '')}`;
  return JSON.stringify({
    type: 'error',
    event_id,
    status: error.status,
    error: { type, code, message, param, event_id: null },
  });
}
