/** Bytes that were not passed on yet. Bytes that were taken are never written again. */
export class PendingBytes {
  #buffer: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;
  /** Whether the rest of the buffer may be written. */
  #owned = false;
  /** Up to where `find` has searched. */
  #searched = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  append(chunk: Buffer): void {
    if (this.length === 0) {
      this.#replace(chunk, chunk.length, false);
      return;
    }
    const needed = this.length + chunk.length;
    if (!this.#owned || this.#end + chunk.length > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed * 2, 512));
      this.bytes.copy(grown);
      this.#replace(grown, this.length, true);
    }
    this.#end += chunk.copy(this.#buffer, this.#end);
  }

  /** Searches every byte once, however often it is called for the same pattern. */
  find(pattern: string | Buffer): number | undefined {
    const { bytes } = this;
    const found = bytes.indexOf(pattern, this.#searched, 'latin1');
    this.#searched = Math.max(0, found === -1 ? bytes.length - pattern.length + 1 : found);
    return found === -1 ? undefined : found;
  }

  /** Lets `find` begin here. */
  skip(to: number): void {
    this.#searched = to;
  }

  take(length: number): Buffer {
    const taken = this.#buffer.subarray(this.#start, this.#start + length);
    this.#start += length;
    this.#searched = Math.max(0, this.#searched - length);
    return taken;
  }

  #replace(buffer: Buffer, end: number, owned: boolean): void {
    const { length } = this;
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = end;
    this.#owned = owned;
    if (length === 0) this.#searched = 0;
  }
}
