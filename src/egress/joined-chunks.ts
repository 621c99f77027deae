/**
 * Size in bytes of a merge buffer. Node allocates buffers of this size from its pool. Larger ones are allocated
 * separately, and the allocator may return their memory to the system each time.
 */
const joinedBytes = Buffer.poolSize / 2 - 1;

/**
 * Queues chunks and merges small ones. A one-byte chunk costs more than 100 bytes as a separate buffer, and it keeps
 * the whole socket read buffer alive.
 */
export class JoinedChunks {
  /** All chunks except the last. No two neighbours fit into one merge buffer, so the list stays short. */
  #chunks: Buffer[] = [];
  /** The last chunk, in the first `#size` bytes. */
  #last: Buffer | undefined;
  #size = 0;
  /** Whether the last chunk is a merge buffer. */
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

  /** Removes and returns the oldest chunk. */
  take(): Buffer | undefined {
    if (this.#chunks.length > 0) return this.#chunks.shift();
    return this.#last && this.#takeLast(this.#last);
  }

  /** Removes and returns all chunks. */
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
