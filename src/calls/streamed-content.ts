import { RouterError } from '../errors.ts';
import { asBuffer } from './answer.ts';
import type { CallSignal } from './call-signal.ts';
import {
  type BodyLimits,
  checkNamed,
  type Envelope,
  emptyContent,
  formContent,
  isForm,
  plain,
  readContent,
} from './content.ts';
import { carriesModel } from './endpoints.ts';
import { formOf, written } from './form-body.ts';
import { FormScanner, type FormToken } from './form-scanner.ts';
import type { Content } from './request.ts';
import { statefulReason } from './stateful.ts';
import { untilAborted } from './until-aborted.ts';

/** A form that ends by here is held whole, so that it can be tried again. */
const readAhead = 262_144;

/**
 * A body that comes in pieces. A form is sent on as it comes once its model is known, or if it has none to find;
 * anything else is read whole first.
 *
 * @throws RouterError `request_too_large`, `invalid_request`; the signal's reason if it aborts
 */
export async function readStreamedContent(
  body: AsyncIterable<Uint8Array>,
  envelope: Envelope,
  limits: BodyLimits,
  signal: CallSignal | undefined,
): Promise<Content> {
  const source = new Source(body, limits.maxBodyBytes, signal);
  try {
    if (!isForm(envelope.contentType)) {
      const chunks: Uint8Array[] = [];
      for (let chunk = await source.next(); chunk; chunk = await source.next()) chunks.push(chunk);
      return readContent(Buffer.concat(chunks), envelope);
    }
    return await readForm(source, envelope.contentType, envelope, limits.maxHeldBytes);
  } catch (error) {
    source.release();
    throw error;
  }
}

async function readForm(
  source: Source,
  contentType: string,
  envelope: Envelope,
  maxHeldBytes: number,
): Promise<Content> {
  const { endpoint, given, pathModel } = envelope;
  const scanner = new FormScanner(contentType);
  const held: FormToken[] = [];
  const named = carriesModel(endpoint);
  const searching = () => named && (pathModel ?? given ?? scanner.model) === undefined;
  while (source.size <= readAhead || searching()) {
    const chunk = await source.next();
    if (chunk === undefined) {
      if (source.size === 0) return emptyContent(endpoint, envelope.method);
      scanner.end();
      const bytes = Buffer.concat(held.map((token) => token.bytes));
      return formContent(formOf(scanner, held), bytes, contentType, envelope);
    }
    held.push(...scanner.feed(chunk));
    if (source.size > maxHeldBytes && searching()) throw modelTooLate(maxHeldBytes);
  }
  if (named) checkNamed(envelope, scanner.model);
  return {
    name: named ? scanner.model : undefined,
    stream: false,
    contentType,
    stateful: () => statefulReason(endpoint),
    bodyFor: ({ target }) =>
      rest(source, scanner, held, named ? { envelope, model: target.model } : undefined),
    ...plain,
    repeatable: () => !source.begun,
    release: () => {
      if (!source.begun) source.release();
    },
  };
}

/** The form as it comes, with the deployment's own model if it carries one. */
async function* rest(
  source: Source,
  scanner: FormScanner,
  held: FormToken[],
  replaced: { envelope: Envelope; model: string } | undefined,
): AsyncGenerator<Uint8Array> {
  source.begun = true;
  const write = (token: FormToken) =>
    replaced === undefined ? [token.bytes] : written(scanner, token, replaced.model);
  try {
    for (const token of held.splice(0)) yield* write(token);
    for (let chunk = await source.next(); chunk; chunk = await source.next()) {
      for (const token of scanner.feed(chunk)) {
        if (token.kind === 'model' && replaced !== undefined) checkNamed(replaced.envelope, scanner.model);
        yield* write(token);
      }
    }
    scanner.end();
  } finally {
    source.release();
  }
}

/** A body as it comes, counted. */
class Source {
  size = 0;
  /** Whether what was held of it has been handed on. */
  begun = false;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #maxBytes: number;
  readonly #signal: CallSignal | undefined;
  #ended = false;

  constructor(body: AsyncIterable<Uint8Array>, maxBytes: number, signal: CallSignal | undefined) {
    this.#iterator = body[Symbol.asyncIterator]();
    this.#maxBytes = maxBytes;
    this.#signal = signal;
  }

  async next(): Promise<Buffer | undefined> {
    const next = await untilAborted(this.#iterator.next(), this.#signal).catch((error: unknown) => {
      throw this.#signal?.aborted || RouterError.isInstance(error) ? error : brokenOff();
    });
    if (next.done === true) {
      this.#ended = true;
      return undefined;
    }
    this.size += next.value.byteLength;
    if (this.size > this.#maxBytes) throw bodyTooLarge(this.#maxBytes);
    return asBuffer(next.value);
  }

  /** Tells whoever sends it that nobody reads on. */
  release(): void {
    if (this.#ended) return;
    this.#ended = true;
    Promise.resolve(this.#iterator.return?.()).catch(() => {});
  }
}

function brokenOff(): RouterError {
  return new RouterError('invalid_request', 'The body of this call broke off.');
}

export function bodyTooLarge(limit: number): RouterError {
  return new RouterError('request_too_large', `The body of a call may have ${limit} bytes at most.`);
}

function modelTooLate(limit: number): RouterError {
  const message = `The first ${limit} bytes of the form do not name its model: name it in the header x-team-model, or with ?model=.`;
  return new RouterError('request_too_large', message, { param: 'model' });
}
