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
  /** No two neighbours fit into one joined buffer, so there are few of them. */
  #chunks: Buffer[] = [];
  /** The last of `#chunks` is the beginning of this buffer, if it has been joined. */
  #joined: Buffer | undefined;

  get length(): number {
    return this.#chunks.length;
  }

  push(chunk: Buffer): void {
    const last = this.#chunks.length - 1;
    const before = this.#chunks[last];
    const size = (before?.length ?? 0) + chunk.length;
    if (before === undefined || size > joinedBytes) {
      this.#joined = undefined;
      this.#chunks.push(chunk);
      return;
    }
    if (this.#joined === undefined) {
      this.#joined = Buffer.allocUnsafe(joinedBytes);
      before.copy(this.#joined);
    }
    chunk.copy(this.#joined, before.length);
    this.#chunks[last] = this.#joined.subarray(0, size);
  }

  /** Removes and returns the oldest. */
  take(): Buffer | undefined {
    const chunk = this.#chunks.shift();
    if (this.#chunks.length === 0) this.#joined = undefined;
    return chunk;
  }

  /** Removes and returns all. */
  takeAll(): Buffer[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#joined = undefined;
    return chunks;
  }
}
