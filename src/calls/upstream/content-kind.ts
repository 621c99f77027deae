import { wholeOf } from '../answer.ts';
import type { Endpoint } from '../endpoints/table.ts';
import { isSpace } from '../json/tokens.ts';

/**
 * How a response is read. `bytes` pass through unchanged and unchecked; `page` is not a response of a provider.
 */
export type Kind = 'json' | 'events' | 'bytes' | 'page';

/** What was asked for. */
export interface Asked {
  endpoint: Pick<Endpoint, 'answer' | 'streams'>;
  /** A stream of events was asked for; `undefined`: a form may still say so. */
  stream: boolean | undefined;
}

/** `text` is any other text. */
export type Label = 'json' | 'events' | 'page' | 'text' | 'other';
type Looks = 'json' | 'events' | 'page' | 'blank' | 'other';

const labels: readonly [Label, RegExp][] = [
  ['json', /^application\/([a-z0-9.+-]*\+)?json\s*(;|$)/i],
  ['events', /^text\/event-stream\b/i],
  ['page', /^(text\/html|application\/xhtml\+xml)\b/i],
  ['text', /^(text\/|application\/(x-ndjson|jsonl)\b)/i],
];

/** Returns the label of the first content type that determines how an answer is read. Plain text determines least. */
export function labelOf(types: readonly string[]): Label {
  let label: Label = 'other';
  for (const type of types) {
    const known = type === 'application/json' ? 'json' : labels.find(([, form]) => form.test(type))?.[0];
    if (known !== undefined && known !== 'text') return known;
    if (known !== undefined) label = known;
  }
  return label;
}

/** Whether the first bytes have to be seen before it is known how the answer is read. */
export function needsBytes({ endpoint, stream }: Asked, label: Label): boolean {
  if (endpoint.answer === 'bytes') return asksForEvents({ endpoint, stream });
  if (endpoint.answer === 'any') return false;
  if (endpoint.answer === 'text') return true;
  return label === 'page' || (endpoint.streams !== undefined && (stream !== false || label === 'events'));
}

/** Content is no stream of events, whatever the query says, if its call has none. */
function asksForEvents({ endpoint, stream }: Asked): boolean {
  return stream === true && endpoint.streams !== undefined;
}

/** What was asked for decides, then the first bytes, then the content type. */
export function kindOf({ endpoint, stream }: Asked, label: Label, head: Buffer): Kind {
  const looks = looksLike(head);
  if (endpoint.answer === 'bytes')
    return asksForEvents({ endpoint, stream }) &&
      (looks === 'events' || (looks === 'blank' && label === 'events'))
      ? 'events'
      : 'bytes';
  if (endpoint.answer === 'any') return label === 'events' ? 'events' : 'bytes';
  if (endpoint.answer === 'text') {
    if (looks === 'json' && label === 'json') return 'json';
    const events =
      label === 'events' ? looks !== 'json' : looks === 'events' && textEvent.test(beginningOf(head));
    return events ? 'events' : 'bytes';
  }
  if (label === 'page' && (looks === 'page' || looks === 'other')) return 'page';
  if (endpoint.streams === undefined || stream === false) {
    if (endpoint.streams !== undefined && label === 'events') return looks === 'json' ? 'json' : 'events';
    return label === 'json' ? 'json' : 'bytes';
  }
  if (looks === 'page') return 'page';
  if (looks === 'events' || looks === 'json') return looks;
  if (label === 'events' || label === 'json') return label;
  return stream === true ? 'events' : 'bytes';
}

/** A transcript may begin with any word. */
const textEvent = /^(event: ?transcript|data: ?\{\s*"type"\s*:\s*"tra)/;
const fields = ['data:', 'event:', 'id:', 'retry:', ':'];

function looksLike(head: Buffer): Looks {
  const text = beginningOf(head);
  if (text === '') return 'blank';
  if (text[0] === '{' || text[0] === '[') return 'json';
  if (text[0] === '<') return 'page';
  return fields.some((field) => text.startsWith(field) || field.startsWith(text)) ? 'events' : 'other';
}

/** As many of the bytes that an answer begins with as say what it is. */
export function tellingOf(chunks: readonly Buffer[]): Buffer {
  const [first] = chunks;
  return first !== undefined && beginningOf(first).length === toldBy ? first : wholeOf(chunks);
}

/** Characters that are looked at. */
const toldBy = 32;

/** The first characters that are not white space. */
function beginningOf(head: Buffer): string {
  let at = head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? 3 : 0;
  while (at < head.length && isSpace(head[at])) at++;
  return head.toString('latin1', at, at + toldBy);
}

export function isBlank(head: Buffer): boolean {
  return beginningOf(head) === '';
}

/** What is a stream of events is told so, whatever its provider says. */
export function eventStreamType({ 'content-type': type = '' }: Record<string, string>): string {
  return labelOf([type]) === 'events' ? type : 'text/event-stream';
}
