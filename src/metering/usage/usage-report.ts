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

/**
 * What a call used, by class. A class that is not known is absent, and never 0. `cachedInput`, `cacheWrite` and
 * `inputAudio` are parts of `input`; `reasoning` and `outputAudio` are parts of `output`.
 *
 * @example
 * ```ts
 * const cached = ({ input = 0, cachedInput = 0 }: Usage) => cachedInput / input;
 * ```
 */
export interface Usage {
  input?: number;
  output?: number;
  /** Input tokens that the provider read from its cache. */
  cachedInput?: number;
  /** Input tokens that the provider wrote to its cache. */
  cacheWrite?: number;
  reasoning?: number;
  inputAudio?: number;
  outputAudio?: number;
  images?: number;
  /** Seconds of audio. */
  seconds?: number;
  /** Characters of the text that was spoken. */
  characters?: number;
}

/** The usage that an answer or an event of a stream reports. */
export interface UsageReport {
  tokens?: Tokens;
  usage: Usage;
  /** The answer belongs to a response that is still generated in the background. */
  pending?: true;
}

type Fields = Record<string, unknown>;

/** `usage` is near the end of an answer, and is small. */
const maxUsageBytes = 4_096;

/** Returns the last `usage` of a text, which may be cut at its beginning. Nothing else of the text is parsed. */
export function usageIn(text: string): UsageReport | undefined {
  for (let from = text.length, looks = 0; looks < 8; looks++) {
    const at = text.lastIndexOf('"usage"', from);
    if (at === -1) return undefined;
    const value = objectAt(text.slice(at + '"usage"'.length, at + maxUsageBytes));
    if (value !== undefined) return reportOf(value);
    from = at - 1;
  }
  return undefined;
}

/** Reads a `usage` in the form of chat completions, of responses, or of audio. */
export function reportOf(usage: unknown): UsageReport | undefined {
  if (!isFields(usage)) return undefined;
  const input = countOf(usage.prompt_tokens ?? usage.input_tokens);
  const output = countOf(usage.completion_tokens ?? usage.output_tokens);
  const ofInput = detailsOf(usage, 'prompt_tokens_details', 'input_tokens_details', 'input_token_details');
  const ofOutput = detailsOf(
    usage,
    'completion_tokens_details',
    'output_tokens_details',
    'output_token_details',
  );
  const classes = knownOf({
    input,
    output,
    cachedInput: ofInput.cached_tokens ?? usage.prompt_cache_hit_tokens ?? usage.cache_read_input_tokens,
    cacheWrite:
      ofInput.cache_write_tokens ?? ofInput.cache_creation_tokens ?? usage.cache_creation_input_tokens,
    reasoning: ofOutput.reasoning_tokens ?? usage.reasoning_tokens,
    inputAudio: ofInput.audio_tokens,
    outputAudio: ofOutput.audio_tokens,
    seconds: usage.seconds,
  });
  if (input === undefined) return classes.seconds === undefined ? undefined : { usage: classes };
  const total = countOf(usage.total_tokens) ?? input + (output ?? 0);
  return { tokens: { input, output: output ?? 0, total }, usage: classes };
}

/** Reads what a whole JSON answer reports: its `usage`, the images that it carries, the length of a transcript. */
export function answerReport(answer: Record<string, unknown>): UsageReport | undefined {
  const { data, duration, text, object, status } = answer;
  const report = reportOf(answer.usage);
  if (object === 'response' && (status === 'queued' || status === 'in_progress'))
    return { usage: {}, ...report, pending: true };
  const usage: Usage = { ...report?.usage };
  const images = Array.isArray(data) ? data.filter(isImage).length : 0;
  if (images > 0) usage.images = images;
  const seconds = countOf(typeof duration === 'string' ? Number(duration) : duration);
  if (typeof text === 'string' && seconds !== undefined) usage.seconds ??= seconds;
  return Object.keys(usage).length === 0 ? report : { ...report, usage };
}

/** Returns the sum of two reports. */
export function addReports(sum: UsageReport | undefined, more: UsageReport): UsageReport {
  if (sum === undefined) return more;
  const usage: Usage = { ...sum.usage };
  for (const [name, count] of Object.entries(more.usage) as [keyof Usage, number][])
    usage[name] = (usage[name] ?? 0) + count;
  const [left, right] = [sum.tokens, more.tokens];
  if (left === undefined || right === undefined) return { ...sum, ...more, usage };
  const tokens = {
    input: left.input + right.input,
    output: left.output + right.output,
    total: left.total + right.total,
  };
  return { tokens, usage };
}

function isImage(value: unknown): boolean {
  return isFields(value) && (typeof value.b64_json === 'string' || typeof value.url === 'string');
}

function detailsOf(usage: Fields, ...names: readonly string[]): Fields {
  for (const name of names) {
    const details = usage[name];
    if (isFields(details)) return details;
  }
  return {};
}

/** Returns the classes whose values are counts. */
function knownOf(classes: Record<keyof Usage & string, unknown> | Fields): Usage {
  const known = Object.entries(classes).filter(([, value]) => countOf(value) !== undefined);
  return Object.fromEntries(known) as Usage;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : undefined;
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
