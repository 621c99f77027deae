import { isUtf8 } from 'node:buffer';
import { RouterError } from '../errors.ts';
import type { Deployment } from '../teams/deployment.ts';
import { asBuffer } from './answer.ts';
import { carriesModel, type Endpoint, keepsAnswer, statefulReason } from './endpoints.ts';
import { type FormBody, readFormModel } from './form-body.ts';
import { type BodyScan, scanBody, writeBody } from './json-body.ts';
import { bodyReferences } from './references.ts';
import type { Call, Content } from './request.ts';

/** What is known of a call before its body is read. */
export interface Envelope {
  endpoint: Endpoint;
  method: string;
  contentType: string | null;
  /** The model that the query or a header names. */
  given: string | undefined;
  /** The model that the path names, which wins. */
  pathModel: string | undefined;
}

export interface BodyLimits {
  /** Bytes that a form may have. */
  maxBodyBytes: number;
  /** Bytes that any other body may have. */
  maxJsonBytes: number;
  /** Bytes of a streamed form that are held back to find its model. */
  maxHeldBytes: number;
}

export function isStream(body: NonNullable<Call['body']>): body is AsyncIterable<Uint8Array> {
  return typeof body !== 'string' && !(body instanceof Uint8Array);
}

export function isForm(contentType: string | null): contentType is string {
  return contentType?.toLowerCase().startsWith('multipart/form-data') ?? false;
}

/** What holds for every body that is held whole, and, of its objects, for every body that is not JSON. */
export const plain = { references: () => [], keeps: () => true, repeatable: () => true, release: () => {} };

/** The content of a call without a body. @throws RouterError `invalid_request` if it needs one */
export function emptyContent(endpoint: Endpoint, method: string): Content {
  if (method === 'POST' && endpoint.model === 'json') {
    throw new RouterError('invalid_request', 'This call needs a JSON body.');
  }
  const stateful = () => statefulReason(endpoint);
  return {
    name: undefined,
    stream: false,
    contentType: null,
    stateful,
    bodyFor: () => undefined,
    ...plain,
  };
}

/** A body that is held whole. @throws RouterError `invalid_request` if its top level cannot be read */
export function readContent(body: string | Uint8Array, envelope: Envelope): Content {
  const { endpoint, method, contentType } = envelope;
  if (body.length === 0) return emptyContent(endpoint, method);
  const bytes = typeof body === 'string' ? Buffer.from(body) : asBuffer(body);
  if (!isForm(contentType)) return new JsonContent(bytes, endpoint);
  return formContent(readFormModel(bytes, contentType), bytes, contentType, envelope);
}

/** A form that is held whole. */
export function formContent(
  form: FormBody,
  bytes: Uint8Array,
  contentType: string,
  envelope: Envelope,
): Content {
  const { endpoint } = envelope;
  const named = carriesModel(endpoint);
  if (named) checkNamed(envelope, form.model);
  return {
    name: named ? form.model : undefined,
    stream: false,
    contentType,
    stateful: () => statefulReason(endpoint),
    bodyFor: (deployment) => (named ? form.replace(deployment.target.model) : bytes),
    ...plain,
  };
}

/**
 * A form's model may come behind a file that is on its way to the provider already: what names it earlier has to say
 * the same.
 *
 * @throws RouterError `invalid_request` if it does not
 */
export function checkNamed({ given, pathModel }: Envelope, model: string | undefined): void {
  if (pathModel !== undefined || given === undefined || model === undefined || model === given) return;
  const message = 'The form names another model than ?model= or the header x-team-model.';
  throw new RouterError('invalid_request', message, { param: 'model' });
}

/** A JSON body, in which nothing but the model's name is changed. */
class JsonContent implements Content {
  readonly name: string | undefined;
  readonly stream: boolean;
  readonly contentType = 'application/json';
  readonly #bytes: Buffer;
  readonly #scan: BodyScan;
  readonly #endpoint: Endpoint;

  constructor(bytes: Buffer, endpoint: Endpoint) {
    if (!isUtf8(bytes)) throw new RouterError('invalid_request', 'The body is not UTF-8.');
    this.#bytes = bytes;
    this.#endpoint = endpoint;
    this.#scan = scanBody(bytes);
    // A fine-tuning job names the provider's base model, not one of the team's.
    this.name = endpoint.model === 'provider' ? undefined : this.#scan.model?.value;
    this.stream = this.#scan.stream;
  }

  stateful(): string | undefined {
    return readStateful(this.#endpoint, this.#bytes, this.#scan);
  }

  bodyFor({ target, params }: Deployment): Buffer | Buffer[] {
    if (!carriesModel(this.#endpoint)) return this.#bytes;
    return writeBody(this.#bytes, this.#scan, target.model, params.extra_body);
  }

  references(): string[] {
    return bodyReferences(this.#bytes);
  }

  keeps(): boolean {
    return keepsAnswer(this.#endpoint, this.#bytes, this.#scan);
  }

  repeatable(): boolean {
    return true;
  }

  release(): void {}
}

function readStateful(endpoint: Endpoint, body: Buffer, scan: BodyScan): string | undefined {
  try {
    return statefulReason(endpoint, body, scan);
  } catch {
    throw new RouterError('invalid_request', 'The body is not valid JSON.');
  }
}
