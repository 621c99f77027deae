import type { Receipt } from './receipt.ts';

/** What an answer says of the call itself, by LiteLLM's names. */
export function callHeaders(receipt: Receipt): Record<string, string> {
  const headers: Record<string, string> = {
    'x-litellm-call-id': receipt.callId,
    'x-litellm-attempted-retries': String(
      Math.max(0, receipt.attempts.length - 1 - receipt.fallbacks.length),
    ),
    'x-litellm-attempted-fallbacks': String(receipt.fallbacks.length),
    'x-litellm-response-duration-ms': receipt.firstByteMs.toFixed(3),
    'x-litellm-overhead-duration-ms': receipt.overheadMs.toFixed(3),
  };
  if (receipt.deploymentId !== undefined) headers['x-litellm-model-id'] = receipt.deploymentId;
  if (receipt.model !== undefined) headers['x-litellm-model-group'] = headerText(receipt.model);
  return headers;
}

/** A header carries no more than ASCII; a public name may be any text. */
function headerText(text: string): string {
  return /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text) ? text : encodeURIComponent(text);
}
