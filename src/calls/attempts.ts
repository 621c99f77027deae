import type { TransportResponse } from '../egress/transport.ts';
import { RouterError } from '../errors.ts';
import type { Deployment } from '../teams/deployment.ts';
import { choose } from './pool.ts';
import type { Pool } from './resolve.ts';

/** One attempt at one deployment, for the receipt. */
export interface AttemptRecord {
  deploymentId: string;
  /** The provider's status, or that of the error that kept it from answering. */
  status: number;
  /** The error's code, if the provider did not answer. */
  code?: string;
  milliseconds: number;
}

/** How the last attempt ended: the provider answered, or could not be asked. */
export type Outcome = { deployment: Deployment } & ({ response: TransportResponse } | { error: RouterError });

export interface AttemptPlan {
  /** Resolves anew for each attempt, so that a key replaced or revoked meanwhile is not used. */
  resolve: () => Pool | Promise<Pool>;
  send: (deployment: Deployment) => Promise<TransportResponse>;
  /** How many attempts may follow the first one; absent: the deployment's `num_retries`, else 2. */
  retries: number | undefined;
  /** Whether the call can still be sent again. */
  repeatable: () => boolean;
  random: () => number;
  now: () => number;
  /** Rejects with the signal's reason when the caller leaves. */
  wait: (milliseconds: number) => Promise<void>;
}

/** What is wrong with one deployment only, and stays so: its siblings may do better. */
const ofOneDeployment = new Set<string>([
  'egress_denied',
  'credential_unreadable',
  'provider_authentication_failed',
]);

const defaultRetries = 2;
const mostRetries = 20;
const firstBackoffMs = 500;
const longestBackoffMs = 8_000;
/** A provider's `retry-after` is honoured up to here: it must not park the caller. */
const retryAfterClampMs = 10_000;

/**
 * Attempts, all of them before the first byte of an answer: 408, 409, 429, 5xx, connection faults and time-outs
 * go to a deployment of the pool that was not tried yet, else, after a pause, to any again; 401, 403 and 404
 * only to one that was not tried.
 */
export async function attempt(
  plan: AttemptPlan,
): Promise<{ outcome: Outcome; pool: Pool; attempts: AttemptRecord[] }> {
  const tried = new Set<string>();
  const attempts: AttemptRecord[] = [];
  for (;;) {
    const pool = await plan.resolve();
    const deployment = choose(pool.deployments, tried, plan.random);
    if (deployment === undefined)
      throw new RouterError('no_healthy_deployment', 'The model has no deployment.');
    const startedAt = plan.now();
    const outcome = await once(deployment, plan.send);
    const milliseconds = plan.now() - startedAt;
    attempts.push(record(outcome, milliseconds));
    tried.add(deployment.id);
    const retries = boundedRetries(plan.retries ?? deployment.params.num_retries);
    const sibling = pool.deployments.some(({ id }) => !tried.has(id));
    const enough = attempts.length > retries || !plan.repeatable();
    if (enough || !mayGoOn(outcome, sibling)) return { outcome, pool, attempts };
    const pause = sibling ? 0 : pauseBefore(attempts.length, outcome, plan.random);
    discard(outcome);
    if (pause > 0) await plan.wait(pause);
  }
}

/** A caller may ask for any number, and a loop must end. */
function boundedRetries(asked: number | undefined): number {
  return asked !== undefined && asked >= 0 ? Math.min(asked, mostRetries) : defaultRetries;
}

async function once(deployment: Deployment, send: AttemptPlan['send']): Promise<Outcome> {
  try {
    return { deployment, response: await send(deployment) };
  } catch (error) {
    // Anything else is the caller's own abort, or our own fault: neither is tried again.
    if (!RouterError.isInstance(error)) throw error;
    return { deployment, error };
  }
}

function mayGoOn(outcome: Outcome, sibling: boolean): boolean {
  if ('error' in outcome) {
    const { code } = outcome.error;
    if (code === 'provider_unreachable' || code === 'provider_timeout') return true;
    return sibling && ofOneDeployment.has(code);
  }
  const { status } = outcome.response;
  if (status === 408 || status === 409 || status === 429 || status >= 500) return true;
  return sibling && (status === 401 || status === 403 || status === 404);
}

/** Exponential, with full jitter; what the provider asks for is the least, up to a clamp. */
function pauseBefore(attempt: number, outcome: Outcome, random: () => number): number {
  const backoff = random() * Math.min(firstBackoffMs * 2 ** (attempt - 1), longestBackoffMs);
  const asked = 'response' in outcome ? retryAfterMs(outcome.response.headers) : undefined;
  return Math.max(backoff, Math.min(asked ?? 0, retryAfterClampMs));
}

function retryAfterMs(headers: TransportResponse['headers']): number | undefined {
  const milliseconds = Number(headers['retry-after-ms'] ?? Number.NaN);
  if (milliseconds >= 0) return milliseconds;
  const seconds = Number(headers['retry-after'] ?? Number.NaN);
  return seconds >= 0 ? seconds * 1000 : undefined;
}

function record(outcome: Outcome, milliseconds: number): AttemptRecord {
  const deploymentId = outcome.deployment.id;
  if ('response' in outcome) return { deploymentId, status: outcome.response.status, milliseconds };
  return { deploymentId, status: outcome.error.status, code: outcome.error.code, milliseconds };
}

function discard(outcome: Outcome): void {
  if (!('response' in outcome)) return;
  // An aborted body emits an error that nobody waits for.
  outcome.response.body.on('error', () => {});
  outcome.response.body.destroy();
}
