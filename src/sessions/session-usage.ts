import { addReports, reportOf, type UsageReport } from '../metering/usage/usage-report.ts';

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
  #report: UsageReport | undefined;

  /** `undefined` if no event told it. */
  get report(): UsageReport | undefined {
    return this.#report;
  }

  /** Reads a provider's event. */
  read(text: string): void {
    if (!text.includes('"usage"')) return;
    const found = reportOf(usageOf(text));
    if (found !== undefined) this.#report = addReports(this.#report, found);
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
