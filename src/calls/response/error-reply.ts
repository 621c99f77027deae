import { RouterError } from '../../errors.ts';
import type { Redactor } from '../../redact/redactor.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { errorAnswer } from '../answer.ts';
import { type Classification, classifyAnswer, type ProviderAnswer } from '../upstream/classify-answer.ts';
import type { SignedResponse } from '../upstream/credentials.ts';
import { passHeaders, passSharedHeaders, retryAfterMs } from '../upstream/passed-headers.ts';
import { providerMessage } from '../upstream/provider-message.ts';
import { sharedError } from '../upstream/shared-error.ts';
import { describeProvider } from './failures.ts';
import { type CallResult, wholeResult } from './reply.ts';

/**
 * Returns the answer to a provider's refusal: its own words, redacted, or 424 where it rejected the stored credential. A
 * team gets the router's words for an error of a shared deployment.
 *
 * @param teamId the caller's
 * @param bytes as the provider sent them; `redacted` is what others may read of them
 */
export function errorReply(
  teamId: string | null,
  deployment: Deployment,
  response: SignedResponse,
  status: number,
  bytes: Buffer,
  redacted: Buffer,
): CallResult {
  const { headers: given } = response;
  const asked = retryAfterMs(given);
  // With a success status, `status` is a generic failure status unless the error has its own.
  const own = status === 502 ? response.status : status;
  const judged = classifyFailure({ status: own, headers: given, body: bytes }, status);
  const redactor = redactorOf({ deployment, response });
  const shared = deployment.teamId === null;
  const words = status === 401 || status === 403 || shared ? providerMessage(redacted) : undefined;
  const said = words === undefined ? {} : { providerMessage: words };
  if (status === 401) {
    const message = `The provider rejected the stored credential${shownKey(deployment)} of ${describeProvider(deployment)}.`;
    const error = new RouterError('provider_authentication_failed', message);
    // The words may speak of the operator's account, so no team reads them.
    const own = words === undefined || shared ? {} : { provider_message: words };
    const answer = errorAnswer(error, { provider_status: status, ...own });
    return { ...wholeResult(answer, error.code), status, retryAfterMs: asked, judged, ...said };
  }
  if (hidesAccount(teamId, deployment)) {
    const { 'content-length': _, ...harmless } = passSharedHeaders(given);
    const headers = { ...harmless, 'content-type': 'application/json', 'x-litellm-error-source': 'provider' };
    const error = sharedError({ status, headers: given, body: bytes }, judged);
    const body = Buffer.from(JSON.stringify({ error }));
    return { ...wholeResult({ status, headers, body }), retryAfterMs: asked, judged, ...said };
  }
  const { 'content-length': _, ...passed } = passHeaders(given);
  const headers: Record<string, string> = { 'x-litellm-error-source': 'provider' };
  for (const [name, value] of Object.entries(passed)) headers[name] = redactor.text(value);
  return { ...wholeResult({ status, headers, body: redacted }), retryAfterMs: asked, judged, ...said };
}

/** Replaces what the provider was sent and must not be shown, if it repeats it. */
export function redactorOf({
  deployment,
  response,
}: {
  deployment: Deployment;
  response: SignedResponse;
}): Redactor {
  return deployment.redactor(response.tokens);
}

/** Returns whether the caller is a team, and the account is the operator's. */
export function hidesAccount(teamId: string | null, deployment: Deployment): boolean {
  return teamId !== null && deployment.teamId === null;
}

/** Returns the masked key in brackets. A team sees nothing of the key of a shared deployment. */
function shownKey({ teamId, masks }: Deployment): string {
  return teamId === null ? '' : ` (${masks.map(([, mask]) => mask).join(', ') || 'no key'})`;
}

/** Classifies a failure, even if nothing but its `status` says that it is one. */
function classifyFailure(answer: ProviderAnswer, status: number): Classification {
  const judged = classifyAnswer(answer);
  return judged.meaning === 'success' ? classifyAnswer({ ...answer, status }) : judged;
}
