/**
 * Tokens, as the provider counted them.
 *
 * @example
 * ```ts
 * const onCall = ({ tokens }: Receipt) => {
 *   const { input, output }: Tokens = tokens ?? { input: 0, output: 0, total: 0 };
 *   console.log(input, output);
 * };
 * ```
 */
export interface Tokens {
  input: number;
  output: number;
  total: number;
}

/** `usage` is small and near the end of a response. */
const maxUsageBytes = 4_096;

/** The last `usage` in a text, which may be cut at its beginning; nothing else of it is read. */
export function usageIn(text: string): Tokens | undefined {
  for (let from = text.length, looks = 0; looks < 8; looks++) {
    const at = text.lastIndexOf('"usage"', from);
    if (at === -1) return undefined;
    const value = objectAt(text.slice(at + '"usage"'.length, at + maxUsageBytes));
    if (value !== undefined) return tokensOf(value);
    from = at - 1;
  }
  return undefined;
}

/** Of a `usage` in chat's form, or in that of responses. */
export function tokensOf(usage: unknown): Tokens | undefined {
  if (typeof usage !== 'object' || usage === null) return undefined;
  const given = usage as Record<string, unknown>;
  const input = countOf(given.prompt_tokens ?? given.input_tokens);
  if (input === undefined) return undefined;
  const output = countOf(given.completion_tokens ?? given.output_tokens) ?? 0;
  return { input, output, total: countOf(given.total_tokens) ?? input + output };
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 ? value : undefined;
}

function objectAt(text: string): unknown {
  const start = /^\s*:\s*(?=\{)/.exec(text)?.[0].length;
  if (start === undefined) return undefined;
  let depth = 0;
  for (let index = start; index < text.length; index++) {
    if (text[index] === '{') depth += 1;
    if (text[index] === '}') depth -= 1;
    if (depth > 0) continue;
    try {
      return JSON.parse(text.slice(start, index + 1));
    } catch {
      return undefined;
    }
  }
  return undefined;
}
