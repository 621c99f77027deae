/** Longer answers are only looked at from both ends: to parse them would cost more than to pass them on. */
const parsedBytes = 65_536;

/** Whether a body is JSON to its end: a provider may cut it, and still say that it is all. */
export function isWhole(bytes: Buffer): { valid: boolean; value?: Record<string, unknown> } {
  if (bytes.length > parsedBytes) {
    const [first] = bytes.toString('latin1', 0, 64).trimStart();
    const last = bytes
      .toString('latin1', bytes.length - 64)
      .trimEnd()
      .at(-1);
    return { valid: (first === '{' && last === '}') || (first === '[' && last === ']') };
  }
  try {
    // What is looked at is ASCII, and to read each byte as a character is the fastest.
    const value: unknown = JSON.parse(bytes.toString('latin1'));
    return {
      valid: true,
      value: (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>,
    };
  } catch {
    return { valid: false };
  }
}

/**
 * The status of a failure that comes under a 200: nothing but an error. Some say the status in its code, as OpenRouter
 * does. What has an `id` is an object that has failed, such as a batch, and no failure of the call.
 */
export function readFailure(value: Record<string, unknown> | undefined): number | undefined {
  const error = value?.error;
  if (error === undefined || error === null || error === '' || value?.id !== undefined) return undefined;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'number' && Number.isInteger(code) && code >= 400 && code <= 599 ? code : 502;
}
