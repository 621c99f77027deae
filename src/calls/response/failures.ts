import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import type { Cancel } from '../abort/cancel.ts';

export function describeProvider(deployment: Deployment): string {
  return `model ${JSON.stringify(deployment.publicName)} (deployment ${deployment.id})`;
}

export function unreachable(deployment: Deployment, how: string): RouterError {
  return new RouterError('provider_unreachable', `The provider of ${describeProvider(deployment)} ${how}.`);
}

/** A provider's redirect. Only another deployment can serve the call, because `api_base` of this one is wrong. */
export class RedirectError extends RouterError {
  /** @param shared whether the team may not change the deployment */
  constructor(deployment: Deployment, status: number, { to, shared }: { to: boolean; shared: boolean }) {
    const how = `answered ${status}${to ? ' to another address' : ''}; redirects are not followed.`;
    const action = 'Check api_base.';
    const message = `The provider of ${describeProvider(deployment)} ${how}${shared ? '' : ` ${action}`}`;
    super('provider_unreachable', message, shared ? { hint: action } : {});
  }
}

/** The caller's own abort goes through as it is. */
export function brokenOff(deployment: Deployment, error: unknown, cancel: Cancel): unknown {
  if (cancel.aborted) return cancel.reason;
  if (RouterError.isInstance(error)) return error;
  if ((error as { code?: unknown }).code === 'UND_ERR_BODY_TIMEOUT') {
    return new RouterError(
      'provider_timeout',
      `The provider of ${describeProvider(deployment)} stopped sending.`,
    );
  }
  return unreachable(deployment, 'broke off its answer');
}
