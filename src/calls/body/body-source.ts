import { RouterError } from '../../errors.ts';
import { PieceTurns } from '../../tick-batch.ts';
import type { CallSignal } from '../abort/call-signal.ts';
import { untilAborted } from '../abort/until-aborted.ts';
import { asBuffer } from '../answer.ts';

/** A body that arrives in chunks, counted. */
export class BodySource {
  /** Bytes read so far. */
  size = 0;
  /** Whether the provider has got any of the bytes. */
  begun = false;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #maxBytes: number;
  readonly #length: number | undefined;
  readonly #signal: CallSignal | undefined;
  readonly #turns: PieceTurns;
  #ended = false;

  /** @param length bytes that the caller has announced */
  constructor(
    body: AsyncIterable<Uint8Array>,
    maxBytes: number,
    length: number | undefined,
    signal: CallSignal | undefined,
    teamId: string | null,
  ) {
    this.#iterator = body[Symbol.asyncIterator]();
    this.#maxBytes = maxBytes;
    this.#length = length;
    this.#signal = signal;
    this.#turns = new PieceTurns(teamId);
  }

  /** @throws RouterError `request_too_large`, `invalid_request`; the signal's reason if it aborts */
  async next(): Promise<Buffer | undefined> {
    const next = await untilAborted(this.#iterator.next(), this.#signal).catch((error: unknown) => {
      throw this.#signal?.aborted || RouterError.isInstance(error) ? error : brokenOff();
    });
    if (next.done === true) {
      this.#ended = true;
      if (this.#length !== undefined && this.size < this.#length) throw brokenOff();
      return undefined;
    }
    this.size += next.value.byteLength;
    if (this.size > this.#maxBytes) throw bodyTooLarge(this.#maxBytes);
    if (this.#length !== undefined && this.size > this.#length) throw longerThanAnnounced();
    await this.#turns.take(next.value.byteLength);
    return asBuffer(next.value);
  }

  /** Tells the sender that the rest will not be read. */
  release(): void {
    if (this.#ended) return;
    this.#ended = true;
    Promise.resolve(this.#iterator.return?.()).catch(() => {});
  }
}

function brokenOff(): RouterError {
  return new RouterError('invalid_request', 'The body of this call broke off.');
}

function longerThanAnnounced(): RouterError {
  return new RouterError('invalid_request', 'The body of this call is longer than its content-length.');
}

export function bodyTooLarge(limit: number): RouterError {
  return new RouterError('request_too_large', `The body of a call may have ${limit} bytes at most.`);
}
