import { RouterError } from '../errors.ts';
import { asBuffer } from './answer.ts';

/**
 * What ends a stream properly. None of them can stand inside the text that a model writes: there a line break or
 * a quotation mark is escaped.
 */
const endings = [
  'data: [DONE]',
  'data:[DONE]',
  '"finish_reason":"',
  '"finish_reason": "',
  'response.completed"',
  'response.failed"',
  'response.incomplete"',
  'image_generation.completed"',
  'image_edit.completed"',
  'transcript.text.done"',
  'speech.audio.done"',
  'data: {"error"',
  'event: error',
].map((ending) => Buffer.from(ending));

/** An event longer than this is passed on before it is whole. */
const longestHeld = 1_048_576;

/**
 * Passes a server-sent event stream on as it comes, whole events at a time. A stream that breaks, or ends without
 * saying that it is complete, ends in an event that carries the error: it is never silently short.
 */
export async function* watchEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let complete = false;
  let held: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of body) {
      const seen = held.length === 0 ? asBuffer(chunk) : Buffer.concat([held, chunk]);
      const end = seen.length > longestHeld ? seen.length : lastEventEnd(seen);
      held = seen.subarray(end);
      if (end === 0) continue;
      const events = seen.subarray(0, end);
      complete ||= endings.some((ending) => events.includes(ending));
      yield events;
    }
  } catch (error) {
    if (!RouterError.isInstance(error)) throw error;
    // What was held is the beginning of an event that never ended: a client could only stumble over it.
    yield errorEvent(error);
    return;
  }
  complete ||= endings.some((ending) => held.includes(ending));
  if (complete) {
    if (held.length > 0) yield held;
    return;
  }
  yield errorEvent(new RouterError('provider_unreachable', 'The stream ended before it was complete.'));
}

/** The index after the last blank line, which ends an event; 0 if there is none. */
function lastEventEnd(bytes: Buffer): number {
  const unix = bytes.lastIndexOf('\n\n');
  const dos = bytes.lastIndexOf('\r\n\r\n');
  return Math.max(unix === -1 ? 0 : unix + 2, dos === -1 ? 0 : dos + 4);
}

function errorEvent(error: RouterError): Uint8Array {
  return Buffer.from(`data: ${JSON.stringify(error.toJSON())}\n\n`);
}
