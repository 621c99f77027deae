import type { RouterError } from '../../errors.ts';
import type { Deployment } from '../../teams/records/deployment.ts';
import { carriesModel, type Endpoint } from '../endpoints/match.ts';
import { unknownId } from '../endpoints/unknown.ts';
import type { BodyScan } from '../json/body.ts';
import type { CallControls } from '../json/call-controls.ts';
import { isLiteral, openBrace, stringAt } from '../json/tokens.ts';
import { writeBody } from '../json/writer.ts';
import { type BodyContext, HeldBody, isReplaced, type RequestBody, writesGiven } from './request-body.ts';
import { keepsAnswer, type ReadBody, statefulReason } from './stateless-check.ts';

/** A JSON body, in which nothing but the model's name is changed. */
export class JsonBody extends HeldBody implements RequestBody {
  readonly model: string | undefined;
  readonly stream: boolean;
  readonly choices: number;
  readonly contentType = 'application/json';
  readonly #body: ReadBody;
  readonly controls: CallControls | undefined;
  readonly tags: readonly string[] | undefined;
  readonly #endpoint: Endpoint;
  /** Whether the model is written into it. */
  readonly #writesModel: boolean;

  constructor(bytes: Buffer, scan: BodyScan, context: BodyContext) {
    super();
    const { endpoint } = context;
    this.#body = { bytes, scan };
    this.#endpoint = endpoint;
    this.controls = endpoint.id === unknownId ? undefined : scan.controls;
    this.tags = scan.tags;
    const optional = endpoint.modelOptional || (endpoint.id === 'responses.create' && hasPrompt(this.#body));
    this.#writesModel =
      carriesModel(endpoint) && !(optional && scan.model?.value === undefined && !writesGiven(context));
    // A fine-tuning job names the provider's base model, not one of the team's.
    this.model = endpoint.model === 'provider' ? undefined : scan.model?.value;
    this.stream = scan.stream || (endpoint.answer === 'bytes' && this.#says('stream_format', '"sse"'));
    this.choices = this.#choices();
  }

  statefulError(deployment: Deployment): RouterError | undefined {
    return statefulReason(this.#endpoint, this.#body, deployment);
  }

  bytesFor(deployment: Deployment): Buffer | Buffer[] {
    const { target, params } = deployment;
    const { bytes, scan } = this.#body;
    // `extra_body` is for calls that use the model now. Stored objects do not take its fields.
    const carries = carriesModel(this.#endpoint) && !this.#endpoint.stateful;
    return writeBody(bytes, scan, {
      model:
        this.#writesModel && isReplaced(this.#endpoint, this.model, deployment) ? target.model : undefined,
      extra: carries ? params.extra_body : undefined,
      ...(this.controls && { cut: this.controls.withheld({ params }) }),
    });
  }

  get sent(): Buffer {
    return this.#body.bytes;
  }

  characters(): number | undefined {
    const { bytes, scan } = this.#body;
    const span = scan.keys.get('input');
    return span === undefined ? undefined : stringAt(bytes, span[0], span[1])?.length;
  }

  override objectIds(): readonly string[] {
    return this.#body.scan.references;
  }

  override keepsAnswer(): boolean {
    return keepsAnswer(this.#endpoint, this.#body);
  }

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

/** Whether a stored prompt is named, which says which model it is for. */
function hasPrompt({ bytes, scan }: ReadBody): boolean {
  const prompt = scan.keys.get('prompt');
  return prompt !== undefined && bytes[prompt[0]] === openBrace;
}
