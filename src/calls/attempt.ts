import { RouterError, type RouterErrorCode } from '../errors.ts';
import type { Deployment } from '../teams/deployment.ts';
import type { CallSignal } from './call-signal.ts';
import { Cancel } from './cancel.ts';
import type { CooldownPolicy } from './health.ts';
import type { Gates } from './pool.ts';
import type { End, Reply } from './relay.ts';

/** One attempt at one deployment, for the receipt. */
export interface AttemptRecord {
  deploymentId: string;
  /** The public name whose pool it belongs to: the call's own, or a fallback's. */
  model: string;
  /** The provider's status, or that of the error that kept it from answering; 499 if the caller left. */
  status: number;
  /** `ok`, `rate_limited` (429), `rejected` (another 4xx), `failed` (5xx), `aborted`, or the error's code. */
  reason: 'ok' | 'rate_limited' | 'rejected' | 'failed' | 'aborted' | RouterErrorCode;
  /** Until the answer began, or failed. */
  milliseconds: number;
}

/** `again`: may go better anywhere; `elsewhere`: at another deployment only; `final`: it is the caller's own doing. */
type Prospect = 'done' | 'again' | 'elsewhere' | 'final';

/** How an attempt ended: the provider answered, or could not be asked. */
export type Outcome = { prospect: Prospect; deployment?: Deployment } & (
  | { reply: Reply }
  | { error: RouterError }
);

/** What is told of an attempt. */
export interface AttemptWatcher {
  now: () => number;
  attempted: (record: AttemptRecord) => void;
  /** The body of an answer that was still to come has ended. */
  ended: (end: End, status: number) => void;
}

export interface AttemptRequest {
  deployment: Deployment;
  /** It has siblings, so that a key that is rejected may cool it. */
  inPool: boolean;
  gates: Gates;
  cooldown: CooldownPolicy;
  signal: CallSignal | undefined;
  /** Milliseconds until the first byte of the answer, and whether it is the caller who set them. */
  limit: { milliseconds: number; callers: boolean };
  send: (deployment: Deployment, cancel: Cancel, ended: (end: End) => void) => Promise<Reply>;
}

/** What an outcome means for the deployment. */
type Verdict = 'succeeded' | 'alive' | 'failed' | 'limited' | 'neutral';

/**
 * Makes one attempt, and tells the deployment's health of it. The caller's own abort, and a time-out that the caller
 * set, say nothing of the deployment: one team could cool a shared one for all.
 */
export async function attemptOnce(request: AttemptRequest, watcher: AttemptWatcher): Promise<Outcome> {
  const { deployment, gates, signal, limit } = request;
  const cancel = new Cancel(signal);
  const free = gates.limits.take(deployment);
  gates.health.begin(deployment.id);
  const startedAt = watcher.now();
  const note = (status: number, reason: AttemptRecord['reason']) => {
    const milliseconds = watcher.now() - startedAt;
    watcher.attempted({
      deploymentId: deployment.id,
      model: deployment.publicName,
      status,
      reason,
      milliseconds,
    });
  };
  const release = () => {
    free();
    cancel.release();
  };
  let status = 0;
  const ended = (end: End) => {
    release();
    if (end.error !== undefined) settle(request, 'failed', end.error.code, undefined);
    else if (!end.left) settle(request, 'succeeded', 'ok', undefined);
    watcher.ended(end, status);
  };
  cancel.within(
    limit.milliseconds,
    () => new RouterError('provider_timeout', 'The provider did not answer in time.'),
  );
  try {
    const reply = await request.send(deployment, cancel, ended);
    cancel.inTime();
    status = reply.status;
    const { reason, prospect, verdict } = judgeStatus(reply.status, request.inPool);
    note(reply.status, reason);
    settle(request, reply.open ? 'alive' : verdict, reason, reply.retryAfterMs);
    if (!reply.open) release();
    return { deployment, reply, prospect };
  } catch (error) {
    release();
    if (signal?.aborted || !RouterError.isInstance(error)) {
      note(499, 'aborted');
      settle(request, 'neutral', 'aborted', undefined);
      throw error;
    }
    note(error.status, error.code);
    const { prospect, verdict } = judgeError(error.code, cancel.aborted && limit.callers);
    settle(request, verdict, error.code, undefined);
    return { deployment, error, prospect };
  }
}

function judgeStatus(
  status: number,
  inPool: boolean,
): { reason: AttemptRecord['reason']; prospect: Prospect; verdict: Verdict } {
  if (status < 400) return { reason: 'ok', prospect: 'done', verdict: 'succeeded' };
  if (status === 429) return { reason: 'rate_limited', prospect: 'again', verdict: 'limited' };
  if (status >= 500) return { reason: 'failed', prospect: 'again', verdict: 'failed' };
  if (status === 408) return { reason: 'rejected', prospect: 'again', verdict: 'failed' };
  if (status === 409) return { reason: 'rejected', prospect: 'again', verdict: 'alive' };
  if (status === 401)
    return { reason: 'rejected', prospect: 'elsewhere', verdict: inPool ? 'failed' : 'alive' };
  if (status === 403 || status === 404)
    return { reason: 'rejected', prospect: 'elsewhere', verdict: 'alive' };
  return { reason: 'rejected', prospect: 'final', verdict: 'alive' };
}

function judgeError(code: RouterErrorCode, callersTime: boolean): { prospect: Prospect; verdict: Verdict } {
  if (code === 'provider_unreachable' || code === 'provider_timeout')
    return { prospect: 'again', verdict: callersTime ? 'neutral' : 'failed' };
  const own =
    code === 'egress_denied' || code === 'credential_unreadable' || code === 'provider_authentication_failed';
  return { prospect: own ? 'elsewhere' : 'final', verdict: 'neutral' };
}

function settle(
  { deployment, gates: { health }, cooldown }: AttemptRequest,
  verdict: Verdict,
  reason: string,
  retryAfterMs: number | undefined,
): void {
  const { id } = deployment;
  if (verdict === 'succeeded') health.succeeded(id);
  else if (verdict === 'alive') health.alive(id);
  else if (verdict === 'neutral') health.released(id);
  else health.failed(id, reason, cooldown, verdict === 'limited', retryAfterMs);
}
