import { type Tokens, tokensOf } from '../calls/receipt/usage.ts';

/** The events that end a response, in the Realtime and in the Responses API. */
const ends: ReadonlySet<unknown> = new Set([
  'response.done',
  'response.completed',
  'response.incomplete',
  'response.failed',
]);
const transcribed = 'conversation.item.input_audio_transcription.completed';

/** Adds up what the responses of a session used. */
export class SessionUsage {
  #tokens: Tokens | undefined;

  /** `undefined` if no event told it. */
  get tokens(): Tokens | undefined {
    return this.#tokens;
  }

  /** Reads a provider's event. */
  read(text: string): void {
    if (!text.includes('"usage"')) return;
    const found = tokensOf(usageOf(text));
    if (found === undefined) return;
    const { input, output, total } = this.#tokens ?? { input: 0, output: 0, total: 0 };
    this.#tokens = {
      input: input + found.input,
      output: output + found.output,
      total: total + found.total,
    };
  }
}

function usageOf(text: string): unknown {
  try {
    const event = JSON.parse(text) as { type?: unknown; usage?: unknown; response?: { usage?: unknown } };
    if (event.type === transcribed) return event.usage;
    return ends.has(event.type) ? event.response?.usage : undefined;
  } catch {
    return undefined;
  }
}
