import { JoinedChunks } from '../../egress/joined-chunks.ts';
import type { ResponseBody } from '../../egress/response-body.ts';
import { isBlank, tellingOf } from '../upstream/content-kind.ts';

/** Bytes of white space before an answer, after which the content type says what it is. */
const maxBlankBytes = 65_536;

/**
 * Takes the bytes that say what an answer is: up to the first that is no white space, and what came with it.
 *
 * @throws what broke the body off
 */
export function headOf(body: ResponseBody): Buffer[] | Promise<Buffer[]> {
  const first = body.upTo(0);
  if (!(first instanceof Promise) && !isBlank(tellingOf(first.chunks))) return first.chunks;
  return readOn(body, first);
}

async function readOn(body: ResponseBody, first: ReturnType<ResponseBody['upTo']>): Promise<Buffer[]> {
  const head = new JoinedChunks();
  for (let size = 0, next = await first; ; next = await body.upTo(0)) {
    for (const chunk of next.chunks) head.push(chunk);
    size += next.size;
    if (next.complete || size >= maxBlankBytes || !isBlank(tellingOf(next.chunks))) return head.takeAll();
  }
}

export function sizeOf(chunks: readonly Uint8Array[]): number {
  let size = 0;
  for (const chunk of chunks) size += chunk.length;
  return size;
}
