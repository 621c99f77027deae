import type { EgressPolicy } from '../../egress/guard.ts';
import { RouterError } from '../../errors.ts';

/**
 * Checks an address when it is stored, as far as possible without DNS. The connector checks it again on every
 * connection.
 *
 * @throws RouterError `api_base_not_allowed`
 */
export function checkBase(policy: EgressPolicy, base: string): void {
  const reason = policy.checkUrl(new URL(base));
  if (reason === undefined) return;
  throw new RouterError('api_base_not_allowed', `litellm_params.api_base: ${reason}`, {
    param: 'litellm_params.api_base',
    hint: 'Allow the address by egress.allow, or by --egress-allow of the command.',
  });
}
