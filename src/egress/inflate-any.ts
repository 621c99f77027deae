import { Duplex } from 'node:stream';
import { createInflate, createInflateRaw } from 'node:zlib';

/**
 * Decodes `content-encoding: deflate`, which some servers send with the header of zlib and others without. The first byte
 * decides, as in undici's `fetch`.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1.2
 */
export class InflateAny extends Duplex {
  #decoder: Duplex | undefined;

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (chunk.length === 0) {
      done();
      return;
    }
    this.#decoder ??= this.#start(chunk);
    this.#decoder.write(chunk, done);
  }

  override _final(done: () => void): void {
    if (this.#decoder === undefined) this.push(null);
    else this.#decoder.end();
    done();
  }

  override _read(): void {
    this.#decoder?.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#decoder?.destroy();
    done(error);
  }

  #start(chunk: Buffer): Duplex {
    const hasHeader = ((chunk[0] ?? 0) & 0x0f) === 0x08;
    const decoder = hasHeader ? createInflate() : createInflateRaw();
    return decoder
      .on('data', (decoded: Buffer) => {
        if (!this.push(decoded)) decoder.pause();
      })
      .on('end', () => this.push(null))
      .on('error', (error) => this.destroy(error));
  }
}
