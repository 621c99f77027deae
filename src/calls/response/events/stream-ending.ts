import { type UsageReport, usageIn } from '../../../metering/usage/usage-report.ts';
import type { EventApi } from '../../endpoints/table.ts';
import { type SseEvent, SseParser } from '../../upstream/sse-parser.ts';
import { errorInEvent, isDetail } from './stream-error.ts';

/** Bytes of one event that are looked at. */
const maxEventBytes = 1_048_576;
/** Runs and bytes that wait to be parsed: a stream that ends in `[DONE]` before is not parsed at all. */
const maxWaitingRuns = 64;
const maxWaitingBytes = 32_768;
/** Choices of one call that are told apart. */
const maxChoices = 4_096;
const maxUsageBytes = 4_096;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/** The events that end a stream of each API. Chat and completions end by the finish reason of each choice. */
const terminals: Readonly<Record<EventApi, readonly string[]>> = {
  chat: [],
  completion: [],
  response: ['response.completed', 'response.failed', 'response.incomplete', 'response.cancelled'],
  image: ['image_generation.completed', 'image_edit.completed'],
  speech: ['speech.audio.done'],
  transcript: ['transcript.text.done'],
  thread: [
    'done',
    ...'completed failed cancelled expired incomplete'.split(' ').map((end) => `thread.run.${end}`),
  ],
  plain: [],
};

/** Members of a choice's event that say more than that the first choice continues. */
const telling =
  /"finish_reason"\s*:\s*[^n\s]|"index"\s*:\s*(?:[1-9]|")|"error"|"usage"\s*:\s*\{|^\s*\{\s*"detail"/;
const firstChoice = /"choices"\s*:\s*\[\s*\{/;
const sequenceNumber = /"sequence_number"\s*:\s*(\d{1,16})(?![\d.eE])/;

/**
 * Decides whether a stream of events is complete, by the values of its events. Parses the events in batches,
 * and keeps none.
 */
export class StreamEnding {
  readonly #api: EventApi;
  readonly #expectedChoices: number;
  readonly #parser = new SseParser(maxEventBytes);
  #runs: Buffer[] = [];
  #runsSize = 0;
  #hasRead = false;
  #events = 0;
  #done = false;
  #failed = false;
  /** The body of the first error that an event reported. */
  error: Buffer | undefined;
  /** Whether every choice has finished in an event after the first error. */
  hasRecovered = false;
  readonly #choices = new Map<number, boolean>();
  #usage: UsageReport | undefined;
  readonly #countsContent: boolean;
  #contentBytes = 0;
  #nextSequence = 0;

  constructor(api: EventApi, expectedChoices: number, countsContent = false) {
    this.#api = api;
    this.#expectedChoices = expectedChoices;
    this.#countsContent = countsContent;
  }

  /** Takes the next bytes of the stream. */
  note(run: Buffer): void {
    this.#runs.push(run);
    this.#runsSize += run.length;
    if (this.#runs.length < maxWaitingRuns && this.#runsSize < maxWaitingBytes) return;
    // Waits for the end of an event, so that what waits has it whole.
    const last = run[run.length - 1];
    if (last === lineFeed || last === carriageReturn || this.#runsSize >= 2 * maxWaitingBytes) this.#read();
  }

  /** The stream has said that it is at its end. */
  finish(): void {
    this.#done = true;
  }

  /** @param rest bytes of an event that has not ended */
  isComplete(rest: Buffer): boolean {
    if (this.#done) return true;
    this.#readAll(rest);
    if (this.#done || this.#failed) return true;
    return this.#isAnswered();
  }

  #isAnswered(): boolean {
    const states = [...this.#choices.values()];
    return states.length >= this.#expectedChoices && states.every((finished) => finished);
  }

  /** The provider sent an error event. */
  hasFailed(rest: Buffer): boolean {
    if (!this.#failed) this.#readAll(rest);
    return this.#failed;
  }

  /** Whether an event with data arrived. Comments do not count. */
  hasEvents(rest: Buffer): boolean {
    if (this.#events === 0) this.#readAll(rest);
    return this.#events > 0;
  }

  nextSequence(): number {
    this.#read();
    return this.#nextSequence;
  }

  /** @param rest bytes of an event that has not ended */
  contentBytes(rest: Buffer): number | undefined {
    if (!this.#countsContent) return undefined;
    this.#readAll(rest);
    return this.#contentBytes;
  }

  usage(): UsageReport | undefined {
    const [first] = this.#runs;
    const waiting = this.#runs.length === 1 && first !== undefined ? first : Buffer.concat(this.#runs);
    // A search from the end costs several times one from the beginning, which nearly always finds nothing; and each
    // quotation mark would stop it.
    if (!waiting.includes('usage"')) {
      // The event may be in the parser, and what waits may be no more than the blank line that ends it.
      if (this.#hasRead) this.#read();
      return this.#usage;
    }
    const at = waiting.lastIndexOf('"usage"');
    const usage = usageIn(waiting.toString('latin1', Math.max(0, at - maxUsageBytes), at + maxUsageBytes));
    if (usage !== undefined) return usage;
    return this.#usage;
  }

  #read(): void {
    this.#hasRead = true;
    const runs = this.#runs;
    this.#runs = [];
    this.#runsSize = 0;
    for (const run of runs) this.#parser.push(run, this.#visit);
  }

  #readAll(rest: Buffer): void {
    this.#read();
    if (rest.length === 0) return;
    this.#parser.push(rest, this.#visit);
    this.#parser.push(blankLines, this.#visit);
  }

  readonly #visit = ({ type, data }: SseEvent): false => {
    const before = this.error;
    if (type === 'error') this.#failed = true;
    if (type === 'error' || data?.includes('rror"') || data?.includes('"detail"'))
      this.error ??= errorInEvent(type, data);
    if (data === undefined) return false;
    this.#events += 1;
    if (data.startsWith('[DONE]')) this.#done = true;
    if (data.includes('"usage"')) this.#usage = usageIn(data) ?? this.#usage;
    if (this.#countsContent) this.#contentBytes += contentLength(this.#api, data);
    if (this.#api === 'chat' || this.#api === 'completion') this.#visitChoices(data);
    else this.#visitTyped(type, data);
    if (before !== undefined && !data.startsWith('[DONE]')) this.hasRecovered = this.#isAnswered();
    return false;
  };

  #visitChoices(data: string): void {
    if (!telling.test(data)) {
      if (!this.#choices.has(0) && firstChoice.test(data)) this.#choices.set(0, false);
      return;
    }
    const value = objectOf(data);
    if (isErrorObject(value)) this.#failed = true;
    const choices: unknown = value?.choices;
    if (!Array.isArray(choices)) return;
    for (const [position, choice] of choices.entries()) {
      const { index = position, finish_reason } = (choice ?? {}) as {
        index?: unknown;
        finish_reason?: unknown;
      };
      const finished = typeof finish_reason === 'string' ? finish_reason !== '' : isError(finish_reason);
      // Some servers write the index as text. Number() throws for some objects.
      const choiceIndex = typeof index === 'number' || typeof index === 'string' ? Number(index) : position;
      if (this.#choices.size < maxChoices || this.#choices.has(choiceIndex))
        this.#choices.set(choiceIndex, finished || this.#choices.get(choiceIndex) === true);
    }
  }

  #visitTyped(type: string, data: string): void {
    const sequence = sequenceNumber.exec(data)?.[1];
    if (sequence !== undefined && Number(sequence) <= Number.MAX_SAFE_INTEGER)
      this.#nextSequence = Number(sequence) + 1;
    const names = terminals[this.#api];
    if (
      !data.includes('"error"') &&
      !data.includes('"detail"') &&
      !names.some((name) => type === name || data.includes(name))
    )
      return;
    const value = objectOf(data);
    const named =
      typeof value?.type === 'string'
        ? value.type
        : (/^\s*\{\s*"type"\s*:\s*"([^"]+)"/.exec(data)?.[1] ?? type);
    if (names.includes(named)) this.#done = true;
    if (named === 'error' || isErrorObject(value)) this.#failed = true;
  }
}

const choiceContent =
  /"(?:content|reasoning_content|reasoning|text|arguments)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"/g;
const typedContent = /"delta"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"/g;

/** Returns the length of the content that one event carries. */
function contentLength(api: EventApi, data: string): number {
  const content = api === 'chat' || api === 'completion' ? choiceContent : typedContent;
  let length = 0;
  for (const [, text = ''] of data.matchAll(content)) length += text.length;
  return length;
}

const blankLines: Buffer = Buffer.from('\n\n');

function isError(value: unknown): boolean {
  return (typeof value === 'object' && value !== null) || (typeof value === 'string' && value !== '');
}

/** Returns whether a whole event is an error: OpenAI's, vLLM's older one, or FastAPI's. */
function isErrorObject(value: Record<string, unknown> | undefined): boolean {
  return value !== undefined && (isError(value.error) || value.object === 'error' || isDetail(value));
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
