import { estimateInput, estimateOutput } from '../../metering/usage/estimate.ts';
import type { Usage, UsageReport } from '../../metering/usage/usage-report.ts';
import type { UsageOutcome, UsageSource } from '../../metering/usage-event.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { asksForStream, type CallContext } from '../call-context.ts';
import type { Endpoint } from '../endpoints/table.ts';

/** How an attempt ended that the provider may charge for. */
export interface AttemptEnd {
  /** The attempt's position within its call, from 1. */
  attempt: number;
  outcome: UsageOutcome;
  status: number;
  report?: UsageReport | undefined;
  /** Bytes of content that a stream carried. */
  contentBytes?: number | undefined;
}

/** Records what an attempt used. Never throws, because the answer is paid for. */
export function meterAttempt(context: CallContext, deployment: Deployment, end: AttemptEnd): void {
  const { request, receipt, caller, models } = context;
  const { meter, reporter } = context.services;
  // A response that is generated in the background reports its usage when it is read.
  if (meter === undefined || !generates(request.endpoint) || end.report?.pending === true) return;
  try {
    const { keyId } = caller;
    const keyAlias = keyId === undefined ? undefined : models.team?.keys.get(keyId)?.key_alias;
    const event = meter.record({
      callId: receipt.callId,
      attempt: end.attempt,
      teamId: caller.teamId,
      keyId,
      keyAlias: keyAlias ?? undefined,
      userId: receipt.userId,
      tags: receipt.tags,
      deployment,
      endpoint: request.endpoint.id,
      stream: asksForStream(request) === true,
      outcome: end.outcome,
      status: end.status,
      ...usageOf(context, end),
    });
    receipt.addUsage(event);
  } catch (error) {
    reporter.unforeseen(receipt, error);
  }
}

/** Returns whether a call of the endpoint generates something, so that the provider may charge for it. */
function generates({ stateful, local, id }: Endpoint): boolean {
  return !stateful && !local && id !== 'responses.inputTokens.count';
}

function usageOf(
  { request }: CallContext,
  { outcome, status, report, contentBytes }: AttemptEnd,
): { usage: Usage; usageSource: UsageSource } {
  const { endpoint, body } = request;
  if (outcome === 'error' && status < 500 && report === undefined && !contentBytes)
    return { usage: {}, usageSource: 'none' };
  const usage: Usage = { ...report?.usage };
  if (outcome !== 'error' && endpoint.id === 'audio.speech.create') {
    const characters = body.characters?.();
    if (characters !== undefined) usage.characters = characters;
  }
  if (outcome === 'success' && endpoint.id.startsWith('images.')) usage.images ??= body.choices ?? 1;
  if (report !== undefined) return { usage, usageSource: 'provider' };
  const isCut = outcome === 'aborted' || outcome === 'incomplete';
  if (isCut || contentBytes !== undefined) {
    const { sent } = body;
    if (sent !== undefined && hasTokens(endpoint)) usage.input = estimateInput(sent);
    if (contentBytes !== undefined) usage.output = estimateOutput(contentBytes);
  }
  return { usage, usageSource: Object.keys(usage).length === 0 ? 'unknown' : 'estimated' };
}

/** Returns whether the endpoint's input is text, so that its bytes say how many tokens it has. */
function hasTokens({ id }: Endpoint): boolean {
  return !/^(images|audio)\./.test(id);
}
