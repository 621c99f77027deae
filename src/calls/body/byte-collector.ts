const blockBytes = 65_536;
/**
 * Smaller chunks are copied together, because each separate chunk costs more memory than this number of bytes.
 */
const copiedBytes = 8192;

/** Collects a body that arrives in chunks. A million chunks of one byte take little more memory than one million bytes. */
export class ByteCollector {
  /** Bytes collected so far. */
  size = 0;
  #pieces: Buffer[] = [];
  #block: Buffer = Buffer.alloc(0);
  /** The part of the block that is not among the pieces yet. */
  #start = 0;
  #end = 0;

  add(chunk: Buffer): void {
    this.size += chunk.length;
    if (chunk.length >= copiedBytes) {
      this.#flush();
      this.#pieces.push(chunk);
      return;
    }
    if (this.#end + chunk.length > this.#block.length) {
      this.#flush();
      this.#block = Buffer.allocUnsafeSlow(blockBytes);
      this.#start = 0;
      this.#end = 0;
    }
    this.#end += chunk.copy(this.#block, this.#end);
  }

  /** Returns all bytes and forgets them. */
  take(): Buffer {
    this.#flush();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#block = Buffer.alloc(0);
    this.#start = 0;
    this.#end = 0;
    this.size = 0;
    return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
  }

  #flush(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#block.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}
