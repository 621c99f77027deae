import { setTimeout as sleep } from 'node:timers/promises';
import type { ResponseBody } from '../../../egress/response-body.ts';
import { type SseEvent, SseParser } from '../../upstream/sse-parser.ts';
import { errorInEvent } from './stream-error.ts';

/** Bytes of a first event that are held back until it has ended. */
const maxFirstBytes = 65_536;
const blankLines: Buffer = Buffer.from('\n\n');
/** Events that come before a model has generated anything. */
const preliminary: ReadonlySet<unknown> = new Set([
  'ping',
  'response.created',
  'response.in_progress',
  'response.queued',
]);

/** Milliseconds for which the end of a stream that begins with an error is waited for. */
const endMs = 1_000;

const wait = () => sleep(endMs, undefined, { ref: false });

/** The beginning of a stream. */
export interface StreamBeginning {
  chunks: Buffer[];
  /** The body of the error that the stream reports before it holds anything else. */
  error?: Buffer;
}

/**
 * Reads a stream until its first event has ended, and tells whether that is an error which ends the stream. Comments, and events that come before a
 * model generates, are not waited for: what came with them decides.
 *
 * @param head the chunks that were read already
 * @throws what broke the body off
 */
export function beginningOf(
  body: ResponseBody,
  head: readonly Buffer[],
): StreamBeginning | Promise<StreamBeginning> {
  const watch = new FirstEvent();
  for (const chunk of head) watch.push(chunk);
  if (body.over) watch.push(blankLines);
  if (watch.decided || body.over) return watch.result([...head]);
  return readOn(body, [...head], watch);
}

async function readOn(body: ResponseBody, chunks: Buffer[], watch: FirstEvent): Promise<StreamBeginning> {
  let size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  while (!watch.decided && size < maxFirstBytes) {
    const next = await (watch.hasFailed ? Promise.race([body.upTo(0), wait()]) : body.upTo(0));
    if (next === undefined) break;
    for (const chunk of next.chunks) watch.push(chunk);
    chunks.push(...next.chunks);
    size += next.size;
    if (!next.complete) continue;
    watch.push(blankLines);
    break;
  }
  return watch.result(chunks);
}

class FirstEvent {
  readonly #parser = new SseParser(maxFirstBytes);
  #error: Buffer | undefined;
  #begun = false;
  #preliminary = false;

  push(chunk: Buffer): void {
    if (!this.#begun) this.#parser.push(chunk, this.#visit);
  }

  /** Whether the first event is an error, and no event followed. */
  get hasFailed(): boolean {
    return this.#error !== undefined && !this.#begun;
  }

  /** Whether the stream may begin, or has failed. */
  get decided(): boolean {
    return this.#begun || (!this.hasFailed && (this.#preliminary || !this.#parser.midEvent));
  }

  result(chunks: Buffer[]): StreamBeginning {
    return this.#error === undefined ? { chunks } : { chunks, error: this.#error };
  }

  readonly #visit = ({ type, data }: SseEvent): boolean => {
    const error = errorInEvent(type, data);
    if (this.#error !== undefined) {
      if (data === undefined) return false;
      // A response that continues after an error is still a response.
      if (error === undefined && !data.startsWith('[DONE]')) this.#error = undefined;
    } else if (error !== undefined) {
      this.#error = error;
      return false;
    } else if (data === undefined || preliminary.has(typeOf(type, data))) {
      this.#preliminary = true;
      return false;
    }
    this.#begun = true;
    return true;
  };
}

/** The name of an event: that of its field, or the first member of its data. */
function typeOf(type: string, data: string): string | undefined {
  return type === '' ? /^\s*\{\s*"type"\s*:\s*"([^"]{1,64})"/.exec(data)?.[1] : type;
}
