import { type Answer, collect } from './answer.ts';

/** The answer as a real, standard `Response`. */
export function toResponse(answer: Answer): Response {
  const { status, headers } = answer;
  return new Response(webBody(answer), { status, headers });
}

/**
 * The answer as a `Response` for the OpenAI client: the same to whoever looks at it, but made without the web
 * streams that a real one costs, until somebody asks for one.
 */
export class LeanResponse {
  readonly headers: Headers;
  readonly status: number;
  readonly ok: boolean;
  readonly statusText = '';
  readonly redirected = false;
  readonly type = 'default';
  readonly url = '';
  readonly #answer: Answer;
  #used = false;
  #body: ReadableStream<Uint8Array> | null | undefined;

  constructor(answer: Answer) {
    this.#answer = answer;
    this.headers = new Headers(answer.headers);
    this.status = answer.status;
    this.ok = answer.status >= 200 && answer.status < 300;
  }

  get body(): ReadableStream<Uint8Array> | null {
    this.#body ??= iterableBody(this.#answer);
    return this.#body;
  }

  get bodyUsed(): boolean {
    return this.#used || (this.#body?.locked ?? false);
  }

  clone(): Response {
    return this.#standard().clone();
  }

  async bytes(): Promise<Uint8Array> {
    return this.#whole();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return new Uint8Array(await this.#whole()).buffer;
  }

  async blob(): Promise<Blob> {
    const bytes = new Uint8Array(await this.#whole());
    return new Blob([bytes], { type: this.headers.get('content-type') ?? '' });
  }

  async text(): Promise<string> {
    return utf8.decode(await this.#whole());
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  formData(): Promise<FormData> {
    return this.#standard().formData();
  }

  async #whole(): Promise<Uint8Array> {
    if (this.bodyUsed) throw new TypeError('The body has been read already.');
    this.#used = true;
    const { body } = this.#answer;
    if (body === null) return new Uint8Array(0);
    return body instanceof Uint8Array ? body : collect(body);
  }

  #standard(): Response {
    if (this.bodyUsed) throw new TypeError('The body has been read already.');
    this.#used = true;
    return toResponse(this.#answer);
  }
}

// What asks `instanceof Response` shall hear yes.
Object.setPrototypeOf(LeanResponse.prototype, Response.prototype);

const utf8 = new TextDecoder();

/** A real stream whose async iteration, which is how the OpenAI client reads, goes straight to the source. */
function iterableBody(answer: Answer): ReadableStream<Uint8Array> | null {
  const { body } = answer;
  if (body === null) return null;
  const source = body instanceof Uint8Array ? single(body) : body;
  const stream = webStream(source);
  const direct = () => source[Symbol.asyncIterator]();
  Object.defineProperty(stream, Symbol.asyncIterator, { value: direct });
  return stream;
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function webBody({ body }: Answer): ConstructorParameters<typeof Response>[0] {
  if (body === null) return null;
  // A copy: the bytes of a Buffer may lie in a pool that others share.
  return body instanceof Uint8Array ? new Uint8Array(body) : webStream(body);
}

function webStream(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  let iterator: AsyncIterator<Uint8Array> | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        iterator ??= source[Symbol.asyncIterator]();
        const next = await iterator.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await (iterator ?? source[Symbol.asyncIterator]()).return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
