import { STATUS_CODES } from 'node:http';
import { Readable } from 'node:stream';
import { type Answer, collect } from '../calls/answer.ts';

/**
 * Converts the answer to a standard `Response`.
 *
 * @param signal after its abort the body rejects with its reason
 */
export function toResponse(answer: Answer, signal?: AbortSignal | null): Response {
  const { status, headers, body } = answer;
  const content = body === null ? null : webStream(sourceOf(body, signal));
  return new Response(content, { status, statusText: phraseOf(status), headers });
}

/** Converts the answer to a `Response` with immutable headers, like the responses of `fetch`. */
export function toFetchResponse(answer: Answer, signal?: AbortSignal | null): Response {
  return withFixedHeaders(toResponse(answer, signal));
}

function phraseOf(status: number): string {
  return STATUS_CODES[status] ?? '';
}

/** Makes headers immutable. The platform supports this only in responses of the global `fetch`. */
function withFixedHeaders(response: Response): Response {
  const refuse = () => {
    throw new TypeError('immutable');
  };
  const fixed = { value: refuse };
  Object.defineProperties(response.headers, { set: fixed, append: fixed, delete: fixed });
  const clone = () => withFixedHeaders(Response.prototype.clone.call(response));
  return Object.defineProperty(response, 'clone', { value: clone });
}

/**
 * A response for the OpenAI client. It behaves like a standard one. It creates a standard one only if a caller
 * needs more than the status, the headers, and the whole body as text, JSON or bytes.
 */
export class LeanResponse {
  readonly headers: Headers;
  readonly status: number;
  readonly ok: boolean;
  readonly statusText: string;
  readonly redirected = false;
  readonly type = 'default';
  readonly url = '';
  readonly #answer: Answer;
  #used = false;
  #body: ReadableStream<Uint8Array> | null | undefined;
  #standard: Response | undefined;

  constructor(answer: Answer) {
    this.#answer = answer;
    this.headers = new Headers(answer.headers);
    this.status = answer.status;
    this.statusText = phraseOf(answer.status);
    this.ok = answer.status >= 200 && answer.status < 300;
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#standard === undefined && this.#used && this.#body === undefined) this.#toStandard();
    if (this.#standard !== undefined) return this.#standard.body;
    const { body } = this.#answer;
    this.#body ??= body === null ? null : iterableBody(body, () => this.#use());
    return this.#body;
  }

  get bodyUsed(): boolean {
    if (this.#used) return true;
    if (this.#standard !== undefined) return this.#standard.bodyUsed;
    return this.#body != null && isDisturbed(this.#body);
  }

  clone(): Response {
    return this.#toStandard().clone();
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.#whole());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return new Uint8Array(await this.#whole()).buffer;
  }

  async blob(): Promise<Blob> {
    return this.#toStandard().blob();
  }

  async text(): Promise<string> {
    return utf8.decode(await this.#whole());
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async formData(): Promise<FormData> {
    return this.#toStandard().formData();
  }

  async #whole(): Promise<Uint8Array | ArrayBuffer> {
    const { body } = this.#answer;
    if (this.#standard !== undefined || this.#used || this.#body != null)
      return this.#toStandard().arrayBuffer();
    if (body === null) return new Uint8Array(0);
    this.#use();
    return body instanceof Uint8Array ? body : collect(body);
  }

  #use(): void {
    this.#used = true;
  }

  /**
   * Creates the standard response, which takes over the body.
   *
   * @throws TypeError if the body is locked or was read
   */
  #toStandard(): Response {
    if (this.#standard !== undefined) return this.#standard;
    const { status, statusText } = this;
    // Passes the same headers, because a caller may have changed them.
    const init = { status, statusText, headers: this.headers };
    if (this.#used && this.#body === undefined) {
      this.#standard = new Response('', { headers: this.headers });
      void this.#standard.arrayBuffer();
    } else this.#standard = new Response(this.body, init);
    return this.#standard;
  }
}

// Makes `instanceof Response` true.
Object.setPrototypeOf(LeanResponse.prototype, Response.prototype);

const utf8 = new TextDecoder();
const isDisturbed = Readable.isDisturbed as (stream: object) => boolean;

/**
 * Returns a standard stream whose async iteration, which the OpenAI client uses, reads directly from the
 * source. The stream is locked meanwhile, and disturbed afterwards.
 */
function iterableBody(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  used: () => void,
): ReadableStream<Uint8Array> {
  const source = sourceOf(body);
  const stream = webStream(source);
  const iterate = () => {
    // An earlier read may have left a chunk in the stream's queue.
    if (isDisturbed(stream)) return ReadableStream.prototype[Symbol.asyncIterator].call(stream);
    return new DirectIterator(stream, source, used);
  };
  Object.defineProperty(stream, Symbol.asyncIterator, { value: iterate });
  return stream;
}

class DirectIterator implements AsyncIterableIterator<Uint8Array> {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #used: () => void;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  /** @throws TypeError if the stream is locked */
  constructor(stream: ReadableStream<Uint8Array>, source: AsyncIterable<Uint8Array>, used: () => void) {
    this.#reader = stream.getReader();
    this.#iterator = source[Symbol.asyncIterator]();
    this.#used = used;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    this.#used();
    try {
      const next = await this.#iterator.next();
      if (next.done === true) this.#end();
      return next;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#used();
    this.#end();
    return { done: true, value: undefined };
  }

  /** Ends the stream and its source, and releases the lock. */
  #end(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.cancel().catch(() => {});
    reader?.releaseLock();
  }
}

function sourceOf(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  signal?: AbortSignal | null,
): AsyncIterable<Uint8Array> {
  return body instanceof Uint8Array ? single(body, signal) : body;
}

async function* single(
  bytes: Uint8Array,
  signal: AbortSignal | null | undefined,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  if (bytes.byteLength > 0) yield bytes;
}

/** Creates a byte stream. Copies each chunk, because other Buffers may share its memory. */
function webStream(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  let iterator: AsyncIterator<Uint8Array> | undefined;
  return new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      iterator ??= source[Symbol.asyncIterator]();
      let next = await iterator.next();
      // A byte stream rejects an empty chunk.
      while (next.done !== true && next.value.byteLength === 0) next = await iterator.next();
      if (next.done !== true) {
        controller.enqueue(new Uint8Array(next.value));
        return;
      }
      controller.close();
      controller.byobRequest?.respond(0);
    },
    async cancel() {
      await (iterator ?? source[Symbol.asyncIterator]()).return?.();
    },
  });
}
