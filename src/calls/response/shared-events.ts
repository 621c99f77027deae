import type { EventApi } from '../endpoints/table.ts';
import { classifyAnswer } from '../upstream/classify-answer.ts';
import { providerMessage } from '../upstream/provider-message.ts';
import { sharedError } from '../upstream/shared-error.ts';
import { errorEvent } from './error-event.ts';
import { errorInEvent } from './events/stream-error.ts';
import { LongAnswerCheck, mayExplain, replaceErrors } from './shared-answer.ts';

/** Bytes up to which `SseGuard` always waits for the end of an event. */
const alwaysWhole = 65_536;
const types = 'response|image_generation|image_edit|speech|transcript';
const typedName = new RegExp(`^(?:${types})\\.[a-z_.]{1,64}$`);
// A lookahead with a backreference is atomic. Without it, events that repeat the key take exponential time.
const choiceEvents = /^(?:data: ?(?:\[DONE\]|(?=(\{[^\r\n]*?"choices"\s*:))\1[^\r\n]*\})\r?\n\r?\n)+$/;
const typedEvents = new RegExp(
  `^(?:(?:event: ?[a-z_.]{1,64}\\r?\\n)?data: ?(?:\\[DONE\\]|(?=(\\{[^\\r\\n]*?"type"\\s*:\\s*"(?:${types})\\.))\\1[^\\r\\n]*\\})\\r?\\n\\r?\\n)+$`,
);
/** Keeps the connection open, as the event or the comment did that is not passed on. */
const heartbeat = ':\n\n';

interface ReadEvent {
  type: string | undefined;
  data: string | undefined;
}

/**
 * Lets pass of a shared deployment's stream the events that carry what was asked for. An event that tells of an error is
 * replaced by one in the router's words. Of a comment only the line stays, and ids and retry times are dropped.
 */
export class SharedEvents {
  readonly #api: EventApi;
  /** The check of an event that is too long to be held, while it lasts. */
  #long: LongAnswerCheck | undefined;
  /** The rest of a long event is dropped. */
  #dropping = false;
  /** The last bytes of a long event ended a line. */
  #lineEnded = false;
  /** The provider's own words in the last error, for the receipt. */
  said: string | undefined;
  /** The body of the first error as the provider sent it, because the router's words do not tell what it means. */
  error: Buffer | undefined;

  constructor(api: EventApi) {
    this.#api = api;
  }

  /** Returns what may be passed on of whole events, or of a part of one that is too long to be held. */
  pass(run: Buffer): Buffer {
    const text = run.toString('latin1');
    if (this.#long !== undefined) return this.#continueLong(run, text);
    const plain = this.#hasChoices() ? choiceEvents : typedEvents;
    if (!mayExplain.test(text) && plain.test(text)) return run;
    return Buffer.from(this.#passEvents(text, run.length > alwaysWhole), 'latin1');
  }

  #hasChoices(): boolean {
    return this.#api === 'chat' || this.#api === 'completion';
  }

  #passEvents(text: string, mayBeLong: boolean): string {
    let out = '';
    let event: ReadEvent = { type: undefined, data: undefined };
    let commented = false;
    const lines = text.replace(/^\u00ef\u00bb\u00bf/, '').split(/\r\n|\r|\n/);
    const unfinished = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (event.type !== undefined || event.data !== undefined) out += this.#passEvent(event);
        else if (commented) out += heartbeat;
        event = { type: undefined, data: undefined };
        commented = false;
      } else if (line[0] === ':') commented = true;
      else readField(event, line);
    }
    const lastLineEnded = unfinished === '';
    if (!lastLineEnded) readField(event, unfinished);
    if (event.data !== undefined) {
      if (mayBeLong && parsed(event.data) === undefined) return out + this.#beginLong(event, lastLineEnded);
      out += this.#passEvent(event);
    } else if (commented) out += heartbeat;
    return out;
  }

  #passEvent({ type, data }: ReadEvent): string {
    if (data === undefined) return heartbeat;
    if (data.startsWith('[DONE]')) return 'data: [DONE]\n\n';
    const value = parsed(data);
    if (value !== undefined && this.#hasContent(value)) {
      const words = mayExplain.test(data) ? this.#wordsOf(data) : undefined;
      const changed = replaceErrors(value);
      if (changed) {
        this.said = words ?? this.said;
        this.error ??= errorInEvent(type ?? '', utf8(data));
      }
      const json = changed || data.includes('\n') ? latin1(JSON.stringify(value)) : data;
      const name = type !== undefined && typedName.test(type) ? `event: ${type}\n` : '';
      return `${name}data: ${json}\n\n`;
    }
    const answer = { status: 200, headers: {}, body: Buffer.from(data, 'latin1') };
    const judged = classifyAnswer(answer);
    const words = this.#wordsOf(data);
    if (type !== 'error' && judged.meaning === 'success' && (value === undefined || words === undefined))
      return heartbeat;
    this.said = words ?? this.said;
    this.error ??= errorInEvent('error', utf8(data));
    const sequence = value?.sequence_number;
    return this.#errorEvent(sharedError(answer, judged), typeof sequence === 'number' ? sequence : 0);
  }

  #hasContent(value: Record<string, unknown>): boolean {
    if (this.#hasChoices()) return Array.isArray(value.choices);
    return typeof value.type === 'string' && typedName.test(value.type);
  }

  #wordsOf(data: string): string | undefined {
    return providerMessage(Buffer.from(data, 'latin1'));
  }

  #errorEvent(error: Parameters<typeof errorEvent>[1], sequence: number): string {
    return errorEvent(this.#api, error, () => sequence).toString('latin1');
  }

  #beginLong({ type, data = '' }: ReadEvent, lineEnded: boolean): string {
    this.#long = new LongAnswerCheck();
    this.#lineEnded = lineEnded;
    const name = type !== undefined && typedName.test(type) ? `event: ${type}\n` : '';
    const text = `${name}data: ${data.replaceAll('\n', '\ndata: ')}${lineEnded ? '\n' : ''}`;
    this.#dropping = !/^\s*[{[]/.test(data);
    return this.#passLong(text);
  }

  #continueLong(run: Buffer, text: string): Buffer {
    const end = (
      this.#lineEnded
        ? /^(?:\r\n|\r|\n)|(?:\r\n|\n|\r(?!\n))(?:\r\n|\r|\n)/
        : /(?:\r\n|\n|\r(?!\n))(?:\r\n|\r|\n)/
    ).exec(text);
    this.#lineEnded = /[\r\n]$/.test(text);
    if (end === null) return Buffer.from(this.#passLong(text), 'latin1');
    const size = end.index + end[0].length;
    const last = this.#passLong(text.slice(0, size));
    this.#long = undefined;
    const closing = this.#dropping ? heartbeat : '';
    this.#dropping = false;
    const rest = size === run.length ? none : this.pass(run.subarray(size));
    return Buffer.concat([Buffer.from(last + closing, 'latin1'), rest]);
  }

  #passLong(text: string): string {
    if (this.#dropping) return '';
    if (this.#long?.tells(Buffer.from(text, 'latin1')) !== true) return text;
    this.#dropping = true;
    const answer = { status: 502, headers: {}, body: none };
    return `\n\n${this.#errorEvent(sharedError(answer), 0)}`;
  }
}

const none: Buffer = Buffer.alloc(0);

function readField(event: ReadEvent, line: string): void {
  const colon = line.indexOf(':');
  const name = colon === -1 ? line : line.slice(0, colon);
  const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
  if (name === 'data') event.data = event.data === undefined ? value : `${event.data}\n${value}`;
  else if (name === 'event') event.type = value;
}

/** @param data read as latin1 */
function parsed(data: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(utf8(data));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Decodes text that was read as latin1. */
function utf8(text: string): string {
  return Buffer.from(text, 'latin1').toString('utf8');
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}
