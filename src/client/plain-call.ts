import type { OpenAI } from 'openai';

type FinalOptions = Parameters<OpenAI['buildRequest']>[0];

/** All that a call may ask of the client for its request to be written in the short way. */
const plainOptions = new Set([
  'method',
  'path',
  'body',
  'stream',
  'signal',
  'timeout',
  'maxRetries',
  'fetchOptions',
  '__security',
]);

/** What the client itself would send, of what the dispatcher reads. */
export const plainHeaders: [string, string][] = [
  ['accept', 'application/json'],
  ['content-type', 'application/json'],
];

/**
 * Whether a call is a JSON object posted to a path, and nothing else: no headers, no query, no option that this
 * module has not heard of. The client's own way of writing a request costs more than all that the router does.
 */
export function isPlainCall(options: FinalOptions): boolean {
  const { method, path, body } = options;
  if (method !== 'post' || !/^\/[a-z_/]+$/.test(path)) return false;
  if (typeof body !== 'object' || body === null || Object.getPrototypeOf(body) !== Object.prototype)
    return false;
  for (const name in options) {
    if (!plainOptions.has(name)) return false;
  }
  return true;
}
