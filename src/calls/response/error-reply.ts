import { RouterError } from '../../errors.ts';
import type { Redactor } from '../../redact/redactor.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { errorAnswer } from '../answer.ts';
import { classifyAnswer } from '../upstream/classify-answer.ts';
import type { SignedResponse } from '../upstream/credentials.ts';
import { passHeaders, retryAfterMs } from '../upstream/passed-headers.ts';
import { providerMessage } from '../upstream/provider-message.ts';
import { hideAccount, shownKey, withoutAccount } from './account-names.ts';
import { describeProvider } from './failures.ts';
import { type CallResult, wholeResult } from './reply.ts';

/**
 * Returns the answer to a provider's refusal: its own words, redacted, or 424 where it rejected the stored credential.
 *
 * @param bytes as the provider sent them; `redacted` is what others may read of them
 */
export function errorReply(
  deployment: Deployment,
  response: SignedResponse,
  status: number,
  bytes: Buffer,
  redacted: Buffer,
): CallResult {
  const { headers: given } = response;
  const asked = retryAfterMs(given);
  // Under a success, `status` is no more than what stands for a failure, unless the error tells its own.
  const own = status === 502 ? response.status : status;
  const judged = classifyAnswer({ status: own, headers: given, body: bytes });
  const redactor = redactorOf({ deployment, response });
  const words = status === 401 || status === 403 ? providerMessage(redacted) : undefined;
  const said = words === undefined ? {} : { providerMessage: words };
  if (status === 401) {
    const message = `The provider rejected the stored credential${shownKey(deployment)} of ${describeProvider(deployment)}.`;
    const error = new RouterError('provider_authentication_failed', message);
    // The words may speak of the operator's account, so no team reads them.
    const own = words === undefined || deployment.teamId === null ? {} : { provider_message: words };
    const answer = errorAnswer(error, { provider_status: status, ...own });
    return { ...wholeResult(answer, error.code), status, retryAfterMs: asked, judged, ...said };
  }
  const { 'content-length': _, ...passed } = withoutAccount(deployment, passHeaders(given));
  const headers: Record<string, string> = { 'x-litellm-error-source': 'provider' };
  for (const [name, value] of Object.entries(passed)) headers[name] = redactor.text(value);
  const body = hideAccount(deployment, redacted);
  return { ...wholeResult({ status, headers, body }), retryAfterMs: asked, judged, ...said };
}

/** Replaces what the provider was sent and must not be shown, if it repeats it. */
export function redactorOf({
  deployment,
  response,
}: {
  deployment: Deployment;
  response: SignedResponse;
}): Redactor {
  return deployment.redactor(response.token);
}
