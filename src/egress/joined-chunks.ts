/**
 * Bytes of the buffers in which small pieces are joined: what Node takes from its pool of small buffers. Longer ones have
 * memory of their own, which the allocator may give back to the system each time.
 */
const joinedBytes = Buffer.poolSize / 2 - 1;

/**
 * Queues pieces of bytes. Small ones are copied together as they arrive, because a piece of one byte costs more than 100
 * bytes as a buffer of its own, and keeps the whole socket read in memory that it is a part of.
 */
export class JoinedChunks {
  /** All but the last. No two neighbours fit into one joined buffer, so there are few of them. */
  #chunks: Buffer[] = [];
  /** The last one, in its first `#size` bytes. */
  #last: Buffer | undefined;
  #size = 0;
  /** The last one is a buffer that has been joined. */
  #joined = false;

  get length(): number {
    return this.#chunks.length + (this.#last === undefined ? 0 : 1);
  }

  push(chunk: Buffer): void {
    const last = this.#last;
    const size = this.#size + chunk.length;
    if (last === undefined || size > joinedBytes) {
      if (last !== undefined) this.#chunks.push(this.#takeLast(last));
      this.#last = chunk;
      this.#size = chunk.length;
      return;
    }
    const joined = this.#joined ? last : Buffer.allocUnsafe(joinedBytes);
    if (!this.#joined) joined.set(last);
    joined.set(chunk, this.#size);
    this.#last = joined;
    this.#size = size;
    this.#joined = true;
  }

  /** Removes and returns the oldest. */
  take(): Buffer | undefined {
    if (this.#chunks.length > 0) return this.#chunks.shift();
    return this.#last && this.#takeLast(this.#last);
  }

  /** Removes and returns all. */
  takeAll(): Buffer[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    if (this.#last !== undefined) chunks.push(this.#takeLast(this.#last));
    return chunks;
  }

  #takeLast(last: Buffer): Buffer {
    const chunk = this.#joined ? last.subarray(0, this.#size) : last;
    this.#last = undefined;
    this.#size = 0;
    this.#joined = false;
    return chunk;
  }
}
