import { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { asBuffer } from '../answer.ts';
import type { Call, Content } from '../call.ts';
import { carriesModel, type Endpoint } from '../endpoints/match.ts';
import { type FormBody, readFormModel, readLongFormModel } from '../form/body.ts';
import { boundaryOf, formContentType, isForm } from '../form/content-type.ts';
import { type BodyScan, readJsonBody } from '../json/body.ts';
import type { CallControls } from '../json/call-controls.ts';
import { isLiteral, openBrace } from '../json/tokens.ts';
import { writeBody } from '../json/writer.ts';
import { sharedShape } from './shared-fields.ts';
import { keepsAnswer, type ReadBody, statefulFormReason, statefulReason } from './stateful.ts';

/** What is known of a call before its body is read. */
export interface Envelope {
  /** The caller's; `null`: the operator. */
  teamId: string | null;
  endpoint: Endpoint;
  method: string;
  contentType: string | null;
  /** The model that the query or a header names. */
  given: string | undefined;
  /** The model that the path names, which wins. */
  pathModel: string | undefined;
  /** The model of a call that names none. */
  defaultModel: string | undefined;
  /** Bytes that a streamed body was announced to have. */
  length: number | undefined;
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

/** What holds for every body that is held whole, and, of its objects, for every body that is not JSON. */
export const plain = {
  references: () => [],
  keeps: () => true,
  lengthFor: () => undefined,
  repeatable: () => true,
  release: () => {},
};

/** Above this size a form is scanned in slices. */
const longForm = 16_384;

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

/**
 * A body that is held whole; a promise if it is long, because then it is read in several turns of the event loop.
 *
 * @throws RouterError `invalid_request` if it cannot be read
 */
export function readContent(body: string | Uint8Array, envelope: Envelope): Content | Promise<Content> {
  const { endpoint, method, contentType } = envelope;
  if (body.length === 0) return emptyContent(endpoint, method);
  const bytes = typeof body === 'string' ? Buffer.from(body) : asBuffer(body);
  if (!isForm(contentType)) {
    const read = readJsonBody(bytes, sharedShape(endpoint.id), envelope.teamId);
    return read instanceof Promise
      ? read.then((scan) => new JsonContent(bytes, scan, envelope))
      : new JsonContent(bytes, read, envelope);
  }
  const content = (form: FormBody) => formContent(form, boundaryOf(contentType), envelope);
  if (bytes.length > longForm) return readLongFormModel(bytes, contentType, envelope.teamId).then(content);
  return content(readFormModel(bytes, contentType));
}

/** A form that is held whole. */
export function formContent(form: FormBody, boundary: string, envelope: Envelope): Content {
  const { endpoint } = envelope;
  const named = carriesModel(endpoint);
  const asItCame = !named || isUnnamed(envelope, form.model !== undefined);
  return {
    name: named ? form.model : undefined,
    stream: false,
    contentType: formContentType(boundary),
    stateful: (deployment) => statefulFormReason(endpoint, form.names, deployment),
    bodyFor: ({ target }) => (asItCame ? form.bytes : form.pieces(target.model)),
    ...plain,
  };
}

/** A JSON body, in which nothing but the model's name is changed. */
class JsonContent implements Content {
  readonly name: string | undefined;
  readonly stream: boolean;
  readonly choices: number;
  readonly contentType = 'application/json';
  readonly #body: ReadBody;
  readonly controls: CallControls | undefined;
  readonly tags: readonly string[] | undefined;
  readonly #endpoint: Endpoint;
  /** Whether the model is written into it. */
  readonly #writesModel: boolean;

  constructor(bytes: Buffer, scan: BodyScan, envelope: Envelope) {
    const { endpoint } = envelope;
    this.#body = { bytes, scan };
    this.#endpoint = endpoint;
    this.controls = scan.controls;
    this.tags = scan.tags;
    const optional = endpoint.modelOptional || (endpoint.id === 'responses.create' && hasPrompt(this.#body));
    this.#writesModel =
      carriesModel(endpoint) && !(optional && scan.model?.value === undefined && !isNamed(envelope));
    // A fine-tuning job names the provider's base model, not one of the team's.
    this.name = endpoint.model === 'provider' ? undefined : scan.model?.value;
    this.stream = scan.stream || (endpoint.answer === 'bytes' && this.#says('stream_format', '"sse"'));
    this.choices = this.#choices();
  }

  stateful(deployment: Deployment): RouterError | undefined {
    return statefulReason(this.#endpoint, this.#body, deployment);
  }

  bodyFor({ target, params }: Deployment): Buffer | Buffer[] {
    const { bytes, scan } = this.#body;
    const carries = carriesModel(this.#endpoint);
    return writeBody(bytes, scan, {
      model: this.#writesModel ? target.model : undefined,
      extra: carries ? params.extra_body : undefined,
      ...(scan.controls && {
        cut: scan.controls.names.filter((name) => !params.allow_fields?.includes(name)),
      }),
    });
  }

  references(): readonly string[] {
    return this.#body.scan.references;
  }

  keeps(): boolean {
    return keepsAnswer(this.#endpoint, this.#body);
  }

  lengthFor(): undefined {}

  repeatable(): boolean {
    return true;
  }

  release(): void {}

  #says(key: string, literal: string): boolean {
    const { bytes, scan } = this.#body;
    const span = scan.keys.get(key);
    return span !== undefined && isLiteral(bytes, span[0], span[1], literal);
  }

  #choices(): number {
    const { bytes, scan } = this.#body;
    const span = scan.keys.get('n');
    if (span === undefined || span[1] - span[0] > 3) return 1;
    const count = Number(bytes.toString('latin1', span[0], span[1]));
    return Number.isInteger(count) && count > 1 ? count : 1;
  }
}

/** Whether anything but the body names the model: path, query, header, or the client's default. */
function isNamed({ pathModel, given, defaultModel }: Envelope): boolean {
  return (pathModel ?? given ?? defaultModel) !== undefined;
}

/**
 * Returns whether a form is sent as it came, because its API takes a call that names no model.
 *
 * @param hasModel whether the form has a field `model`
 */
export function isUnnamed(envelope: Envelope, hasModel: boolean): boolean {
  return envelope.endpoint.modelOptional && !hasModel && !isNamed(envelope);
}

/** Whether a stored prompt is named, which says which model it is for. */
function hasPrompt({ bytes, scan }: ReadBody): boolean {
  const prompt = scan.keys.get('prompt');
  return prompt !== undefined && bytes[prompt[0]] === openBrace;
}
