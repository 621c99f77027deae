import type { Receipt } from './receipt.ts';

/** Adds to an answer's headers what they say of the call itself, by LiteLLM's names. */
export function addCallHeaders(headers: Record<string, string>, receipt: Receipt): void {
  const { attempts, fallbacks } = receipt;
  headers['x-litellm-call-id'] = receipt.callId;
  headers['x-request-id'] ??= receipt.callId;
  headers['x-litellm-attempted-retries'] = String(Math.max(0, attempts.length - 1 - fallbacks.length));
  headers['x-litellm-attempted-fallbacks'] = String(fallbacks.length);
  headers['x-litellm-response-duration-ms'] = receipt.firstByteMs.toFixed(3);
  headers['x-litellm-overhead-duration-ms'] = receipt.overheadMs.toFixed(3);
  if (receipt.deploymentId !== undefined) headers['x-litellm-model-id'] = receipt.deploymentId;
  if (receipt.model !== undefined) headers['x-litellm-model-group'] = headerText(receipt.model);
}

/** A header carries no more than ASCII; a public name may be any text. */
function headerText(text: string): string {
  return /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text) ? text : encodeURIComponent(text);
}
